import { describe, expect, it } from 'vitest'
import { UnavailableError } from '../../shared/errors.ts'
import { encodeItem, type Item } from '../../shared/features/item.ts'
import { placeCanaries } from '../../shared/proof/canary.ts'
import type { Placement } from '../../shared/proof/lag-state.ts'
import { readFeatureTime } from '../../shared/proof/lag-state.ts'
import { createLagWorld, type LagWorld, minute, streamArn } from '../support/lag-world.ts'

const features = { name: 'features', canary: { partition: 'lifeboat' } }
const parity = (key: Item): number => (encodeItem(key).at(-1) ?? 0) % 2
/** Two shards that share the keys. */
const split = (prefix: string) =>
  [0, 1].map((part) => ({ id: `${prefix}-${part}`, takes: (key: Item) => parity(key) === part }))

const waitFor = async (world: LagWorld, minutes: number) => {
  let last = await world.measure()
  for (let count = 1; count < minutes; count += 1) last = await world.measure()
  return last
}

const placeOn = async (world: LagWorld, before: Placement | undefined, seconds: number): Promise<Placement> => {
  const { items } = await world.deps.openRows()
  const { clock, wait } = world.deps
  const open = world.stream().open()
  const endMs = world.now() + seconds * 1000
  const table = { name: 'features', streamArn: streamArn('features'), open, endMs, canary: features.canary }
  return placeCanaries({ items, clock, wait }, table, before)
}
const taking = (number: number) => (key: Item) => (key['pk'] as { S: string }).S === `lifeboat#${number}`

const rejecting = (message: string) => () => Promise.reject(new UnavailableError(message))

describe('the lag of rows', () => {
  it('is how long a canary takes through every open shard', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard(split('s'))
    const { metric, heartbeat } = await world.measure()
    expect(metric('FeatureLagSeconds')).toBeLessThan(2)
    expect(metric('RowCanaryAgeSeconds')).toBe(metric('FeatureLagSeconds'))
    expect(heartbeat.tables[0]).toMatchObject({ table: 'features', target: 'features', unknown: [], quarantined: 0 })
    const featureTime = Date.parse(heartbeat.tables[0]!.featureTime!)
    expect(featureTime).toBeGreaterThan(world.now() - 2 * minute)
    expect(await readFeatureTime(world.deps.state, 'features')).toBe(featureTime)
    expect(await readFeatureTime(world.deps.state, 'others')).toBeUndefined()
  })

  it('rises with each minute that the stream is stopped, and falls when it goes on', async () => {
    const world = createLagWorld({ tables: [features] })
    const before = await world.measure()
    world.stream().isStopped = true
    const lags: number[] = []
    for (let count = 0; count < 5; count += 1) lags.push((await world.measure()).metric('FeatureLagSeconds')!)
    expect(lags.map((lag) => Math.floor(lag / 60))).toEqual([1, 2, 3, 4, 5])
    const stopped = await world.measure()
    expect(stopped.metric('RowCanaryAgeSeconds')).toBeGreaterThan(300)
    expect(stopped.heartbeat.tables[0]!.featureTime).toBe(before.heartbeat.tables[0]!.featureTime)
    world.stream().isStopped = false
    expect((await world.measure()).metric('FeatureLagSeconds')).toBeLessThan(2)
  })

  it('rises where one shard of many is stuck', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard(split('s'))
    await world.measure()
    const { rows } = world
    const stuck = async (table: string, keys: readonly Uint8Array[]) =>
      (await rows.read(table, keys)).map((row, index) => (index === 0 ? old : row))
    const [old] = await rows.read('features', [rows.rows('features')[0]!.key])
    const openRows = async () => ({ ...(await world.deps.openRows()), rows: { read: stuck } })
    await world.measure({ openRows })
    expect((await world.measure({ openRows })).metric('FeatureLagSeconds')).toBeGreaterThan(120)
  })

  it('is unknown where a stream is disabled: nothing open is not nothing late', async () => {
    const world = createLagWorld({ tables: [features] })
    await world.measure()
    world.stream().reshard([])
    const { metric, heartbeat } = await world.measure()
    expect([metric('FeatureLagSeconds'), metric('RowCanaryAgeSeconds')]).toEqual([undefined, undefined])
    expect(heartbeat.tables[0]).toMatchObject({ lagSeconds: null, featureTime: null })
    expect(await readFeatureTime(world.deps.state, 'features')).toBeUndefined()
    expect(heartbeat.tables[0]!.unknown[0]).toContain('is not enabled')
  })

  it('is unknown where a stream cannot be described; objects are measured', async () => {
    const world = createLagWorld({ tables: [features] })
    const rows = await world.deps.openRows()
    const { metric, heartbeat } = await world.measure({
      openRows: async () => ({ ...rows, items: { ...rows.items, openShards: rejecting('no stream') } }),
    })
    expect([metric('FeatureLagSeconds'), metric('OldestPendingSeconds')]).toEqual([undefined, 0])
    expect(heartbeat.tables[0]!.unknown).toEqual(['canaries of table features: no stream'])
  })

  it('is unknown where Bigtable cannot be read; quarantine is counted', async () => {
    const world = createLagWorld({ tables: [features] })
    const rows = await world.deps.openRows()
    world.quarantine.set('features', { count: 2, oldestAt: world.now() })
    const { metric, heartbeat } = await world.measure({
      openRows: async () => ({ ...rows, rows: { read: rejecting('Bigtable is away') } }),
    })
    expect([metric('FeatureLagSeconds'), metric('QuarantinedChanges'), metric('Heartbeats')]).toEqual([undefined, 2, 1])
    expect(heartbeat.tables[0]).toMatchObject({ lagSeconds: null, quarantined: 2 })
  })

  it('is the age of the oldest change in quarantine, which caps the feature time', async () => {
    const world = createLagWorld({ tables: [features] })
    const oldestAt = world.now() - 59 * minute
    world.quarantine.set('features', { count: 4, oldestAt })
    world.quarantine.set('unknown', { count: 1, oldestAt: 0 })
    const { metric, heartbeat } = await world.measure()
    expect(metric('QuarantinedChanges')).toBe(5)
    expect(metric('FeatureLagSeconds')).toBeGreaterThanOrEqual(3600)
    expect(metric('RowCanaryAgeSeconds')).toBeLessThan(2)
    const at = new Date(oldestAt).toISOString()
    expect(heartbeat.tables[0]).toMatchObject({ quarantined: 4, oldestQuarantinedAt: at, featureTime: at })
  })

  it('counts the age of the records that the function reads', async () => {
    const world = createLagWorld({ tables: [features] })
    world.gauges.iteratorAge = 450
    expect((await world.measure()).metric('FeatureLagSeconds')).toBe(450)
  })

  it('is known without CloudWatch where canaries tell', async () => {
    const world = createLagWorld({ tables: [features] })
    const gauges = { ...world.deps.gauges, iteratorAge: () => Promise.reject(new UnavailableError('no CloudWatch')) }
    expect((await world.measure({ gauges })).metric('FeatureLagSeconds')).toBeLessThan(2)
    const without = createLagWorld({ tables: [{ name: 'features' }] })
    const { metric, heartbeat } = await without.measure({ gauges })
    expect(metric('FeatureLagSeconds')).toBeUndefined()
    expect(heartbeat.tables[0]!.unknown).toEqual(['age of changes: no CloudWatch'])
  })

  it('is unknown for all where one table is', async () => {
    const world = createLagWorld({ tables: [features, { ...features, name: 'other' }] })
    const known = await world.measure()
    expect(known.metric('RowCanaryAgeSeconds')).toBeLessThan(2)
    world.stream('other').reshard([])
    const { metric, heartbeat } = await world.measure()
    expect([metric('FeatureLagSeconds'), metric('RowCanaryAgeSeconds')]).toEqual([undefined, undefined])
    expect(heartbeat.tables[0]!.lagSeconds).toBeLessThan(2)
  })
})

describe('a table without a canary', () => {
  it('is known from the age of the records where it is the only table and there were any, and unknown otherwise', async () => {
    const world = createLagWorld({ tables: [{ name: 'features' }] })
    const idle = await world.measure()
    expect(idle.metric('FeatureLagSeconds')).toBeUndefined()
    expect(idle.heartbeat.tables[0]!.unknown).toEqual(['there is no canary, and no change came lately'])
    world.gauges.iteratorAge = 3
    const { metric, heartbeat } = await world.measure()
    expect([metric('FeatureLagSeconds'), metric('RowCanaryAgeSeconds')]).toEqual([3, undefined])
    expect(heartbeat.tables[0]).toMatchObject({ lagSeconds: 3, featureTime: null })
    expect(world.stream().items.size).toBe(0)
  })

  it('is unknown beside another table, whose changes say nothing of it', async () => {
    const world = createLagWorld({ tables: [features, { name: 'other' }] })
    world.gauges.iteratorAge = 3
    const { metric, heartbeat } = await world.measure()
    expect(metric('FeatureLagSeconds')).toBeUndefined()
    expect(heartbeat.tables.map(({ lagSeconds }) => lagSeconds)).toEqual([3, null])
    expect(metric('RowCanaryAgeSeconds')).toBeLessThan(2)
  })
})

describe('the places of canaries', () => {
  it('stay while the shards stay: the same items are written again', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard(split('s'))
    await world.measure()
    const items = world.stream().items.size
    const count = (): number => world.stream().records('s-0').length + world.stream().records('s-1').length
    const before = count()
    await waitFor(world, 3)
    expect(world.stream().items.size).toBe(items)
    expect(count() - before).toBe(6)
  })

  it('are found again after a split, with keys that there are where they do', async () => {
    const world = createLagWorld({ tables: [features] })
    await world.measure()
    world.stream().reshard(split('child'))
    const { metric } = await world.measure()
    expect(metric('FeatureLagSeconds')).toBeLessThan(2)
    expect(world.stream().items.size).toBe(4)
    world.stream().reshard(split('grandchild'))
    await world.measure()
    expect(world.stream().items.size).toBe(4)
    const written = (): number =>
      world.stream().records('grandchild-0').length + world.stream().records('grandchild-1').length
    const before = written()
    await world.measure()
    // Those of shards that are gone are written no more.
    expect(written() - before).toBe(2)
  })

  it('are unknown for a shard that no key goes to, are looked for on, and never make more items than are allowed', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard([
      { id: 'all', takes: () => true },
      { id: 'none', takes: () => false },
    ])
    const { metric, heartbeat } = await waitFor(world, 20)
    expect(metric('FeatureLagSeconds')).toBeUndefined()
    expect(heartbeat.tables[0]!.unknown[0]).toContain('no canary has come through 1 of 2 open shards (none)')
    expect(world.stream().items.size).toBe(100)
  })

  it('are tried first with the keys of the shards that are gone', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard([{ id: 'next', takes: taking(77) }])
    const before = { streamArn: streamArn('features'), shards: { 'shard-0': 77 }, next: 0 }
    expect(await placeOn(world, before, 0.5)).toEqual({ ...before, shards: { next: 77 } })
    // Those of another stream are of no use.
    const other = { ...before, streamArn: streamArn('other') }
    expect((await placeOn(world, other, 0.5)).shards).toEqual({})
  })

  it('go on with other keys where one call was not enough', async () => {
    const world = createLagWorld({ tables: [features] })
    world.stream().reshard([{ id: 'rare', takes: taking(9) }])
    const first = await placeOn(world, undefined, 1)
    expect(first).toMatchObject({ shards: {}, next: 8 })
    expect(await placeOn(world, first, 1)).toMatchObject({ shards: { rare: 9 }, next: 0 })
  })

  it('leave an item alone that has the key of a canary and is none', async () => {
    const world = createLagWorld({ tables: [features] })
    for (const number of [0, 1]) world.stream().foreign.add(JSON.stringify({ pk: { S: `lifeboat#${number}` } }))
    expect((await world.measure()).metric('FeatureLagSeconds')).toBeLessThan(2)
    const keys = [...world.stream().items.values()].map((item) => item['pk'])
    expect(keys).toEqual([{ S: 'lifeboat#2' }, { S: 'lifeboat#3' }])
  })

  it.each([
    ['N', '900', [{ N: '900' }, { N: '901' }]],
    ['B', 'ö', [{ B: Buffer.from('ö#0') }, { B: Buffer.from('ö#1') }]],
  ] as const)('are keys of the type that the table has: %s', async (partitionType, partition, expected) => {
    const world = createLagWorld({ tables: [{ name: 'features', canary: { partition, sort: '7' } }], partitionType })
    expect((await world.measure()).metric('FeatureLagSeconds')).toBeLessThan(2)
    const items = [...world.stream().items.values()]
    expect(items.slice(0, 2).map(({ pk }) => pk)).toEqual(expected)
    expect(items[0]).toMatchObject({ sk: { N: '7' } })
  })

  it('say what the configuration lacks', async () => {
    const world = createLagWorld({ tables: [features], partitionType: 'N' })
    const { heartbeat } = await world.measure()
    expect(heartbeat.tables[0]!.unknown[0]).toContain('canary.partition: found "lifeboat", allowed: a whole number')
  })
})

it('a check that never ran ages from the first look on, and one that did from its last proof', async () => {
  const world = createLagWorld({ tables: [features, { name: 'others' }] })
  const { state } = world.deps
  const ages = async (changed = {}) => {
    const { metric } = await world.measure(changed)
    return (['ReconcileAgeSeconds', 'RowsComparedAgeSeconds'] as const).map((name) => {
      const age = metric(name)
      return age === undefined ? undefined : Math.round(age / 60)
    })
  }
  expect(await ages()).toEqual([0, 0])
  expect(await ages()).toEqual([1, 1])
  const last = { at: world.now(), outcome: 'incomplete' }
  await state.write('reconcile', { last, provenAt: world.now() - 30 * 60 * minute }, undefined)
  await state.write('rows/features', { last, provenAt: world.now() }, undefined)
  // The other table was never compared.
  expect(await ages()).toEqual([1801, 2])
  await state.write('rows/others', { last }, undefined)
  expect((await ages())[1]).toBe(3)
  const read = (name: string) => (name === 'lag' ? rejecting('DynamoDB is away')() : state.read(name))
  expect(await ages({ state: { ...state, read } })).toEqual([undefined, undefined])
  expect((await ages())[1]).toBe(5)
})

it('a change that is set aside while canaries are awaited is in the lag and before the feature time', async () => {
  const world = createLagWorld({ tables: [features] })
  await world.measure()
  const oldestAt = world.now()
  const wait = async (ms: number): Promise<void> => {
    world.quarantine.set('features', { count: 1, oldestAt })
    await world.deps.wait(ms)
  }
  const open = await world.deps.openRows()
  // As S3 has it: what is listed is what was there when it was asked for.
  const take = async () => new Map(world.quarantine)
  const { heartbeat } = await world.measure({ wait, openRows: async () => ({ ...open, quarantine: { take } }) })
  expect(heartbeat.tables[0]).toMatchObject({ quarantined: 1, featureTime: new Date(oldestAt).toISOString() })
})

it('the last result of each check goes into the heartbeat, whoever wrote it', async () => {
  const world = createLagWorld({ tables: [features] })
  const { state } = world.deps
  const at = new Date(world.now()).toISOString()
  await state.write(
    'validate',
    { last: { at, outcome: 'passed', report: 'reports/validate/1.json', findings: 0 } },
    undefined,
  )
  await state.write(
    'scrub',
    { last: { at, outcome: 'failed', report: null, findings: 2, coverageDays: 30 } },
    undefined,
  )
  await state.write('reconcile', { cursor: 'half way' }, undefined)
  await state.write('rows/features', { last: { at: world.now(), outcome: 'passed' }, provenAt: world.now() }, undefined)
  const { metric, heartbeat } = await world.measure()
  expect(heartbeat.proofs).toEqual({
    validate: { at, outcome: 'passed', report: 'reports/validate/1.json', findings: 0 },
    scrub: { at, outcome: 'failed', report: null, findings: 2, coverageDays: 30 },
    reconcile: null,
    rows: [{ table: 'features', at, outcome: 'passed', report: null, findings: 0, provenAt: at }],
  })
  expect(metric('ValidationAgeSeconds')).toBeGreaterThanOrEqual(60)
  await state.write('validate', { last: { at, outcome: 'failed' } }, 1)
  expect((await world.measure()).metric('ValidationAgeSeconds')).toBeUndefined()
})
