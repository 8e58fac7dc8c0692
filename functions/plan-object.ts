import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda'
import { handleSqsBatch } from '../shared/clouds/aws/sqs-batch.ts'
import { createConfigCopier } from '../shared/weights/config-copy.ts'
import { receiveMessage } from '../shared/weights/receive.ts'
import { wireWeights } from '../shared/wiring.ts'

const { deps, env, sqs, flush } = wireWeights()
const copyConfig = createConfigCopier(deps)

/** Objects queue: an object of a source bucket was created or deleted. */
export const handler = async (event: SQSEvent, _context: Context): Promise<SQSBatchResponse> => {
  try {
    return await handleSqsBatch(event, {
      sqs,
      queueUrl: env.objectsQueueUrl,
      random: deps.random,
      telemetry: deps.telemetry,
      leaseSeconds: env.leaseSeconds,
      handle: async (record) => {
        await copyConfig()
        await receiveMessage(deps, record.body, record.attributes.ApproximateReceiveCount === '1')
      },
    })
  } finally {
    flush()
  }
}
