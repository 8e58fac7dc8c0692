import { GetQueueAttributesCommand, type SQSClient } from '@aws-sdk/client-sqs'
import { NotConfiguredError } from '../../errors.ts'
import type { QueueCounts } from '../../proof/lag-deps.ts'
import { translated } from './errors.ts'

/** `urls` are those of the queues, by name. */
export const createQueueCounts = (sqs: SQSClient, urls: ReadonlyMap<string, string>): QueueCounts => ({
  count: async (queue) => {
    const QueueUrl = urls.get(queue)
    if (QueueUrl === undefined) throw new NotConfiguredError(`there is no queue ${queue}`)
    const { Attributes } = await translated(`count messages of ${queue}`, () =>
      sqs.send(
        new GetQueueAttributesCommand({
          QueueUrl,
          AttributeNames: [
            'ApproximateNumberOfMessages',
            'ApproximateNumberOfMessagesNotVisible',
            'ApproximateNumberOfMessagesDelayed',
          ],
        }),
      ),
    )
    const of = (name: keyof NonNullable<typeof Attributes>): number => Number(Attributes?.[name] ?? 0)
    const delayed = of('ApproximateNumberOfMessagesDelayed')
    const messages = of('ApproximateNumberOfMessages') + of('ApproximateNumberOfMessagesNotVisible') + delayed
    return { messages, delayed }
  },
})

/** `lifeboat-dev-objects` of `https://sqs.eu-west-1.amazonaws.com/123456789012/lifeboat-dev-objects`. */
export const queueNameOf = (url: string): string => url.slice(url.lastIndexOf('/') + 1)
