import { assert, asyncProperty, boolean, integer, uniqueArray } from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { Outcome } from '../../local/lambda/instance.ts'
import { type BatchPolicy, type GivenUp, runStreamBatch } from '../../local/lambda/stream-batch.ts'
import type { StreamRecord } from '../../local/lambda/stream-client.ts'

const nowSeconds = 1_800_000_000
const record = (n: number, ageSeconds = 0): StreamRecord => ({
  eventID: String(n),
  eventName: 'INSERT',
  dynamodb: { SequenceNumber: String(n), ApproximateCreationDateTime: nowSeconds - ageSeconds },
})
const policy: BatchPolicy = { bisect: false, retriesMax: -1, recordAgeMaxMs: -1, partialFailures: true }
const numbers = (records: StreamRecord[]): number[] => records.map((one) => Number(one.dynamodb.SequenceNumber))
const error: Outcome = { ok: false, timedOut: false, error: { errorType: 'Error', errorMessage: 'no', trace: [] } }

const run = async (
  records: StreamRecord[],
  change: Partial<BatchPolicy>,
  answer: (batch: number[], call: number) => Outcome,
) => {
  const calls: number[][] = []
  const checkpoints: number[] = []
  const given: (Pick<GivenUp, 'condition' | 'invocations'> & { records: number[] })[] = []
  let now = nowSeconds * 1000
  await runStreamBatch(
    records,
    { ...policy, ...change },
    {
      invoke: async (batch) => {
        calls.push(numbers(batch))
        return answer(numbers(batch), calls.length)
      },
      checkpoint: (sequenceNumber) => void checkpoints.push(Number(sequenceNumber)),
      giveUp: async ({ condition, invocations, records: left }) =>
        void given.push({ condition, invocations, records: numbers(left) }),
      backOff: async () => void (now += 1000),
      now: () => now,
    },
  )
  return { calls, checkpoints, given }
}
const failing = (...ids: number[]): Outcome => ({
  ok: true,
  payload: JSON.stringify({ batchItemFailures: ids.map((id) => ({ itemIdentifier: String(id) })) }),
})

const settle = (bisect: boolean, check: (lost: number[], poison: number[]) => void) =>
  assert(
    asyncProperty(
      uniqueArray(integer({ min: 1, max: 20 })),
      integer({ min: 1, max: 20 }),
      boolean(),
      async (ids, size, reports) => {
        const poison = ids.filter((n) => n <= size).sort((a, b) => a - b)
        const records = Array.from({ length: size }, (_, at) => record(at + 1))
        const fine: number[] = []
        const { checkpoints, given } = await run(records, { bisect, retriesMax: 2 }, (batch) => {
          const first = batch.findIndex((n) => poison.includes(n))
          fine.push(...(first < 0 ? batch : batch.slice(0, first)))
          if (first < 0) return failing()
          return reports ? failing(...batch.filter((n) => poison.includes(n))) : error
        })
        expect(checkpoints).toEqual(checkpoints.toSorted((a, b) => a - b))
        expect(checkpoints.at(-1)).toBe(size)
        const lost = given.flatMap((one) => one.records)
        expect(new Set(lost).size).toBe(lost.length)
        expect([...new Set([...lost, ...fine])].sort((a, b) => a - b)).toEqual(numbers(records))
        check(lost, poison)
      },
    ),
    { numRuns: 200 },
  )

describe('a batch of a shard', () => {
  it('is retried from the lowest record that failed, whatever order the answer has', async () => {
    const result = await run(
      [1, 2, 3, 4].map((n) => record(n)),
      {},
      (_, call) => (call === 1 ? failing(4, 2) : failing()),
    )
    expect(result).toEqual({
      calls: [
        [1, 2, 3, 4],
        [2, 3, 4],
      ],
      checkpoints: [1, 4],
      given: [],
    })
  })

  it('is retried without end where retries are unlimited', async () => {
    const result = await run([record(1)], {}, (_, call) => (call < 50 ? error : failing()))
    expect([result.calls.length, result.checkpoints, result.given]).toEqual([50, [1], []])
  })

  it('gives up records that passed the maximum age, and only these', async () => {
    const records = [record(1, 70), record(2, 59), record(3, 0)]
    const result = await run(records, { recordAgeMaxMs: 60_000 }, (batch) => (batch.includes(2) ? error : failing()))
    expect(result.given).toEqual([
      { condition: 'RecordAgeExceeded', invocations: 0, records: [1] },
      { condition: 'RecordAgeExceeded', invocations: 2, records: [2] },
    ])
    expect(result.calls).toEqual([[2, 3], [2, 3], [3]])
    expect(result.checkpoints).toEqual([1, 2, 3])
  })

  it('settles every record in order and gives up exactly the poison when it is halved', async () => {
    await settle(true, (lost, poison) => expect(lost).toEqual(poison))
  })

  it('settles every record in order and gives up no more than what follows the poison when it is not', async () => {
    await settle(false, (lost, poison) => {
      expect(lost).toEqual(expect.arrayContaining(poison))
      expect(lost.length > 0).toBe(poison.length > 0)
    })
  })
})
