import type { Heartbeat } from '../../shared/proof/heartbeat.ts'
import { humanDuration, plural } from '../output.ts'
import type { Facts, Proof, ProvenProof, ScrubProof } from './gather.ts'

/** What is wrong, as far as the replica tells. */

export type Severity = 'problem' | 'behind' | 'unknown'
/** `subject` is a table, or null. */
export type Alarm = { name: string; severity: Severity; subject: string | null; text: string }

/** Heartbeats that may be missing before what they say is no longer the present. */
const beatsMissedMax = 3
/** Everything is checked once a day, which may take two hours. */
const checkSecondsMax = 26 * 3600
const scrubDaysMax = 30

export const inSeconds = (seconds: number): string => humanDuration(seconds * 1000)
export const ageSeconds = (at: string, nowMs: number): number => Math.max(0, (nowMs - Date.parse(at)) / 1000)

export const isStale = ({ at, everySeconds }: Heartbeat, nowMs: number): boolean =>
  ageSeconds(at, nowMs) > beatsMissedMax * everySeconds

/** A heartbeat has no queues where they could not be asked. */
export const tellsQueues = ({ objects }: Heartbeat): boolean => objects.queues.length > 0 || objects.lagSeconds !== null

const alarm = (name: string, severity: Severity, text: string, subject: string | null = null): Alarm => ({
  name,
  severity,
  subject,
  text,
})

export const heartbeatAlarms = ({ heartbeat, nowMs }: Pick<Facts, 'heartbeat' | 'nowMs'>): Alarm[] => {
  if (!heartbeat)
    return [alarm('no-heartbeat', 'unknown', 'no heartbeat for a week: lags, queues and checks are unknown')]
  if (!isStale(heartbeat, nowMs)) return []
  const { at, everySeconds } = heartbeat
  const age = inSeconds(ageSeconds(at, nowMs))
  return [alarm('heartbeat-stale', 'unknown', `no heartbeat for ${age}, due every ${inSeconds(everySeconds)}`)]
}

/** `what` is `objects` or the name of a table. */
const lagAlarm = (
  what: string,
  subject: string | null,
  lag: { lagSeconds: number | null; unknown: readonly string[] },
  rpoSeconds: number | undefined,
): Alarm[] => {
  const { lagSeconds, unknown } = lag
  if (lagSeconds === null) {
    const why = unknown.length > 0 ? `: ${unknown.join('; ')}` : ''
    return [alarm('lag-unknown', 'unknown', `${what}: the lag is unknown${why}`, subject)]
  }
  if (rpoSeconds === undefined || lagSeconds <= rpoSeconds) return []
  const text = `${what}: a lag of ${inSeconds(lagSeconds)} is over the RPO of ${inSeconds(rpoSeconds)}`
  return [alarm('lag-over-rpo', 'behind', text, subject)]
}

/** Late or not, nobody can tell without a target. */
const targetAlarm = ({ heartbeat, pending, config }: Facts): Alarm[] => {
  const lags = [heartbeat?.objects, ...(heartbeat?.tables ?? [])].map((lag) => lag?.lagSeconds ?? 0)
  const hasLag = Math.max(...lags) > 0 || (pending?.length ?? 0) > 0
  if (config || !hasLag) return []
  return [alarm('rpo-unknown', 'unknown', 'no RPO to compare with: give a configuration by --config')]
}

/** What the heartbeat does not tell yet, or no longer: a plan that waits longer than all of the RPO. */
const pendingAlarm = ({ pending, config, nowMs }: Facts): Alarm[] => {
  const [oldest] = pending ?? []
  const seconds = oldest ? ageSeconds(oldest.plannedAt, nowMs) : 0
  const rpoSeconds = (config?.rpo.objectsMinutes ?? Infinity) * 60
  if (seconds <= rpoSeconds) return []
  const text = `objects: one is pending for ${inSeconds(seconds)}, the RPO is ${inSeconds(rpoSeconds)}`
  return [alarm('pending-over-rpo', 'behind', text)]
}

const objectAlarms = (facts: Facts): Alarm[] => {
  const { heartbeat, config } = facts
  if (!heartbeat) return pendingAlarm(facts)
  const { objects } = heartbeat
  const lag = lagAlarm('objects', null, objects, config && config.rpo.objectsMinutes * 60)
  const isLate = lag.some(({ name }) => name === 'lag-over-rpo')
  return [
    ...(objects.deadLetters > 0
      ? [alarm('dead-letters', 'problem', `${plural(objects.deadLetters, 'message')} in dead-letter queues`)]
      : []),
    ...lag,
    ...(isLate ? [] : pendingAlarm(facts)),
  ]
}

const foundText = ({ outcome, findings }: Proof): string =>
  findings > 0 ? `${outcome} with ${plural(findings, 'finding')}` : outcome

/** What is done every day, and was not: it may be the first day, of which nothing is proven yet either. */
const overdueAlarm = (
  name: string,
  proof: ProvenProof | undefined,
  nowMs: number,
  { what, subject }: { what: string; subject: string | null },
): Alarm[] => {
  const at = proof?.provenAt === undefined ? proof?.at : proof.provenAt
  if (!at) return [alarm(name, 'unknown', `${what} has not passed yet, due every 26h`, subject)]
  const age = ageSeconds(at, nowMs)
  if (age <= checkSecondsMax) return []
  return [alarm(name, 'unknown', `${what} passed last ${inSeconds(age)} ago, due every 26h`, subject)]
}

const tableAlarms = ({ heartbeat, config, nowMs }: Facts): Alarm[] =>
  (heartbeat?.tables ?? []).flatMap((entry) => {
    const { table, quarantined } = entry
    const compared = heartbeat?.proofs.rows.find((proof) => proof.table === table)
    const what = `${table}: the comparison of everything`
    return [
      ...(quarantined > 0
        ? [alarm('quarantined', 'problem', `${table}: ${plural(quarantined, 'change')} in quarantine`, table)]
        : []),
      ...(compared?.outcome === 'failed'
        ? [alarm('rows-differ', 'problem', `${table}: the comparison ${foundText(compared)}`, table)]
        : []),
      ...(compared?.outcome === 'failed'
        ? []
        : overdueAlarm('comparison-old', compared, nowMs, { what, subject: table })),
      ...lagAlarm(table, table, entry, config?.rpo.rowsSeconds),
    ]
  })

const slowAlarm = (scrub: ScrubProof | undefined, nowMs: number): Alarm[] => {
  if (!scrub) return []
  const ageDays = ageSeconds(scrub.at, nowMs) / 86_400
  const days = scrub.coverageDays ?? 0
  if (days > scrubDaysMax)
    return [alarm('scrub-slow', 'unknown', `the scrub takes ${Math.ceil(days)} days for everything, more than 30`)]
  if (ageDays <= scrubDaysMax) return []
  return [alarm('scrub-slow', 'unknown', `the last scrub is of ${Math.floor(ageDays)} days ago, more than 30`)]
}

const failedAlarm = (what: string, proof: Proof | undefined): Alarm[] =>
  proof?.outcome === 'failed' ? [alarm(`${what}-failed`, 'problem', `${what} ${foundText(proof)}`)] : []

/** Only a validation that ended proves anything, and not for long. */
const validationAlarm = (validate: Proof | undefined, nowMs: number): Alarm[] => {
  if (!validate) return [alarm('validation-old', 'unknown', 'nothing was ever validated')]
  const age = ageSeconds(validate.at, nowMs)
  if (age > checkSecondsMax)
    return [alarm('validation-old', 'unknown', `the last validation is of ${inSeconds(age)} ago, due every 26h`)]
  const hasEnded = validate.outcome === 'passed' || validate.outcome === 'failed'
  return hasEnded ? [] : [alarm('validation-incomplete', 'unknown', `the last validation is ${validate.outcome}`)]
}

const proofAlarms = ({ proofs: { validate, scrub, reconcile, drill }, nowMs }: Facts): Alarm[] => [
  ...failedAlarm('validation', validate),
  ...failedAlarm('scrub', scrub),
  ...failedAlarm('reconcile', reconcile),
  ...failedAlarm('drill', drill),
  ...validationAlarm(validate, nowMs),
  ...(reconcile?.outcome === 'failed'
    ? []
    : overdueAlarm('reconcile-old', reconcile, nowMs, { what: 'reconcile of everything', subject: null })),
  ...slowAlarm(scrub, nowMs),
]

const damageAlarm = ({ damaged }: Facts): Alarm[] => {
  const [first] = damaged
  if (first === undefined) return []
  const more = damaged.length > 1 ? ` and ${damaged.length - 1} more` : ''
  return [alarm('release-damaged', 'problem', `cannot be read: ${first}${more}`)]
}

const order: readonly Severity[] = ['problem', 'behind', 'unknown']

const worstFirst = (a: Alarm, b: Alarm): number => order.indexOf(a.severity) - order.indexOf(b.severity)

/** The worst first, but before all of them that of the heartbeat, on which the others rest. */
export const alarmsOf = (facts: Facts): Alarm[] => [
  ...heartbeatAlarms(facts),
  ...[
    ...targetAlarm(facts),
    ...damageAlarm(facts),
    ...objectAlarms(facts),
    ...tableAlarms(facts),
    ...proofAlarms(facts),
  ].sort(worstFirst),
]

export type Verdict = 'protected' | 'behind' | 'unknown' | 'problems found'

export const verdictOf = (alarms: readonly Alarm[]): Verdict => {
  const [worst] = alarms.toSorted(worstFirst)
  if (!worst) return 'protected'
  return worst.severity === 'problem' ? 'problems found' : worst.severity
}
