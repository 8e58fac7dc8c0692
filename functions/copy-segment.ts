import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda'
import { createBrake } from '../shared/backfill/brake.ts'
import { createProofState } from '../shared/clouds/aws/proof-state.ts'
import { handleSqsBatch, isOfQueue } from '../shared/clouds/aws/sqs-batch.ts'
import { collectLessOften } from '../shared/collector.ts'
import { work } from '../shared/weights/work.ts'
import { wireWeights } from '../shared/wiring.ts'

collectLessOften()
const { deps, env, sqs, dynamodb, flush } = wireWeights()
const brake = createBrake({ state: createProofState(dynamodb, env.ledgerTable), clock: deps.clock })

/** Segments queues, that of backfills too: copies one segment, or reads a range again for its digest. */
export const handler = async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
  const deadline = { remainingMs: () => context.getRemainingTimeInMillis() }
  try {
    return await handleSqsBatch(event, {
      sqs,
      queueUrl: isOfQueue(event, env.backfillSegmentsQueueUrl) ? env.backfillSegmentsQueueUrl : env.segmentsQueueUrl,
      random: deps.random,
      telemetry: deps.telemetry,
      leaseSeconds: env.leaseSeconds,
      handle: (record) => work(deps, record.body, deadline, brake),
    })
  } finally {
    flush()
  }
}
