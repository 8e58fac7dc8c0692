import { TransactionCanceledException, type DynamoDBClient } from '@aws-sdk/client-dynamodb'
import type { HeadObjectCommandOutput, S3Client } from '@aws-sdk/client-s3'
import type { SQSClient } from '@aws-sdk/client-sqs'
import type { SQSEvent } from 'aws-lambda'
import { describe, expect, it } from 'vitest'
import { DeniedError, isRetryable, UnavailableError } from '../../shared/errors.ts'
import { translateAwsError } from '../../shared/clouds/aws/errors.ts'
import { transact } from '../../shared/clouds/aws/ledger-table.ts'
import { createS3Source } from '../../shared/clouds/aws/s3-source.ts'
import { handleSqsBatch } from '../../shared/clouds/aws/sqs-batch.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'

/** What the real services say that no emulator here does. */

describe('createS3Source', () => {
  it.each([
    ['GLACIER', undefined, undefined, true],
    ['DEEP_ARCHIVE', 'ongoing-request="true"', undefined, true],
    ['GLACIER', 'ongoing-request="false", expiry-date="Fri, 21 Dec 2027 00:00:00 GMT"', undefined, undefined],
    ['INTELLIGENT_TIERING', undefined, 'DEEP_ARCHIVE_ACCESS', true],
    ['INTELLIGENT_TIERING', undefined, undefined, undefined],
    ['GLACIER_IR', undefined, undefined, undefined],
  ] as const)('knows what is archived: %s, restore %s, status %s', async (StorageClass, Restore, ArchiveStatus, is) => {
    const head = { StorageClass, Restore, ArchiveStatus, ETag: '"e"' } as HeadObjectCommandOutput
    const client = { send: async () => head } as unknown as S3Client
    expect((await createS3Source(client).head({ bucket: 'b', key: 'k' }))?.isArchived).toBe(is)
  })
})

describe('translateAwsError', () => {
  it.each([
    ['KMS.DisabledException', 400, DeniedError],
    ['KMS.ThrottlingException', 400, Error],
    ['KMS.KMSInternalException', 500, UnavailableError],
  ])('takes %s with %i for what it is', (name, httpStatusCode, kind) => {
    const error = Object.assign(new Error('no'), { name, $metadata: { httpStatusCode } })
    const translated = translateAwsError(error, 'read')
    expect(translated).toBeInstanceOf(kind)
    expect(translated instanceof DeniedError).toBe(kind === DeniedError)
  })
})

describe('transact', () => {
  it.each(['TransactionConflict', 'ThrottlingError', 'ProvisionedThroughputExceeded'])(
    'tries again what was cancelled by %s',
    async (Code) => {
      let calls = 0
      const client = {
        send: async () => {
          calls += 1
          if (calls > 1) return {}
          throw new TransactionCanceledException({
            message: 'cancelled',
            $metadata: {},
            CancellationReasons: [{ Code: 'None' }, { Code }],
          })
        },
      } as unknown as DynamoDBClient
      expect(await transact(client, [])).toBeUndefined()
      expect(calls).toBe(2)
    },
  )

  it('takes a write that a transaction was faster than for one that a retry cures', () =>
    expect(isRetryable(translateAwsError({ name: 'TransactionConflictException', $metadata: {} }, 'put'))).toBe(true))
})

describe('handleSqsBatch', () => {
  it('lets no renewal of a lease undo the short wait of a retry, and none run on', async () => {
    const done: string[] = []
    const sqs = {
      send: async ({ constructor }: { constructor: { name: string } }) => {
        await new Promise((resolve) => setTimeout(resolve, constructor.name.includes('Batch') ? 50 : 1))
        done.push(constructor.name)
        return {}
      },
    } as unknown as SQSClient
    const record = { messageId: 'm', receiptHandle: 'r', body: '', attributes: { ApproximateReceiveCount: '1' } }
    const answer = await handleSqsBatch({ Records: [record] } as unknown as SQSEvent, {
      sqs,
      queueUrl: 'http://queue',
      random: { next: () => 0, hex: () => '' },
      telemetry: createMemoryTelemetry(),
      handle: async () => {
        throw new UnavailableError('later')
      },
    })
    expect(answer).toEqual({ batchItemFailures: [{ itemIdentifier: 'm' }] })
    expect(done).toEqual(['ChangeMessageVisibilityBatchCommand', 'ChangeMessageVisibilityCommand'])
  })

  it('waits an outage out: before the queue gives a message up, it goes on as a new one', async () => {
    const sent: unknown[] = []
    const handle = async (receiveCount: number, error: Error, accepts = true) => {
      const sqs = {
        send: async ({ constructor, input }: { constructor: { name: string }; input: unknown }) => {
          if (constructor.name === 'SendMessageCommand') {
            if (!accepts) throw Object.assign(new Error('down'), { $metadata: { httpStatusCode: 503 } })
            sent.push(input)
          }
          return {}
        },
      } as unknown as SQSClient
      const attributes = { ApproximateReceiveCount: String(receiveCount) }
      const record = { messageId: 'm', receiptHandle: 'r', body: 'what it said', attributes }
      const answer = await handleSqsBatch({ Records: [record] } as unknown as SQSEvent, {
        sqs,
        queueUrl: 'http://queue',
        random: { next: () => 0, hex: () => '' },
        telemetry: createMemoryTelemetry(),
        handle: async () => {
          throw error
        },
      })
      return answer.batchItemFailures.length
    }
    expect(await handle(3, new UnavailableError('down'))).toBe(1)
    expect(await handle(4, new DeniedError('no'))).toBe(1)
    expect(await handle(4, new UnavailableError('down'), false)).toBe(1)
    expect(sent).toEqual([])
    expect(await handle(4, new UnavailableError('down'))).toBe(0)
    expect(sent).toEqual([{ QueueUrl: 'http://queue', MessageBody: 'what it said', DelaySeconds: 60 }])
  })
})
