import { newestReport, type Report, reportKinds } from '../../shared/proof/report.ts'
import type { ProofMetric } from '../../shared/proof/metrics.ts'
import type { BlobStore } from '../../shared/ports.ts'
import type { AlarmState } from '../cloudwatch/evaluate.ts'

/** What the page shows, gathered anew for every poll: charts and alarms of CloudWatch, reports of the replica. */

export type Line = { label: string; values: (number | null)[] }
export type Chart = { title: string; unit: string; lines: Line[] }
export type ShownAlarm = { name: string; state: AlarmState; why: string; description: string; since: string }
export type PageData = {
  at: string
  /** Real seconds from one point of a chart to the next: CloudWatch's minute. */
  everySeconds: number
  times: number[]
  charts: Chart[]
  alarms: ShownAlarm[]
  reports: Pick<Report, 'kind' | 'scope' | 'outcome' | 'endedAt' | 'findingsTotal' | 'counts'>[]
}

type Points = { at: number; value: number | null }[]
type Listed = { namespace: string; points: Points }
export type ListedAlarm = {
  name: string
  description: string
  state: AlarmState
  comparison: string
  threshold: number
  missing: string
  lastValue: number | null
  since: string
}

const minutes = 120
/** Before the first datapoint a chart shows nothing, and after it at least so many. */
const minutesShownMin = 24
const numeral = new Intl.NumberFormat('en', { maximumFractionDigits: 3 })
const mib = 2 ** 20

type Wanted = { metric: ProofMetric; label: string; stat: string }
const wanted = {
  lag: [
    { metric: 'OldestPendingSeconds', label: 'oldest object pending', stat: 'Maximum' },
    { metric: 'ReplicationLagSeconds', label: 'objects sealed', stat: 'Maximum' },
    { metric: 'FeatureLagSeconds', label: 'oldest row pending', stat: 'Maximum' },
    { metric: 'RowLagSeconds', label: 'rows applied', stat: 'Maximum' },
  ],
  bytes: [
    { metric: 'BytesRead', label: 'read', stat: 'Sum' },
    { metric: 'BytesSent', label: 'sent', stat: 'Sum' },
    { metric: 'BytesSaved', label: 'saved', stat: 'Sum' },
  ],
} satisfies Record<string, Wanted[]>

const readJson = async <T>(url: string): Promise<T> => {
  const response = await fetch(url)
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return (await response.json()) as T
}

const readPoints = async (cloudwatch: string, { metric, stat }: Wanted): Promise<Points> => {
  const query = new URLSearchParams({ name: metric, stat, minutes: String(minutes) })
  const listed = await readJson<Listed[]>(`${cloudwatch}/_lifeboat/metrics?${query.toString()}`)
  return listed.find(({ namespace }) => namespace === 'Lifeboat')?.points ?? []
}

/** Why an alarm is in its state: what it saw last against its threshold. */
export const reasonOf = ({ state, comparison, threshold, missing, lastValue }: ListedAlarm): string => {
  if (state === 'INSUFFICIENT_DATA') return 'not evaluated yet, or nothing was measured'
  const limit = `${comparison.startsWith('Greater') ? 'above' : 'below'} ${numeral.format(threshold)}`
  if (lastValue === null) return missing === 'breaching' ? 'nothing measured, which is a breach' : 'nothing happened'
  return `last ${numeral.format(lastValue)}, alarm ${limit}`
}

export const readAlarms = (cloudwatch: string): Promise<ListedAlarm[]> =>
  readJson<ListedAlarm[]>(`${cloudwatch}/_lifeboat/alarms`)

/** Share of the bytes that did not have to travel. */
const savedShare = (sent: Line | undefined, saved: Line | undefined): (number | null)[] =>
  (sent?.values ?? []).map((value, index) => {
    const [less, more] = [saved?.values[index] ?? 0, value ?? 0]
    return less + more > 0 ? Number(((100 * less) / (less + more)).toFixed(2)) : null
  })

const readReports = async (store: BlobStore): Promise<PageData['reports']> => {
  const found = await Promise.all(reportKinds.map((kind) => newestReport(store, kind)))
  return found.flatMap((one) => {
    if (!one) return []
    const { kind, scope, outcome, endedAt, findingsTotal, counts } = one.report
    return [{ kind, scope, outcome, endedAt, findingsTotal, counts }]
  })
}

export const readPageData = async (cloudwatch: string, store: BlobStore): Promise<PageData> => {
  const [lag, bytes, alarms, reports, { speed }] = await Promise.all([
    Promise.all(wanted.lag.map((one) => readPoints(cloudwatch, one))),
    Promise.all(wanted.bytes.map((one) => readPoints(cloudwatch, one))),
    readAlarms(cloudwatch),
    readReports(store),
    readJson<{ speed: number }>(`${cloudwatch}/_lifeboat/stats`),
  ])
  const everySeconds = 60 / speed
  const all = [...lag, ...bytes].filter((points) => points.length > 0)
  const begun = Math.min(
    ...all.map((points) => points.findIndex(({ value }) => value !== null)).filter((at) => at >= 0),
  )
  const from = Math.max(0, Math.min(begun, minutes - minutesShownMin))
  const times = (all[0] ?? []).slice(from).map(({ at }) => at / 1000)
  const lines = (named: readonly Wanted[], found: Points[], scale: (value: number) => number): Line[] =>
    named.map(({ label }, index) => ({
      label,
      values: times.map((_, at) => {
        const value = found[index]?.[from + at]?.value
        return typeof value === 'number' ? scale(value) : null
      }),
    }))
  const rates = lines(wanted.bytes, bytes, (value) => Number((value / mib / everySeconds).toFixed(3)))
  return {
    at: new Date().toISOString(),
    everySeconds,
    times,
    charts: [
      { title: 'Lag', unit: 's', lines: lines(wanted.lag, lag, (value) => Number(value.toFixed(2))) },
      { title: 'Throughput', unit: 'MiB/s', lines: rates },
      { title: 'Dedup', unit: '%', lines: [{ label: 'bytes saved', values: savedShare(rates[1], rates[2]) }] },
    ],
    alarms: alarms.map((alarm) => ({
      name: alarm.name,
      state: alarm.state,
      why: reasonOf(alarm),
      description: alarm.description,
      since: alarm.since,
    })),
    reports,
  }
}
