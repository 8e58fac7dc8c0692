import { type AlarmState, type Comparison, evaluateAlarm, evaluationRange, type MissingData } from './evaluate.ts'
import { type Dimensions, minuteMs, type MetricStore } from './store.ts'

/** A metric alarm of the template, with every intrinsic function resolved. */
export type AlarmSpec = {
  name: string
  description: string
  namespace: string
  metric: string
  dimensions: Dimensions
  /** Sum, Maximum and so on, or a percentile such as p99. */
  statistic: string
  periodSeconds: number
  evaluationPeriods: number
  datapointsToAlarm: number
  threshold: number
  comparison: Comparison
  missing: MissingData
}
export type Alarm = AlarmSpec & { state: AlarmState; sinceMs: number; lastValue: number | undefined }

export type Alarms = {
  /** Replaces all; one that is known under its name keeps its state. */
  put(specs: readonly AlarmSpec[], nowMs: number): void
  /** Evaluates each at a whole minute: windows of its period that end there. */
  evaluate(nowMs: number): void
  list(): Alarm[]
}

/** One value a period, oldest first, of windows that slide with every evaluation. */
const datapointsOf = (store: MetricStore, spec: AlarmSpec, endMs: number): (number | undefined)[] => {
  const { namespace, metric: name, dimensions, statistic, periodSeconds } = spec
  const periodMs = periodSeconds * 1000
  return Array.from({ length: evaluationRange(spec) }, (_, index) => {
    const toMs = endMs - (evaluationRange(spec) - 1 - index) * periodMs
    return store.read({ namespace, name, dimensions }, statistic, toMs - periodMs, toMs)
  })
}

export const createAlarms = (store: MetricStore): Alarms => {
  let alarms = new Map<string, Alarm>()
  return {
    put: (specs, nowMs) => {
      const before = alarms
      alarms = new Map(
        specs.map((spec) => {
          const known = before.get(spec.name)
          const { state = 'INSUFFICIENT_DATA', sinceMs = nowMs, lastValue } = known ?? {}
          return [spec.name, { ...spec, state, sinceMs, lastValue }]
        }),
      )
    },
    evaluate: (nowMs) => {
      const endMs = Math.floor(nowMs / minuteMs) * minuteMs
      for (const alarm of alarms.values()) {
        const datapoints = datapointsOf(store, alarm, endMs)
        const state = evaluateAlarm(alarm, datapoints, alarm.state)
        alarm.lastValue = datapoints.findLast((value) => value !== undefined)
        if (state !== alarm.state) alarm.sinceMs = nowMs
        alarm.state = state
      }
    },
    list: () => Array.from(alarms.values(), (alarm) => ({ ...alarm })),
  }
}
