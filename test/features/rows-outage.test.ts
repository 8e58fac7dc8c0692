import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { applyBatch } from '../../shared/features/apply-batch.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import { equalItems, type Item } from '../../shared/features/item.ts'
import { redrive } from '../../shared/features/redrive.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { createEventSource } from '../support/event-source.ts'
import { createRowsTest, recordOf, type RowsTest, streamArn } from '../support/rows-deps.ts'
import { seeded } from '../support/weights-world.ts'

const startMs = 1_790_000_000_000
const ample = { remainingMs: () => 60_000 }
const clock = { ms: startMs }
let deps: RowsTest
let random: () => number
beforeEach(() => {
  clock.ms = startMs
  random = seeded(7)
})

const batchSize = 500
const recordAgeSecondsMax = 82_800
let sequence = 0

/** A change of one of `keys` items at a time, made in the source and told by its stream. */
const changeOne = (keys: number, ms: number) => {
  const pk = `item-${Math.floor(random() * keys)}`
  sequence += 1 + Math.floor(random() * 1000)
  const after: Item | undefined = random() < 0.15 ? undefined : { pk: { S: pk }, v: { N: String(sequence) } }
  const before = after ? deps.source.put('features', after) : deps.source.delete('features', { pk: { S: pk } })
  if (!after && !before) return undefined
  return { ms, record: recordOf({ pk, second: Math.floor(ms / 1000), sequence, before, after }) }
}

/** The items that have no equal row, and the rows that have no item. */
const differences = async (table = 'features', name = 'pk'): Promise<string[]> => {
  const different: string[] = []
  const rowKeys = new Set<string>()
  for await (const item of deps.source.scan(table)) {
    const value = item[name] as { S: string }
    const key = encodeRowKey({ partition: value })
    rowKeys.add(key.toString('latin1'))
    const [row] = await deps.rows.read(table, [key])
    if (!row || row.marker?.tombstone || !equalItems(decodeCells(row.cells), item)) different.push(value.S)
  }
  for await (const { key, marker } of deps.rows.scan(table, { start: Buffer.alloc(0) }))
    if (!marker?.tombstone && !rowKeys.has(Buffer.from(key).toString('latin1'))) different.push(`row ${String(key)}`)
  return different
}

describe('six hours without Bigtable', () => {
  const hourMs = 3_600_000
  const outage = { from: startMs + hourMs, to: startMs + 7 * hourMs }
  /** Before it goes and when it is back some calls fail, and some only seem to. */
  const flakyMs = 120_000

  const failing = (when: 'before' | 'after'): void => {
    const isAway = clock.ms >= outage.from && clock.ms < outage.to
    const isFlaky = clock.ms >= outage.from - flakyMs && clock.ms < outage.to + flakyMs
    if (isAway || (isFlaky && random() < 0.1)) throw new UnavailableError(`Bigtable is away, ${when} the call`)
  }

  /** One at the very beginning of the outage, others irregularly, some in one second. */
  const arrivalsOf = (endMs: number) => {
    const times = [outage.from]
    for (let ms = startMs; ms < endMs; ms += Math.floor(random() * 12_000)) times.push(ms)
    times.sort((a, b) => a - b)
    return (untilMs: number) => {
      const later = times.findIndex((ms) => ms > untilMs)
      const arrived = times.splice(0, later < 0 ? times.length : later)
      return arrived.map((ms) => changeOne(200, ms)).filter((change) => change !== undefined)
    }
  }

  it(
    'quarantines nothing, gives nothing up, converges, and tells how far behind it was',
    { timeout: 60_000 },
    async () => {
      const rows = createMemoryRowStore({ tables: ['features'], onStep: (_step, when) => failing(when) })
      deps = createRowsTest({ nowSecond: () => clock.ms / 1000, rows })
      const lags: { at: number; told: number; true: number }[] = []
      let changes = 0
      const endMs = startMs + 8 * hourMs
      const source = createEventSource({
        clock,
        arrivals: arrivalsOf(endMs),
        batchSize,
        recordAgeSecondsMax,
        invoke: async (batch) => {
          const count: RowsTest['telemetry']['count'] = (metric, value) => {
            deps.telemetry.count(metric, value)
            if (metric !== 'RowLagSeconds') return
            lags.push({ at: clock.ms, told: value, true: (clock.ms - Math.min(...batch.map(({ ms }) => ms))) / 1000 })
          }
          const answer = await applyBatch(
            { ...deps, telemetry: { ...deps.telemetry, count } },
            batch.map(({ record }) => record),
            ample,
          )
          if (answer.batchItemFailures.length === 0) changes += batch.length
          return answer
        },
      })
      await source.run(endMs)

      expect(changes).toBeGreaterThan(4000)
      expect(source.givenUp).toEqual([])
      expect([deps.quarantine.waiting.size, deps.telemetry.total('ChangesQuarantined')]).toEqual([0, 0])
      expect(source.cuts).toBeGreaterThan(5)
      expect(await differences()).toEqual([])

      for (const { told, true: age } of lags) {
        expect(told).toBeGreaterThanOrEqual(age)
        expect(told).toBeLessThan(age + 1)
      }
      const within = (from: number, to: number) =>
        lags.filter(({ at }) => at >= from && at < to).map(({ told }) => told)
      expect(Math.max(...within(startMs, outage.from - flakyMs))).toBeLessThan(60)
      expect(within(outage.from, outage.to)).toEqual([])
      expect(Math.max(...within(outage.to, endMs))).toBeGreaterThan(6 * 3600)
      expect(lags.at(-1)?.told).toBeLessThan(60)
      console.log(
        `six hours away: ${changes} changes, ${source.invocations} invocations, worst lag told ${Math.max(...lags.map(({ told }) => told))} s`,
      )
    },
  )
})

type Written = ReturnType<typeof recordOf>
const insertOf = (item: Item, pk: string, position: number): Written =>
  recordOf({ pk, second: Math.floor(startMs / 1000), sequence: position, after: item })

const large = (pk: string, attributes: number): Item => ({
  pk: { S: pk },
  ...Object.fromEntries(
    Array.from({ length: attributes }, (_, at) => [`_${at.toString(36)}`, { NULL: true as const }]),
  ),
})
const score = (id: string): Item => ({ id: { S: id }, v: { N: '1' } })

describe('ten poison changes among ten thousand', () => {
  const scoresArn = streamArn(1).replace('table/features', 'table/scores')
  const configOf = (featureEpochs: readonly number[]): Config =>
    parseConfig(
      JSON.stringify({
        formatVersion: 1,
        source: { account: '111122223333', region: 'us-east-1' },
        replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
        tables: [
          { name: 'features', streams: featureEpochs.map((epoch) => ({ arn: streamArn(epoch), epoch })) },
          { name: 'scores', streams: [{ arn: scoresArn, epoch: 1 }] },
        ],
      }),
      { stage: 'local', file: 'lifeboat.yml' },
    )
  /** Each a change of the source that came over in a form, or under a configuration, in which it cannot be applied. */
  const poisonOf = (pk: string, position: number): Record<string, () => Written> => {
    const whole = (): Written => {
      const item: Item = { pk: { S: pk }, v: { S: 'true' } }
      deps.source.put('features', item)
      return insertOf(item, pk, position)
    }
    const withImage = (image: object | undefined): Written => {
      const record = whole()
      const { NewImage: _new, ...rest } = record.dynamodb as { NewImage?: object } & Written['dynamodb']
      return { ...record, dynamodb: { ...rest, ...(image && { NewImage: image }) } }
    }
    return {
      'a type that does not exist': () => withImage({ pk: { S: pk }, v: { X: 'true' } }),
      'a number that is none': () => withImage({ pk: { S: pk }, v: { N: 'twelve' } }),
      'no image, as of a stream with keys only': () => withImage(undefined),
      'more attributes than a row takes': () => {
        deps.source.put('features', large(pk, 100_000))
        return insertOf(large(pk, 100_000), pk, position)
      },
      'a stream that is not configured': () => ({ ...whole(), eventSourceARN: streamArn(2) }),
      'a key that is not of the type that the table is said to have': () => {
        deps.source.put('scores', score(pk))
        const record = insertOf(score(pk), pk, position)
        const dynamodb = { ...record.dynamodb, Keys: { id: { S: pk } }, NewImage: score(pk) }
        return { ...record, eventSourceARN: scoresArn, dynamodb } as unknown as Written
      },
    }
  }

  it(
    'are kept whole and counted, the others applied, and all are redriven after the fix',
    { timeout: 60_000 },
    async () => {
      const kindsOf = Object.keys(poisonOf('', 0))
      const rows = createMemoryRowStore({ tables: ['features', 'scores'] })
      deps = createRowsTest({ nowSecond: () => clock.ms / 1000, rows, config: configOf([1]) })
      deps.source = createMemoryItems({ features: { partition: 'pk' }, scores: { partition: 'id' } })
      const mistaken = { ...deps.source, keys: async () => ({ partition: 'pk' }) }

      const records: Written[] = []
      const poison = new Map<string, string>()
      while (records.length < 10_000) {
        const index = poison.size
        if (records.length === 500 + index * 950 && index < 10) {
          sequence += 1
          const record = poisonOf(`poison-${index}`, sequence)[kindsOf[index % kindsOf.length]!]!()
          poison.set(record.dynamodb.SequenceNumber, JSON.stringify(record))
          records.push(record)
        } else {
          const change = changeOne(1000, clock.ms)
          if (change) records.push(change.record)
        }
      }
      for (let at = 0; at < records.length; at += batchSize) {
        const answer = await applyBatch({ ...deps, source: mistaken }, records.slice(at, at + batchSize), ample)
        expect(answer).toEqual({ batchItemFailures: [] })
      }

      const kept = [...deps.quarantine.waiting.values()]
      expect(new Map(kept.map(({ sequenceNumber, record }) => [sequenceNumber, JSON.stringify(record)]))).toEqual(
        poison,
      )
      expect(poison.size).toBe(10)
      const total = (metric: string): number => deps.telemetry.total(metric)
      expect([total('ChangesQuarantined'), total('RowsApplied') + total('RowsStale')]).toEqual([10, 9990])
      const poisonKeys = Array.from({ length: 10 }, (_, index) => `poison-${index}`)
      expect((await differences()).toSorted()).toEqual(poisonKeys.filter((_, index) => index % kindsOf.length !== 5))

      deps.config = configOf([1, 2])
      for (const index of poisonKeys.keys())
        if (kindsOf[index % kindsOf.length] === 'more attributes than a row takes')
          deps.source.put('features', large(poisonKeys[index]!, 50_000))
      expect(await redrive(deps)).toEqual({ redriven: 10, failures: 0, failed: [], isComplete: true })
      expect([deps.quarantine.waiting.size, deps.quarantine.redriven.size]).toEqual([0, 10])
      expect([await differences(), await differences('scores', 'id')]).toEqual([[], []])
    },
  )
})
