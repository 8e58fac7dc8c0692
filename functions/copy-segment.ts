import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda'
import { handleSqsBatch } from '../shared/clouds/aws/sqs-batch.ts'
import { collectLessOften } from '../shared/collector.ts'
import { work } from '../shared/weights/work.ts'
import { wireWeights } from '../shared/wiring.ts'

collectLessOften()
const { deps, env, sqs, flush } = wireWeights()

/** Segments queue: copies one segment, or reads a range again for its digest. */
export const handler = async (event: SQSEvent, context: Context): Promise<SQSBatchResponse> => {
  const deadline = { remainingMs: () => context.getRemainingTimeInMillis() }
  try {
    return await handleSqsBatch(event, {
      sqs,
      queueUrl: env.segmentsQueueUrl,
      random: deps.random,
      telemetry: deps.telemetry,
      leaseSeconds: env.leaseSeconds,
      handle: (record) => work(deps, record.body, deadline),
    })
  } finally {
    flush()
  }
}
