import * as z from 'zod'
import { InvalidInputError } from '../errors.ts'

/**
 * List prices in dollars of us-east-1 and of Google's us-central1, as of the date beside them; what a company pays it says with
 * `--prices FILE`. Sources are in docs/scale.md.
 */
export const pricesAsOf = '2026-01-01'

export const defaultPrices = {
  /** Out of AWS to the internet, the first 10 TB of a month. */
  egressGb: 0.09,
  s3ListsThousand: 0.005,
  s3GetsThousand: 0.0004,
  dynamodbReadsMillion: 0.125,
  dynamodbWritesMillion: 0.625,
  sqsMillion: 0.4,
  lambdaMillion: 0.2,
  /** Of arm64. */
  lambdaGbSecond: 0.0000133334,
  gcsCreatesThousand: 0.005,
  gcsReadsThousand: 0.0004,
}
export type Prices = typeof defaultPrices
export type PriceName = keyof Prices

const fileSchema = z.partialRecord(
  z.enum(Object.keys(defaultPrices) as [PriceName, ...PriceName[]]),
  z.number().nonnegative(),
)

/** The default prices with those of `given` in their place. Throws InvalidInputError that names the prices there are. */
export const pricesOf = (given: unknown = {}): Prices => {
  const parsed = fileSchema.safeParse(given)
  if (parsed.success) return { ...defaultPrices, ...parsed.data }
  const [issue] = parsed.error.issues
  throw new InvalidInputError(
    `prices: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}; allowed: dollars of ${Object.keys(defaultPrices).join(', ')}`,
  )
}
