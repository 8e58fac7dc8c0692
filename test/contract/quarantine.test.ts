import { CreateBucketCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from '@aws-sdk/client-s3'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { startS3 } from '../../local/s3/server.ts'
import { forEachBounded, toArray } from '../../shared/bounded.ts'
import { createS3Quarantine } from '../../shared/clouds/aws/quarantine.ts'
import { createMemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { CorruptError, NotFoundError } from '../../shared/errors.ts'
import type { Quarantine, Quarantined } from '../../shared/features/deps.ts'
import { awsOptions, inFolder } from '../support/contract-target.ts'

type Opened = {
  fresh(): Promise<Quarantine>
  redriven(): Promise<string[]>
  /** As the event source does, under `aws/lambda/NAME`. */
  giveUp(name: string, records: unknown[]): Promise<void>
  close(): Promise<void>
}

const openMemory = async (): Promise<Opened> => {
  let current = createMemoryQuarantine()
  return {
    fresh: async () => (current = createMemoryQuarantine()),
    redriven: async () => [...current.redriven.keys()],
    giveUp: async (name, records) => current.giveUp(name, records),
    close: async () => undefined,
  }
}

let buckets = 0
const openS3 = async (): Promise<Opened & { s3: S3Client; bucket(): string }> => {
  const running = await inFolder((dir) => startS3({ dir }))
  const s3 = new S3Client({ ...awsOptions(running.url), forcePathStyle: true })
  let Bucket = ''
  return {
    s3,
    bucket: () => Bucket,
    fresh: async () => {
      buckets += 1
      Bucket = `quarantine-${buckets}`
      await s3.send(new CreateBucketCommand({ Bucket }))
      return createS3Quarantine({ s3, bucket: Bucket })
    },
    redriven: async () => {
      const { Contents = [] } = await s3.send(new ListObjectsV2Command({ Bucket, Prefix: 'redriven/' }))
      return Contents.map(({ Key }) => Key ?? '')
    },
    giveUp: async (name, records) => {
      const batch = {
        requestContext: { condition: 'RecordAgeExceeded' },
        payload: JSON.stringify({ Records: records }),
      }
      await s3.send(new PutObjectCommand({ Bucket, Key: `aws/lambda/${name}`, Body: JSON.stringify(batch) }))
    },
    close: async () => {
      s3.destroy()
      await running.close()
    },
  }
}

const arnOf = (table: string): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/${table}/stream/2026-01-01T00:00:00.000`
const changeOf = (table: string, sequenceNumber: string, rest: Partial<Quarantined> = {}): Quarantined => ({
  v: 1,
  table,
  streamArn: arnOf(table),
  sequenceNumber,
  reason: 'too large',
  at: 1_790_000_000_000,
  record: { eventName: 'INSERT', dynamodb: { Keys: { pk: { S: 'é\u0000' } }, SequenceNumber: sequenceNumber } },
  ...rest,
})

describe.each([
  ['memory', openMemory],
  ['S3, embedded', openS3],
])('a quarantine: %s', (_name, open) => {
  let opened: Opened
  let quarantine: Quarantine
  beforeAll(async () => {
    opened = await open()
  })
  beforeEach(async () => {
    quarantine = await opened.fresh()
  })
  afterAll(async () => opened.close())
  const listed = async (table?: string) => toArray(quarantine.list(table))
  const numbers = async (table?: string): Promise<string[]> =>
    (await listed(table)).map(({ change }) => change.sequenceNumber)

  it('gives back what it was given, in the order of sequence numbers', async () => {
    const changes = ['1000', '999', '4'.repeat(40)].map((number) => changeOf('features', number))
    for (const change of changes) await quarantine.put(change)
    expect((await listed()).map(({ change }) => change)).toEqual([changes[1], changes[0], changes[2]])
    const [first] = await listed()
    expect(first?.name).toMatch(/^quarantine\/features\/[0-9a-f]{16}\/0{37}999\.json$/)
  })

  it('holds a change once, however often it is put', async () => {
    for (const reason of ['first', 'second']) await quarantine.put(changeOf('features', '1', { reason }))
    expect((await listed()).map(({ change }) => change.reason)).toEqual(['second'])
  })

  it('tells tables apart, those too that begin alike or are not configured', async () => {
    await quarantine.put(changeOf('features', '1'))
    await quarantine.put(changeOf('features-2', '1'))
    await quarantine.put(changeOf('', '2', { streamArn: arnOf('features') }))
    await quarantine.put(changeOf('', '3', { streamArn: 'no stream' }))
    expect(await numbers('features')).toEqual(['1', '2'])
    expect(await numbers('features-2')).toEqual(['1'])
    expect(await numbers('unknown')).toEqual(['3'])
    expect(await numbers('feat')).toEqual([])
    expect(await numbers()).toHaveLength(4)
  })

  it('keeps records without a sequence number apart by what they hold', async () => {
    for (const record of [{ a: 1 }, { a: 2 }, { a: 1 }])
      await quarantine.put(changeOf('', '', { streamArn: '', record }))
    expect((await listed()).map(({ change }) => change.record)).toHaveLength(2)
  })

  it('moves what is done to the redriven ones, once', async () => {
    await quarantine.put(changeOf('features', '1'))
    await quarantine.put(changeOf('features', '2'))
    const [first] = await listed()
    await quarantine.done(first!.name)
    await quarantine.done(first!.name)
    expect((await listed()).map(({ change }) => change.sequenceNumber)).toEqual(['2'])
    expect(await opened.redriven()).toEqual([first!.name.replace('quarantine/', 'redriven/')])
  })

  it('gives out the batches that were given up, whole, until they are done', async () => {
    await quarantine.put(changeOf('features', '1'))
    const records = [changeOf('features', '2').record, changeOf('features', '3').record]
    await opened.giveUp('mapping/shard-1/2026/01/02/batch-1', records)
    await opened.giveUp('mapping/shard-1/2026/01/02/batch-2', [])
    const [first, second] = await toArray(quarantine.givenUp())
    expect([first?.records, second?.records]).toEqual([records, []])
    expect(await numbers()).toEqual(['1'])
    await quarantine.done(first!.name)
    expect((await toArray(quarantine.givenUp())).map(({ name }) => name)).toEqual([second!.name])
  })

  it('may be emptied while it is listed', async () => {
    for (let index = 0; index < 30; index += 1) await quarantine.put(changeOf('features', String(index)))
    let seen = 0
    for await (const { name } of quarantine.list()) {
      await quarantine.done(name)
      seen += 1
    }
    expect([seen, (await listed()).length]).toEqual([30, 0])
  })
})

describe('a quarantine on S3', () => {
  let opened: Awaited<ReturnType<typeof openS3>>
  beforeAll(async () => {
    opened = await openS3()
  })
  afterAll(async () => opened.close())

  it('lists more than a page', async () => {
    const quarantine = await opened.fresh()
    const numbers = Array.from({ length: 1005 }, (_, index) => String(index))
    await forEachBounded(numbers, 32, (number) => quarantine.put(changeOf('features', number)))
    expect(await toArray(quarantine.list())).toHaveLength(1005)
  }, 60_000)

  it('names an object that is no change, and a bucket that is not there', async () => {
    const quarantine = await opened.fresh()
    const Key = 'quarantine/features/other.json'
    await opened.s3.send(new PutObjectCommand({ Bucket: opened.bucket(), Key, Body: '{"v":2}' }))
    await expect(toArray(quarantine.list())).rejects.toThrow(CorruptError)
    await expect(toArray(quarantine.list())).rejects.toThrow(Key)
    await opened.giveUp('other', [])
    await opened.s3.send(
      new PutObjectCommand({ Bucket: opened.bucket(), Key: 'aws/lambda/other', Body: '{"payload":"?"}' }),
    )
    await expect(toArray(quarantine.givenUp())).rejects.toThrow('aws/lambda/other')
    await quarantine.put(changeOf('features', '7'))
    const passedOver: string[] = []
    const onUnreadable = (name: string): void => void passedOver.push(name)
    const changes = await toArray(quarantine.list('features', onUnreadable))
    expect(changes.map(({ change }) => change.sequenceNumber)).toEqual(['7'])
    expect(passedOver).toEqual([Key])
    expect((await toArray(quarantine.givenUp(onUnreadable))).map(({ name }) => name)).not.toContain('aws/lambda/other')
    expect(passedOver).toEqual([Key, 'aws/lambda/other'])
    const missing = createS3Quarantine({ s3: opened.s3, bucket: 'missing' })
    await expect(missing.put(changeOf('features', '1'))).rejects.toThrow(NotFoundError)
    await expect(toArray(missing.list())).rejects.toThrow(NotFoundError)
  })
})
