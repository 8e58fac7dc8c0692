import { formatSecond } from '../arguments.ts'
import { cutEnd } from '../fit.ts'
import { keySqueeze, type Listing } from '../ls/listing.ts'
import {
  humanAge,
  humanBytes,
  labelColumns,
  labelled,
  plural,
  printable,
  renderTable,
  roughDuration,
} from '../output.ts'
import { ageSeconds, type Alarm, alarmsOf, inSeconds, tellsQueues, verdictOf } from './alarms.ts'
import type { Facts, Proof } from './gather.ts'

/** One screen: at most 24 lines of 80 columns, whatever there is. */

const alarmsMax = 6
const tablesMax = 5

/** The first ones, and how many more there are where there are more. */
const firstOf = (lines: readonly string[], max: number): string[] =>
  lines.length <= max
    ? [...lines]
    : [...lines.slice(0, max - 1), `and ${lines.length - max + 1} more: --json lists them`]

const headline = (alarms: readonly Alarm[]): string => {
  const verdict = verdictOf(alarms)
  if (verdict === 'protected') return 'Protected: nothing is late and every daily check passed'
  return `${verdict[0]?.toUpperCase()}${verdict.slice(1)}: ${plural(alarms.length, 'alarm')}`
}

const heartbeatText = ({ heartbeat, nowMs }: Facts): string =>
  heartbeat ? `stage ${heartbeat.stage}, as of the heartbeat ${humanAge(heartbeat.at, nowMs)}` : 'no heartbeat'

const modelsText = ({ kept }: Facts): string =>
  [
    plural(kept.models, 'model'),
    `${plural(kept.protected, 'version')} protected`,
    ...(kept.sealed > 0 ? [`${kept.sealed} unverified`] : []),
    ...(kept.waiting > 0 ? [`${kept.waiting} waiting`] : []),
  ].join(', ')

const objectsText = ({ kept }: Facts): string =>
  kept.truncated
    ? `more than ${plural(kept.objects, 'version')}`
    : `${plural(kept.objects, 'version')}, ${kept.single} in no release`

const urlOf = ({ bucket, key }: { bucket: string; key: string }): string => `s3://${bucket}/${key}`

const pendingText = ({ pending, morePending, heartbeat, nowMs }: Facts): string => {
  if (!pending) {
    // Where it could not be measured the heartbeat has a zero.
    const then = heartbeat?.objects.lagSeconds === null ? undefined : heartbeat?.objects.pending
    const more = then?.isLowerBound ? '+' : ''
    return then
      ? `${then.count}${more}, ${humanBytes(then.bytes)}${more}, then`
      : 'unknown: "lifeboat rpo" looks at every name'
  }
  const [oldest] = pending
  if (!oldest) return 'none'
  const bytes = pending.reduce((sum, { record }) => sum + record.size, 0)
  const more = morePending ? '+' : ''
  const age = roughDuration(nowMs - Date.parse(oldest.plannedAt))
  return `${pending.length}${more}, ${humanBytes(bytes)}${more}; oldest for ${age}: ${urlOf(oldest.record.source)}`
}

const lagText = (seconds: number | null): string => (seconds === null ? 'unknown' : inSeconds(seconds))

const objectsLag = ({ heartbeat, config, nowMs }: Facts): string => {
  if (!heartbeat) return 'unknown'
  const { lagSeconds, canaryAt } = heartbeat.objects
  const rpo = config ? `, RPO ${inSeconds(config.rpo.objectsMinutes * 60)}` : ', RPO not known here'
  return `${lagText(lagSeconds)}${rpo}${canaryAt === null ? '' : `; canary ${humanAge(canaryAt, nowMs)}`}`
}

const queuesText = ({ heartbeat }: Facts): string => {
  if (!heartbeat || !tellsQueues(heartbeat)) return 'unknown'
  const { queues, deadLetters } = heartbeat.objects
  const messages = queues.reduce((sum, queue) => sum + queue.messages, 0)
  const oldest = Math.max(0, ...queues.map(({ oldestSeconds }) => oldestSeconds ?? 0))
  const age = oldest > 0 ? `, oldest ${inSeconds(oldest)}` : ''
  return `${plural(messages, 'message')}${age}; dead letters ${deadLetters}`
}

const proofText = (proof: Proof | undefined, nowMs: number): string => {
  if (!proof) return 'none yet'
  const findings = proof.findings > 0 ? `, ${plural(proof.findings, 'finding')}` : ''
  return `${proof.outcome} ${humanAge(proof.at, nowMs)}${findings}`
}

const scrubText = ({ proofs: { scrub }, nowMs }: Facts): string => {
  const days = scrub?.coverageDays ?? undefined
  const coverage = days === undefined ? 'coverage unknown' : `all of it in ${plural(Math.ceil(days), 'day')}`
  return `${proofText(scrub, nowMs)}${scrub ? `, ${coverage}` : ''}`
}

/** Without the day where that is today. */
const momentText = (time: string, nowMs: number): string => {
  const text = formatSecond(Math.floor(Date.parse(time) / 1000))
  const today = `${new Date(nowMs).toISOString().slice(0, 10)}T`
  return text.startsWith(today) ? text.slice(today.length) : text
}

const tableLines = ({ heartbeat, config, nowMs }: Facts, width: number | undefined): string[] => {
  if (!heartbeat) return ['unknown']
  const { tables, proofs } = heartbeat
  if (tables.length === 0) return ['no tables']
  // Unknown is the worst lag.
  const worst = tables.toSorted(
    (a, b) => b.quarantined - a.quarantined || (b.lagSeconds ?? Infinity) - (a.lagSeconds ?? Infinity) || 0,
  )
  const cells = worst.map(({ table, lagSeconds, featureTime, quarantined }) => [
    table,
    lagText(lagSeconds),
    featureTime === null ? 'unknown' : momentText(featureTime, nowMs),
    String(quarantined),
    proofText(
      proofs.rows.find((proof) => proof.table === table),
      nowMs,
    ),
  ])
  const head = [
    'table',
    config ? `lag, RPO ${inSeconds(config.rpo.rowsSeconds)}` : 'lag',
    'whole until',
    'quarantined',
    'compared',
  ]
  const fit = { width: width === undefined ? undefined : width - labelColumns, squeezes: [keySqueeze('table', 8)] }
  const shown = cells.length <= tablesMax ? cells : cells.slice(0, tablesMax - 1)
  const more = cells.length - shown.length
  const lines = renderTable(head, shown, ['quarantined'], fit).trimEnd().split('\n')
  return more > 0 ? [...lines, `and ${more} more: --json lists them`] : lines
}

const render = (facts: Facts, alarms: readonly Alarm[], width: number | undefined): string => {
  const { proofs, refused, nowMs } = facts
  const lines = [
    headline(alarms),
    ...labelled('replica', [`${facts.url}, ${heartbeatText(facts)}`]),
    ...labelled(
      'alarms',
      alarms.length === 0
        ? ['none']
        : firstOf(
            alarms.map(({ text }) => text),
            alarmsMax,
          ),
    ),
    ...labelled('models', [modelsText(facts)]),
    ...labelled('objects', [objectsText(facts)]),
    ...labelled('pending', [pendingText(facts)]),
    ...labelled('lag', [objectsLag(facts)]),
    ...labelled('queues', [queuesText(facts)]),
    ...(refused > 0 ? labelled('refused', [`${refused}: "lifeboat ls --failed" has the reasons`]) : []),
    ...labelled('rows', tableLines(facts, width)),
    ...labelled('validation', [proofText(proofs.validate, nowMs)]),
    ...labelled('scrub', [scrubText(facts)]),
    ...labelled('reconcile', [proofText(proofs.reconcile, nowMs)]),
    ...labelled('drill', [proofText(proofs.drill, nowMs)]),
  ]
  const fitted = lines.map((line) => printable(line)).map((line) => (width === undefined ? line : cutEnd(line, width)))
  return `${fitted.join('\n')}\n`
}

const pendingJson = ({ pending, morePending }: Facts): Record<string, unknown> => ({
  known: pending !== undefined,
  truncated: morePending,
  count: pending?.length ?? null,
  bytes: pending?.reduce((sum, { record }) => sum + record.size, 0) ?? null,
  oldest: pending?.[0]
    ? { ...urlParts(pending[0].record.source), plannedAt: pending[0].plannedAt, bytes: pending[0].record.size }
    : null,
})

const urlParts = ({ bucket, key, version }: { bucket: string; key: string; version: string }) => ({
  bucket,
  key,
  version,
})

/** What `lifeboat status` prints, and what is wrong. */
export const showStatus = (facts: Facts, width: number | undefined): Listing & { alarms: Alarm[] } => {
  const { url, nowMs, config, heartbeat, kept, refused, proofs } = facts
  const alarms = alarmsOf(facts)
  const { validate, scrub, reconcile, drill } = proofs
  const json = {
    replica: url,
    at: new Date(nowMs).toISOString(),
    verdict: verdictOf(alarms),
    alarms,
    heartbeatAgeSeconds: heartbeat ? ageSeconds(heartbeat.at, nowMs) : null,
    heartbeat: heartbeat ?? null,
    rpo: config?.rpo ?? null,
    kept,
    pending: pendingJson(facts),
    refused,
    proofs: { validate: validate ?? null, scrub: scrub ?? null, reconcile: reconcile ?? null, drill: drill ?? null },
  }
  return { json, text: render(facts, alarms, width), alarms }
}
