import { describe, expect, it } from 'vitest'
import type { BlobStore } from '../../shared/ports.ts'
import { scrub, type Scrubbed, scrubStateSchema } from '../../shared/proof/scrub-run.ts'
import { prefixesOfSlice, slices } from '../../shared/proof/scrub-body.ts'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { findObject } from '../../shared/weights/catalog-objects.ts'
import { storeChunk } from '../../shared/weights/store.ts'
import { ample, createWorld, noise } from '../support/weights-world.ts'
import {
  chunkNamesOf,
  createProofWorld,
  damages,
  DAY_MS,
  files,
  HOUR_MS,
  manifestOf,
  type ProofDeps,
  type ProofWorld,
  reportsOf,
  rest,
} from '../support/proof-world.ts'

const model = 'llama/v1/model.bin'

/** Notes what is read of bodies. */
const watched = (deps: ProofDeps, reads: string[]): ProofDeps => {
  const read: BlobStore['read'] = async (name, options) => {
    if (/^(chunks|parts|deltas)\//.test(name)) reads.push(name)
    return deps.store.read(name, options)
  }
  return { ...deps, store: { ...deps.store, read } }
}

const withBudget = (deps: ProofDeps, bytes: number): ProofDeps => ({
  ...deps,
  config: { ...deps.config, budget: { scrubGiBPerDay: bytes / 2 ** 30 } },
})

/** One call a day until all slices are through. */
const scrubAll = async (
  its: ProofWorld,
  open: () => ProofDeps,
  days = slices,
  isEnough = (_result: Scrubbed): boolean => false,
): Promise<Scrubbed[]> => {
  const results: Scrubbed[] = []
  for (let day = 0; day < days && !results.some(isEnough); day += 1) {
    results.push(await scrub(open(), ample))
    its.world.tick(DAY_MS)
  }
  return results
}

const bodiesOf = ({ world }: ProofWorld): string[] =>
  world.store.names().filter((name) => /^(chunks|parts|deltas)\//.test(name))

describe('slices', () => {
  it('are whole folders, and every folder is in one of them', () => {
    const all = Array.from({ length: slices }, (_, slice) => prefixesOfSlice(slice))
    expect(all.map((prefixes) => prefixes.length / 3)).toEqual([...Array(16).fill(9), ...Array(14).fill(8)])
    expect(new Set(all.flat()).size).toBe(3 * 256)
    expect(prefixesOfSlice(0).slice(0, 3)).toEqual(['chunks/00/', 'chunks/1e/', 'chunks/3c/'])
  })
})

describe('a healthy replica', () => {
  it('has every body read within as many days as there are slices, each once a round', async () => {
    const its = await createProofWorld()
    const reads: string[] = []
    const results = await scrubAll(its, () => watched(its.open(), reads), 12)
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['passed']))
    expect(new Set(reads)).toEqual(new Set(bodiesOf(its)))
    const reports = await reportsOf(its.world, 'scrub')
    expect(reports).toHaveLength(12)
    expect(reports.every(({ counts }) => (counts['bodies'] ?? 0) > 0)).toBe(true)
    expect(its.world.telemetry.total('ChunksScrubbed')).toBe(reads.length)
    expect(its.world.telemetry.total('ValidationFailures')).toBe(0)
  })

  it('is read one slice a day, whatever the number of calls', async () => {
    const its = await createProofWorld()
    expect((await scrub(its.open(), ample)).outcome).toBe('passed')
    for (let hour = 0; hour < 5; hour += 1) expect((await scrub(its.open(), ample)).outcome).toBe('idle')
    expect(await reportsOf(its.world, 'scrub')).toHaveLength(1)
  })
})

/** A replica with bodies in every slice. */
const wide = async (): Promise<ProofWorld> => {
  const its = await createProofWorld({ segmentBytesMax: 20 })
  its.world.publish('wide.bin', noise(6000, 4))
  await rest(its.world)
  return its
}

describe('a budget', () => {
  it('is never passed, and a slice that it cuts goes on the next day before another begins', async () => {
    const its = await wide()
    const reads: string[] = []
    const order: number[] = []
    let coverage: number | null = null
    const bodies = bodiesOf(its)
    const total = await bodies.reduce(
      async (sum, name) => (await sum) + (await its.world.store.stat(name))!.size,
      Promise.resolve(0),
    )
    const perDay = Math.ceil(total / 70)
    for (let day = 0; day < 90; day += 1) {
      const start = its.world.telemetry.total('BytesScrubbed')
      for (let hour = 0; hour < 3; hour += 1) {
        await scrub(withBudget(watched(its.open(), reads), perDay), ample)
        expect(its.world.telemetry.total('BytesScrubbed') - start).toBeLessThanOrEqual(perDay)
      }
      const state = scrubStateSchema.parse((await its.state.read('scrub'))!.value)
      order.push(state.slice?.number ?? state.last!.slice)
      coverage = state.coverageDays
      its.world.tick(DAY_MS)
    }
    expect(coverage).toBeGreaterThan(60)
    for (const [index, slice] of order.slice(1).entries())
      expect([0, 1]).toContain((slice - order[index]! + slices) % slices)
    expect(new Set(reads)).toEqual(new Set(bodies))
    const scopes = (await reportsOf(its.world, 'scrub')).map(({ scope }) => scope)
    expect(scopes.slice(0, slices)).toEqual(Array.from({ length: slices }, (_, slice) => `slice ${slice}`))
  })

  it('that is less than one body is refused with words', async () => {
    const its = await createProofWorld()
    await expect(scrub(withBudget(its.open(), 10), ample)).rejects.toThrow('budget.scrubGiBPerDay is 10 bytes')
  })

  it('is caught up with after days without a call', async () => {
    const its = await wide()
    await scrub(its.open(), ample)
    its.world.tick(5 * DAY_MS)
    await scrub(its.open(), ample)
    const scopes = (await reportsOf(its.world, 'scrub')).map(({ scope }) => scope)
    expect(new Set(scopes)).toEqual(new Set(Array.from({ length: 6 }, (_, slice) => `slice ${slice}`)))
    expect(scopes).toHaveLength(6)
  })
})

describe('a deadline', () => {
  it.each([3, 7, 20])('ends a call, and the slice is finished across calls: %i looks at the clock', async (asked) => {
    const its = await wide()
    const reads: string[] = []
    const mine = bodiesOf(its).filter((name) => prefixesOfSlice(0).some((prefix) => name.startsWith(prefix)))
    let result: Scrubbed | undefined
    for (let call = 0; call < 200 && result?.outcome !== 'passed'; call += 1) {
      let left = asked
      result = await scrub(watched(its.open(), reads), { remainingMs: () => (left-- > 0 ? 900_000 : 0) })
    }
    expect(result).toMatchObject({ outcome: 'passed', counts: { bodies: mine.length } })
    expect(reads.toSorted()).toEqual(mine.toSorted())
  })
})

describe('a scrub that read nothing', () => {
  it('fails: nothing is there', async () => {
    const its = await createProofWorld()
    const { store } = createWorld().deps
    const result = await scrub({ ...its.open(), store }, ample)
    expect(result).toMatchObject({ outcome: 'failed', findings: 0 })
    expect(its.world.telemetry.total('ValidationFailures')).toBe(1)
  })
})

const targets: Record<string, (its: ProofWorld) => Promise<string>> = {
  'a chunk': async ({ world }) => (await chunkNamesOf(world, await manifestOf(world, model)))[2]!,
  'a part': async ({ world }) =>
    `parts/${(await manifestOf(world, model)).parts[1]!.id.slice(7).replace(/^(..)/, '$1/$1')}`,
}

describe('a body that is wrong', () => {
  it.each(Object.keys(targets))('%s: rot is found, copied anew, restored and known from then on', async (target) => {
    const its = await createProofWorld()
    const name = await targets[target]!(its)
    await damages.rotten(its.world, name)
    expect((await continueValidation(its.open(), ample)).outcome).toBe(target === 'a chunk' ? 'passed' : 'failed')
    // A second round would find it again before the repair was made.
    await scrubAll(its, its.open, 15, ({ findings }) => findings > 0)
    const reports = await reportsOf(its.world, 'scrub')
    const found = reports.flatMap(({ findings }) => findings)
    expect(found.map(({ subject, kind, repaired }) => [subject, kind, repaired])).toEqual([
      [name, 'wrong-bytes', 'sent'],
    ])
    await rest(its.world)
    const { object } = await findObject(its.world.store, 'models', model)
    expect(Buffer.compare(await its.world.restore(object), files[model])).toBe(0)
    its.world.tick(DAY_MS + HOUR_MS)
    expect((await continueValidation(its.open(), ample)).outcome).toBe('passed')
    // The wrong body lies there until it may be deleted, and fails nothing any more.
    await scrubAll(its, its.open, 15)
    const later = (await reportsOf(its.world, 'scrub')).slice(reports.length)
    expect(later.flatMap(({ findings }) => findings)).toEqual([])
    expect(later.some(({ counts }) => counts['quarantined'] === 1)).toBe(true)
  })

  it('that no manifest names is a finding of its own kind, once', async () => {
    const its = await createProofWorld()
    const { ref } = await storeChunk(its.world.deps, noise(123, 77))
    const id = ref.id.slice(7)
    await its.world.deps.chunks.record([ref])
    await damages.rotten(its.world, `chunks/${id.slice(0, 2)}/${id}`)
    await scrubAll(its, its.open, 30)
    const found = (await reportsOf(its.world, 'scrub')).flatMap(({ findings }) => findings)
    expect(found).toMatchObject([{ kind: 'wrong-unnamed', repaired: 'no' }])
    expect(await its.world.deps.chunks.lookup(id)).toBeUndefined()
  })

  it('is reported as not repaired where the source no longer has the bytes', async () => {
    const its = await createProofWorld()
    const { source } = await manifestOf(its.world, model)
    await damages.rotten(its.world, await targets['a chunk']!(its))
    its.world.source.delete('models', model, source.versionId)
    await scrubAll(its, its.open, 15)
    const found = (await reportsOf(its.world, 'scrub')).flatMap(({ findings }) => findings)
    expect(found.length).toBeGreaterThan(0)
    for (const finding of found) {
      expect(finding).toMatchObject({ kind: 'wrong-bytes', repaired: 'no' })
      expect(finding.detail).toContain('no longer has')
    }
  })

  it('is not one where only the way was bad', async () => {
    const its = await createProofWorld()
    const deps = its.open()
    const bad = new Set<string>()
    const read: BlobStore['read'] = async (name, options) => {
      const body = await deps.store.read(name, options)
      if (!body || bad.has(name) || !name.startsWith('chunks/')) return body
      bad.add(name)
      body[body.length - 1] = body.at(-1)! ^ 1
      return body
    }
    const results = await scrubAll(its, () => ({ ...its.open(), store: { ...deps.store, read } }), 8)
    expect(results.map(({ outcome }) => outcome)).toEqual(results.map(() => 'passed'))
    expect(bad.size).toBeGreaterThan(0)
  })

  it('is found whatever became of it', async () => {
    for (const kind of ['flipped', 'truncated', 'rotten'] as const) {
      const its = await createProofWorld()
      for (const name of bodiesOf(its)) await damages[kind](its.world, name)
      await scrubAll(its, its.open, 15)
      const found = (await reportsOf(its.world, 'scrub')).flatMap(({ findings }) => findings)
      expect([kind, new Set(found.map(({ subject }) => subject)).size]).toEqual([kind, bodiesOf(its).length])
    }
  })
})
