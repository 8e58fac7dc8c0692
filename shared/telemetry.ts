import { Logger } from '@aws-lambda-powertools/logger'
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics'
import type { Telemetry } from './ports.ts'

const units = { Count: MetricUnit.Count, Bytes: MetricUnit.Bytes, Seconds: MetricUnit.Seconds } as const

/** Structured logs and EMF metrics by Powertools; `flush` writes the metrics of one invocation. */
export const createTelemetry = (): Telemetry & { flush: () => void } => {
  const logger = new Logger()
  const metrics = new Metrics()
  return {
    count: (metric, value, unit = 'Count') => metrics.addMetric(metric, units[unit], value),
    log: (level, message, fields = {}) => {
      const { error, ...rest } = fields
      logger[level](message, error instanceof Error ? { ...rest, error } : rest)
    },
    flush: () => {
      if (metrics.hasStoredMetrics()) metrics.publishStoredMetrics()
    },
  }
}
