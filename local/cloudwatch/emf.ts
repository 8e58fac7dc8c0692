import { z } from 'zod'
import type { Datum } from './store.ts'

/**
 * The embedded metric format: metrics that a function prints among its log lines
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html).
 */
const emfSchema = z.looseObject({
  _aws: z.object({
    Timestamp: z.number(),
    CloudWatchMetrics: z.array(
      z.object({
        Namespace: z.string(),
        Dimensions: z.array(z.array(z.string())),
        Metrics: z.array(z.object({ Name: z.string() })),
      }),
    ),
  }),
})

export const looksLikeEmf = (line: string): boolean => line.includes('"_aws"') && line.startsWith('{')

const numbersOf = (value: unknown): number[] =>
  (Array.isArray(value) ? value : [value]).filter((one) => typeof one === 'number' && Number.isFinite(one)) as number[]

const parseJson = (line: string): unknown => {
  try {
    return JSON.parse(line) as unknown
  } catch {
    return undefined
  }
}

/** What a line says; nothing of a line that is not EMF, as CloudWatch Logs passes over those. */
export const parseEmf = (line: string): Datum[] => {
  const parsed = emfSchema.safeParse(parseJson(line))
  if (!parsed.success) return []
  const { _aws: about, ...members } = parsed.data
  return about.CloudWatchMetrics.flatMap(({ Namespace, Dimensions, Metrics }) =>
    Dimensions.flatMap((names) => {
      const dimensions = Object.fromEntries(names.map((name) => [name, String(members[name])]))
      return Metrics.map(({ Name }) => ({
        namespace: Namespace,
        name: Name,
        dimensions,
        values: numbersOf(members[Name]),
        timestampMs: about.Timestamp,
      }))
    }),
  )
}
