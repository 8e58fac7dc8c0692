import type { Context, DynamoDBBatchResponse, DynamoDBRecord, DynamoDBStreamEvent } from 'aws-lambda'
import { mapInOrder, toArray } from '../shared/bounded.ts'
import { ledgerOrderOf } from '../shared/clouds/aws/ledger-stream.ts'
import { collapseCounter } from '../shared/clouds/aws/segment-ledger.ts'
import { isRetryable } from '../shared/errors.ts'
import { commitObject } from '../shared/weights/commit.ts'
import { evaluateRelease } from '../shared/weights/release.ts'
import { sweep } from '../shared/weights/sweep.ts'
import { wireWeights } from '../shared/wiring.ts'

/** Records of one batch are mostly of different objects, and a commit is mostly waiting for GCS. */
const commitsAtOnce = 4

const { deps, env, dynamodb, flush } = wireWeights()

const evaluate = async (bucket: string, prefix: string): Promise<void> => {
  const release = await deps.releases.get(bucket, prefix)
  if (release) await evaluateRelease(deps, bucket, release)
}

const commitRecord = async (record: DynamoDBRecord, context: Context): Promise<void> => {
  const order = ledgerOrderOf(record)
  if (!order) return
  if (order.kind === 'release') return evaluate(order.bucket, order.prefix)
  const { traceId } = order
  if (order.kind === 'counter') return collapseCounter(dynamodb, env.ledgerTable, traceId, order.planId, order.shard)
  const outcome = await commitObject(deps, traceId, { remainingMs: () => context.getRemainingTimeInMillis() })
  deps.telemetry.log('info', `commit ${outcome}`, { stage: 'commit', traceId })
}

/** The record's number where a retry may cure what went wrong. */
const answerOf = async (record: DynamoDBRecord, context: Context): Promise<string | undefined> => {
  try {
    await commitRecord(record, context)
    return undefined
  } catch (error) {
    const retryable = isRetryable(error)
    deps.telemetry.count('CommitsFailed', 1)
    deps.telemetry.log('error', 'commit failed', { stage: 'commit', error, retryable })
    // What a retry cannot cure must not hold up the shard: the object stays pending and the sweep looks at it again.
    return retryable ? (record.dynamodb?.SequenceNumber ?? '') : undefined
  }
}

/** Ledger stream: every unit of an object is done. Schedule: what no trigger announced. */
export const handler = async (
  event: DynamoDBStreamEvent | { lifeboat: 'sweep' },
  context: Context,
): Promise<DynamoDBBatchResponse | void> => {
  try {
    if (!('Records' in event)) {
      const swept = await sweep(deps, { remainingMs: () => context.getRemainingTimeInMillis() })
      return deps.telemetry.log('info', 'swept', { stage: 'sweep', ...swept })
    }
    const answers = await toArray(mapInOrder(event.Records, commitsAtOnce, (record) => answerOf(record, context)))
    // The stream comes again from the first of these on, and what was done after it is done again for nothing.
    const [first] = answers.filter((answer) => answer !== undefined)
    return { batchItemFailures: first === undefined ? [] : [{ itemIdentifier: first }] }
  } finally {
    flush()
  }
}
