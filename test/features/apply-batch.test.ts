import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryItems, type MemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine, type MemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { createMemoryTelemetry, type MemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { toArray } from '../../shared/bounded.ts'
import { parseConfig } from '../../shared/config.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { applyBatch } from '../../shared/features/apply-batch.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import type { RowsDeps } from '../../shared/features/deps.ts'
import { itemToJson } from '../../shared/features/attribute-json.ts'
import type { Item } from '../../shared/features/item.ts'
import { redrive } from '../../shared/features/redrive.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'

const arn = 'arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-01-01T00:00:00.000'
const config = parseConfig(
  JSON.stringify({
    formatVersion: 1,
    source: { account: '111122223333', region: 'us-east-1' },
    replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
    tables: [{ name: 'features', streams: [{ arn, epoch: 1 }] }],
  }),
  { stage: 'local', file: 'lifeboat.yml' },
)
const second = 1_790_000_000
const ample = { remainingMs: () => 60_000 }

let items: MemoryItems
let quarantine: MemoryQuarantine
let telemetry: MemoryTelemetry
let down: boolean
let deps: RowsDeps
beforeEach(() => {
  items = createMemoryItems({ features: { partition: 'pk' } })
  quarantine = createMemoryQuarantine()
  telemetry = createMemoryTelemetry()
  down = false
  const onStep = (): void => {
    if (down) throw new UnavailableError('Bigtable is away')
  }
  const rows = createMemoryRowStore({ tables: ['features'], onStep })
  const clock = { now: () => (second + 7) * 1000 }
  deps = {
    config,
    rows,
    source: items,
    quarantine,
    telemetry,
    clock,
    random: { next: () => 0.5, hex: (n) => 'ab'.repeat(n) },
  }
})

const numberOf = (position: number): string => String(position).padStart(21, '4')
const inserted = (pk: string, position: number, rest: object = {}, streamArn = arn) => ({
  eventName: 'INSERT',
  eventSourceARN: streamArn,
  dynamodb: {
    ApproximateCreationDateTime: second + position,
    Keys: { pk: { S: pk } },
    NewImage: { pk: { S: pk }, ...rest },
    SequenceNumber: numberOf(position),
  },
})
const expired = (pk: string, position: number) => ({
  eventName: 'REMOVE',
  eventSourceARN: arn,
  userIdentity: { type: 'Service', principalId: 'dynamodb.amazonaws.com' },
  dynamodb: {
    ApproximateCreationDateTime: second + position,
    Keys: { pk: { S: pk } },
    OldImage: { pk: { S: pk } },
    SequenceNumber: numberOf(position),
  },
})
const itemOf = async (pk: string): Promise<Item | undefined> => {
  const [row] = await deps.rows.read('features', [encodeRowKey({ partition: { S: pk } })])
  return row && decodeCells(row.cells)
}

describe('applyBatch', () => {
  it('counts what it applied, and says how old the oldest change was', async () => {
    const answer = await applyBatch(
      deps,
      [inserted('a', 2), inserted('b', 3), inserted('a', 4), expired('b', 5)],
      ample,
    )
    expect(answer).toEqual({ batchItemFailures: [] })
    const totals = ['RowsApplied', 'RowsStale', 'RowsDeletedByTtl', 'RowLagSeconds', 'ApplyFailures']
    expect(totals.map((metric) => telemetry.total(metric))).toEqual([2, 2, 1, 5, 0])
    const [line] = telemetry.lines.filter(({ message }) => message === 'changes applied')
    expect(line!.fields).toMatchObject({ stage: 'apply', changes: 4, lagSeconds: 5 })
    expect(line!.fields['traceId']).toMatch(/^[0-9a-f]{32}$/)
    expect(line!.fields['traceId']).not.toBe(line!.fields['lastTraceId'])
  })

  it('answers from where Lambda has to go on, and tells no lag, while Bigtable is away', async () => {
    down = true
    const records = [inserted('a', 1), inserted('b', 2)]
    expect(await applyBatch(deps, records, ample)).toEqual({ batchItemFailures: [{ itemIdentifier: numberOf(1) }] })
    expect(telemetry.total('ApplyFailures')).toBe(1)
    expect(telemetry.total('RowLagSeconds')).toBe(0)
    expect(telemetry.lines.at(-1)).toMatchObject({ level: 'warn', fields: { retryable: true } })
    expect(quarantine.waiting.size).toBe(0)
    down = false
    expect(await applyBatch(deps, records, ample)).toEqual({ batchItemFailures: [] })
    expect(await itemOf('b')).toEqual({ pk: { S: 'b' } })
  })

  it('loses no attribute, whatever its name', async () => {
    const image = JSON.parse('{"__proto__":{"M":{"__proto__":{"N":"1"}}},"constructor":{"NULL":true}}') as object
    const record = JSON.parse(
      JSON.stringify(inserted('a', 1)).replace('"NewImage":{', `"NewImage":{${JSON.stringify(image).slice(1, -1)},`),
    ) as object
    await applyBatch(deps, [record], ample)
    expect(Object.keys(itemToJson((await itemOf('a'))!)).toSorted()).toEqual(['__proto__', 'constructor', 'pk'])
  })

  it('has nothing to say about an empty batch', async () => {
    expect(await applyBatch(deps, [], ample)).toEqual({ batchItemFailures: [] })
    expect(telemetry.lines).toEqual([])
  })
})

const poison = async (count: number): Promise<void> => {
  const unknown = arn.replace('01-01', '02-02')
  const records = Array.from({ length: count }, (_, at) => inserted(`k${at}`, at, {}, unknown))
  await applyBatch(deps, records, ample)
  for (let at = 0; at < count; at += 1) items.put('features', { pk: { S: `k${at}` }, v: { N: String(at) } })
  expect(quarantine.waiting.size).toBe(count)
}
const repair = (): void => {
  const [table] = config.tables
  const streams = [...table!.streams, { arn: arn.replace('01-01', '02-02'), epoch: 2 }]
  deps = { ...deps, config: { ...config, tables: [{ ...table!, streams }] } }
}

describe('redrive', () => {
  it('leaves what still cannot be applied, and names it', async () => {
    await poison(3)
    expect(await redrive(deps)).toMatchObject({ redriven: 0, failures: 3, isComplete: true })
    expect(quarantine.waiting.size).toBe(3)
    repair()
    expect(await redrive(deps, 'features')).toEqual({ redriven: 3, failures: 0, failed: [], isComplete: true })
    expect([quarantine.waiting.size, quarantine.redriven.size]).toEqual([0, 3])
    expect(await itemOf('k2')).toEqual({ pk: { S: 'k2' }, v: { N: '2' } })
  })

  it('takes in what the event source gave up after a day, and leaves batches of other streams', async () => {
    items.put('features', { pk: { S: 'a' }, v: { N: '2' } })
    quarantine.giveUp('features/1', [inserted('a', 1), inserted('b', 2)])
    quarantine.giveUp('ledger/1', [inserted('c', 3, {}, arn.replace('table/features', 'table/lifeboat-dev-ledger'))])
    expect(await redrive(deps, 'another')).toMatchObject({ redriven: 0 })
    expect(await redrive(deps)).toEqual({ redriven: 2, failures: 0, failed: [], isComplete: true })
    expect([await itemOf('a'), await itemOf('b')]).toEqual([{ pk: { S: 'a' }, v: { N: '2' } }, {}])
    expect(telemetry.total('ChangesQuarantined')).toBe(2)
    expect(await redrive(deps)).toMatchObject({ redriven: 0 })
    expect(await toArray(quarantine.givenUp())).toHaveLength(1)
  })

  it('stops before its time is over, and says so', async () => {
    await poison(3)
    repair()
    let left = 31_000
    const deadline = { remainingMs: () => (left -= 500) }
    expect(await redrive(deps, undefined, deadline)).toMatchObject({ redriven: 2, isComplete: false })
    expect(quarantine.waiting.size).toBe(1)
  })
})
