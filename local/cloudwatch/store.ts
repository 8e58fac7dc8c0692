/** Datapoints by the minute, as CloudWatch keeps them at standard resolution: the last 4,500 minutes that have any. */
export type Dimensions = Readonly<Record<string, string>>
export type MetricId = { namespace: string; name: string; dimensions: Dimensions }
export type Datum = MetricId & { values: readonly number[]; timestampMs: number }

export const minuteMs = 60_000
const minutesKept = 4500
/** Percentiles are of the first so many values of a minute. */
const valuesKept = 5000

type Minute = { count: number; sum: number; minimum: number; maximum: number; values: number[] }
type Series = { id: MetricId; minutes: Map<number, Minute> }
export type MetricStore = {
  add(datum: Datum): void
  /** The statistic over [fromMs, toMs), undefined where there is no datapoint. `Sum`, `p99` and so on. */
  read(id: MetricId, statistic: string, fromMs: number, toMs: number): number | undefined
  list(): MetricId[]
}

const keyOf = ({ namespace, name, dimensions }: MetricId): string =>
  JSON.stringify([namespace, name, Object.entries(dimensions).sort(([a], [b]) => (a < b ? -1 : 1))])

const statistics: Record<string, (minute: Minute) => number> = {
  Sum: ({ sum }) => sum,
  Average: ({ sum, count }) => sum / count,
  Minimum: ({ minimum }) => minimum,
  Maximum: ({ maximum }) => maximum,
  SampleCount: ({ count }) => count,
}
const percentilePattern = /^p(\d{1,2}(?:\.\d+)?|100)$/

export const isStatistic = (statistic: string): boolean =>
  Object.hasOwn(statistics, statistic) || percentilePattern.test(statistic)

/** By the nearest rank. */
const percentile = (values: readonly number[], percent: number): number => {
  const sorted = values.toSorted((a, b) => a - b)
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] ?? 0
}

const merge = (minutes: readonly Minute[]): Minute => ({
  count: minutes.reduce((total, { count }) => total + count, 0),
  sum: minutes.reduce((total, { sum }) => total + sum, 0),
  minimum: minutes.reduce((least, { minimum }) => Math.min(least, minimum), Infinity),
  maximum: minutes.reduce((most, { maximum }) => Math.max(most, maximum), -Infinity),
  values: minutes.flatMap(({ values }) => values),
})

const addTo = (minutes: Map<number, Minute>, { values, timestampMs }: Datum): void => {
  const at = Math.floor(timestampMs / minuteMs)
  const now: Minute = minutes.get(at) ?? { count: 0, sum: 0, minimum: Infinity, maximum: -Infinity, values: [] }
  for (const value of values) {
    now.count += 1
    now.sum += value
    now.minimum = Math.min(now.minimum, value)
    now.maximum = Math.max(now.maximum, value)
    if (now.values.length < valuesKept) now.values.push(value)
  }
  if (now.count > 0) minutes.set(at, now)
  if (minutes.size > minutesKept) minutes.delete(Math.min(...minutes.keys()))
}

export const createMetricStore = (): MetricStore => {
  const all = new Map<string, Series>()
  return {
    add: (datum) => {
      const key = keyOf(datum)
      const { namespace, name, dimensions } = datum
      const series = all.get(key) ?? { id: { namespace, name, dimensions }, minutes: new Map<number, Minute>() }
      all.set(key, series)
      addTo(series.minutes, datum)
    },
    read: (id, statistic, fromMs, toMs) => {
      const series = all.get(keyOf(id))
      if (!series) return undefined
      const [first, last] = [Math.floor(fromMs / minuteMs), Math.ceil(toMs / minuteMs)]
      const found: Minute[] = []
      for (let at = first; at < last; at += 1) {
        const minute = series.minutes.get(at)
        if (minute) found.push(minute)
      }
      if (found.length === 0) return undefined
      const merged = merge(found)
      const percent = percentilePattern.exec(statistic)?.[1]
      return percent === undefined ? statistics[statistic]?.(merged) : percentile(merged.values, Number(percent))
    },
    list: () => Array.from(all.values(), ({ id }) => id),
  }
}
