import type { DynamoDBRecord } from 'aws-lambda'

/** What a record of the ledger's stream orders: a release to be evaluated, a counter to be taken off, an object to be committed. */
export type LedgerOrder =
  | { kind: 'release'; bucket: string; prefix: string }
  | { kind: 'counter'; traceId: string; planId: string; shard: number }
  | { kind: 'object'; traceId: string }

/** undefined for a record that orders nothing. Version N reads what version N-1 left in the stream. */
export const ledgerOrderOf = (record: DynamoDBRecord): LedgerOrder | undefined => {
  const { Keys, NewImage = {} } = record.dynamodb ?? {}
  const sk = Keys?.['sk']?.S ?? ''
  if (sk === 'request')
    return { kind: 'release', bucket: NewImage['bucket']?.S ?? '', prefix: NewImage['prefix']?.S ?? '' }
  const traceId = NewImage['traceId']?.S
  if (traceId === undefined) return undefined
  const [counter, planId, shard] = sk.split('#')
  if (counter === 'left' && planId !== undefined) return { kind: 'counter', traceId, planId, shard: Number(shard) }
  return { kind: 'object', traceId }
}
