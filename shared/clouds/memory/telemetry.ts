import type { Telemetry } from '../../ports.ts'

export type LogLine = { level: string; message: string; fields: Record<string, unknown> }
export type MemoryTelemetry = Telemetry & {
  /** The sum of what was counted under a metric. */
  total(metric: string): number
  lines: LogLine[]
}

/** Telemetry that keeps what it is told. */
export const createMemoryTelemetry = (): MemoryTelemetry => {
  const totals = new Map<string, number>()
  const lines: LogLine[] = []
  return {
    lines,
    total: (metric) => totals.get(metric) ?? 0,
    count: (metric, value) => void totals.set(metric, (totals.get(metric) ?? 0) + value),
    log: (level, message, fields = {}) => void lines.push({ level, message, fields }),
  }
}
