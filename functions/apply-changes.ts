import type { Context, DynamoDBBatchResponse, DynamoDBStreamEvent } from 'aws-lambda'
import { applyBatch } from '../shared/features/apply-batch.ts'
import { wireRows } from '../shared/wiring-rows.ts'

const { deps, flush } = wireRows()

/** Streams of the source tables: changes of items become rows. */
export const handler = async (event: DynamoDBStreamEvent, context: Context): Promise<DynamoDBBatchResponse> => {
  try {
    return await applyBatch(deps, event.Records, { remainingMs: () => context.getRemainingTimeInMillis() })
  } finally {
    flush()
  }
}
