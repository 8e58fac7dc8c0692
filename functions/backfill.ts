import type { Context, SQSBatchResponse, SQSEvent } from 'aws-lambda'
import { type BackfillAnswer, control, requestSchema } from '../shared/backfill/control.ts'
import { parseWork, receivesMax } from '../shared/backfill/message.ts'
import { workOn } from '../shared/backfill/work.ts'
import { handleSqsBatch } from '../shared/clouds/aws/sqs-batch.ts'
import { InvalidInputError } from '../shared/errors.ts'
import { wireBackfill } from '../shared/wiring-backfill.ts'

const { deps, env, sqs, flush } = wireBackfill()

const isBatch = (event: unknown): event is SQSEvent =>
  typeof event === 'object' && event !== null && Array.isArray((event as Partial<SQSEvent>).Records)

const problemOf = (event: unknown): string => {
  const [issue] = requestSchema.safeParse(event).error?.issues ?? []
  return `${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`
}

/** By hand: a request of an operator. By its own queue: one part of a backfill goes on. */
export const handler = async (event: unknown, context: Context): Promise<BackfillAnswer | SQSBatchResponse> => {
  const deadline = { remainingMs: () => context.getRemainingTimeInMillis() }
  try {
    if (isBatch(event))
      return await handleSqsBatch(event, {
        sqs,
        queueUrl: env.backfillQueueUrl,
        random: deps.weights.random,
        telemetry: deps.weights.telemetry,
        leaseSeconds: env.leaseSeconds,
        handle: async (record) => {
          const work = parseWork(record.body)
          const outcome = await workOn(
            deps,
            work,
            deadline,
            Number(record.attributes.ApproximateReceiveCount) >= receivesMax,
          )
          deps.weights.telemetry.log('info', `backfill ${outcome}`, { stage: 'backfill', ...work })
        },
      })
    const parsed = requestSchema.safeParse(event)
    if (!parsed.success)
      throw new InvalidInputError(`expected a request as docs/backfill.md has them: ${problemOf(event)}`)
    return await control(deps, parsed.data, deadline)
  } finally {
    flush()
  }
}
