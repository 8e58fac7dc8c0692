import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { GetObjectCommand, ListObjectsV2Command } from '@aws-sdk/client-s3'
import { afterEach, describe, expect, it } from 'vitest'
import { type Fixture, fixtureTemplate, openFixture, until } from './runner-fixture.ts'

let fixture: Fixture
afterEach(() => fixture.close())

const put = async (pk: string, doing: object = {}): Promise<void> => {
  const Item = { pk: { S: pk }, doing: { S: JSON.stringify(doing) }, at: { N: String(Math.random()) } }
  await fixture.clients.dynamodb.send(new PutItemCommand({ TableName: 'fixture-table', Item }))
}
const keysOf = (bodies: unknown[]): string => bodies.map((body) => (body as { key: string }).key).join('')
const invocations = (): string[] => fixture.entries().map((entry) => keysOf(entry.bodies))

type FailedBatch = {
  requestContext: { condition: string }
  DDBStreamBatchInfo: { batchSize: number; startSequenceNumber: string }
  payload: string
}
const failedBatches = async (): Promise<FailedBatch[]> => {
  const { s3 } = fixture.clients
  const listed = await s3.send(new ListObjectsV2Command({ Bucket: 'fixture-failures' }))
  return Promise.all(
    (listed.Contents ?? []).map(async ({ Key }) => {
      expect(Key).toMatch(/^aws\/lambda\/FollowTable\/shardId-[^/]+\/\d{4}\/\d\d\/\d\d\/\d{4}-/)
      const object = await s3.send(new GetObjectCommand({ Bucket: 'fixture-failures', Key }))
      return JSON.parse(await object.Body!.transformToString()) as FailedBatch
    }),
  )
}

describe('a stream as event source', () => {
  it('hands on every change in order, as Lambda shapes it', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: {} }))
    for (const key of ['a', 'b', 'c', 'a']) await put(key)
    const runner = await fixture.start()
    await runner.idle()
    expect(invocations()).toEqual(['abca'])
    expect(fixture.entries()[0]?.bodies.map((body) => (body as { eventName: string }).eventName)).toEqual([
      'INSERT',
      'INSERT',
      'INSERT',
      'MODIFY',
    ])
    await put('d')
    await runner.idle()
    expect(invocations()).toEqual(['abca', 'd'])
  })

  it('tries again from the lowest failed record', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: {} }))
    await put('a')
    await put('b', { failUntil: 2 })
    await put('c')
    await (await fixture.start()).idle()
    expect(invocations()).toEqual(['abc', 'bc'])
  })

  it('halves a batch that fails until the poison is alone, and stores it whole', async () => {
    const stream = { BisectBatchOnFunctionError: true, MaximumRetryAttempts: 1 }
    fixture = await openFixture(fixtureTemplate({ stream }))
    for (const key of ['a', 'b', 'c', 'd']) await put(key, key === 'c' ? { throw: 'poison' } : {})
    await (await fixture.start()).idle()
    // The function throws before it says which one it was: abcd, ab fine, cd, c, c again, given up, d.
    expect(invocations()).toEqual(['abcd', 'ab', 'cd', 'c', 'c', 'd'])
    const [batch, ...others] = await failedBatches()
    expect(others).toEqual([])
    expect(batch).toMatchObject({
      requestContext: { condition: 'RetryAttemptsExhausted' },
      DDBStreamBatchInfo: { batchSize: 1 },
    })
    const { Records } = JSON.parse(batch!.payload) as {
      Records: { dynamodb: { NewImage: unknown; SequenceNumber: string } }[]
    }
    expect(Records).toHaveLength(1)
    expect(Records[0]?.dynamodb.NewImage).toMatchObject({ pk: { S: 'c' } })
    expect(Records[0]?.dynamodb.SequenceNumber).toBe(batch!.DDBStreamBatchInfo.startSequenceNumber)
  })

  it('gives up a whole batch that is not halved after its retries, and goes on', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: { MaximumRetryAttempts: 1, FunctionResponseTypes: [] } }))
    await put('a', { throw: 'poison' })
    await put('b')
    const runner = await fixture.start()
    await runner.idle()
    await put('c')
    await runner.idle()
    expect(invocations()).toEqual(['ab', 'ab', 'c'])
    expect((await failedBatches()).map((batch) => batch.DDBStreamBatchInfo.batchSize)).toEqual([2])
  })

  it('invokes only for what a filter lets through, on new images and on event names', async () => {
    const Pattern = JSON.stringify({
      eventName: ['INSERT', 'MODIFY'],
      dynamodb: { NewImage: { doing: { S: [{ prefix: '{"left":0' }] } } },
    })
    fixture = await openFixture(fixtureTemplate({ stream: { FilterCriteria: { Filters: [{ Pattern }] } } }))
    await put('a', { left: 1 })
    await put('b', { left: 0 })
    await put('a', { left: 0 })
    await (await fixture.start()).idle()
    expect(invocations().join('')).toBe('ba')
  })

  it('goes on after its checkpoint when it starts again', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: {} }))
    await put('a')
    const first = await fixture.start()
    await first.idle()
    await first.stop()
    await put('b')
    const second = await fixture.start()
    await second.idle()
    expect(invocations()).toEqual(['a', 'b'])
  })

  it('loses nothing when the instance is killed in the middle of a batch', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: {} }))
    await put('a', { sleepMs: 300 })
    await put('b')
    const runner = await fixture.start()
    await until(() => fixture.entries().length === 1, 'an invocation')
    await runner.kill()
    await runner.idle()
    expect(invocations()).toEqual(['ab', 'ab'])
    expect(runner.stats()['fixture-follow']).toMatchObject({ invocations: 2, errors: 1 })
  })

  it('reads the children of a shard only after the shard itself', async () => {
    fixture = await openFixture(fixtureTemplate({ stream: { BatchSize: 3 } }))
    for (let n = 0; n < 6; n += 1) await put(`p${n}`, { before: true })
    await fixture.dynamodb.split('fixture-table')
    for (let n = 0; n < 6; n += 1) await put(`p${n}`, { before: false })
    const runner = await fixture.start()
    await runner.idle()
    const seen = fixture.entries().flatMap((entry) => entry.bodies as { before: boolean; key: string }[])
    expect(seen).toHaveLength(12)
    expect(seen.slice(0, 6).every((body) => body.before)).toBe(true)
    expect(new Set(seen.slice(6).map((body) => body.key)).size).toBe(6)
    await fixture.dynamodb.split('fixture-table')
    await put('p0', { before: false })
    await runner.idle()
    expect(fixture.entries().flatMap((entry) => entry.bodies)).toHaveLength(13)
  })
})
