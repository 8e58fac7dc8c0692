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
const scrubAll = async (it: ProofWorld, open: () => ProofDeps, days = slices): Promise<Scrubbed[]> => {
  const results: Scrubbed[] = []
  for (let day = 0; day < days; day += 1) {
    results.push(await scrub(open(), ample))
    it.world.tick(DAY_MS)
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
    const it = await createProofWorld()
    const reads: string[] = []
    const results = await scrubAll(it, () => watched(it.open(), reads), 12)
    expect(new Set(results.map(({ outcome }) => outcome))).toEqual(new Set(['passed']))
    expect(new Set(reads)).toEqual(new Set(bodiesOf(it)))
    const reports = await reportsOf(it.world, 'scrub')
    expect(reports).toHaveLength(12)
    expect(reports.every(({ counts }) => (counts['bodies'] ?? 0) > 0)).toBe(true)
    expect(it.world.telemetry.total('ChunksScrubbed')).toBe(reads.length)
    expect(it.world.telemetry.total('ValidationFailures')).toBe(0)
  })

  it('is read one slice a day, whatever the number of calls', async () => {
    const it = await createProofWorld()
    expect((await scrub(it.open(), ample)).outcome).toBe('passed')
    for (let hour = 0; hour < 5; hour += 1) expect((await scrub(it.open(), ample)).outcome).toBe('idle')
    expect(await reportsOf(it.world, 'scrub')).toHaveLength(1)
  })
})

/** A replica with bodies in every slice. */
const wide = async (): Promise<ProofWorld> => {
  const it = await createProofWorld({ segmentBytesMax: 20 })
  it.world.publish('wide.bin', noise(6000, 4))
  await rest(it.world)
  return it
}

describe('a budget', () => {
  it('is never passed, and a slice that it cuts goes on the next day before another begins', async () => {
    const it = await wide()
    const reads: string[] = []
    const order: number[] = []
    const bodies = bodiesOf(it)
    const total = await bodies.reduce(
      async (sum, name) => (await sum) + (await it.world.store.stat(name))!.size,
      Promise.resolve(0),
    )
    const perDay = Math.ceil(total / 70)
    for (let day = 0; day < 90; day += 1) {
      const start = it.world.telemetry.total('BytesScrubbed')
      for (let hour = 0; hour < 3; hour += 1) {
        await scrub(withBudget(watched(it.open(), reads), perDay), ample)
        expect(it.world.telemetry.total('BytesScrubbed') - start).toBeLessThanOrEqual(perDay)
      }
      const state = scrubStateSchema.parse((await it.state.read('scrub'))!.value)
      order.push(state.slice?.number ?? state.last!.slice)
      if (day === 89) expect(state.coverageDays).toBeGreaterThan(60)
      it.world.tick(DAY_MS)
    }
    for (const [index, slice] of order.slice(1).entries())
      expect([0, 1]).toContain((slice - order[index]! + slices) % slices)
    expect(new Set(reads)).toEqual(new Set(bodies))
    const scopes = (await reportsOf(it.world, 'scrub')).map(({ scope }) => scope)
    expect(scopes.slice(0, slices)).toEqual(Array.from({ length: slices }, (_, slice) => `slice ${slice}`))
  })

  it('that is less than one body is refused with words', async () => {
    const it = await createProofWorld()
    await expect(scrub(withBudget(it.open(), 10), ample)).rejects.toThrow('budget.scrubGiBPerDay is 10 bytes')
  })

  it('is caught up with after days without a call', async () => {
    const it = await wide()
    await scrub(it.open(), ample)
    it.world.tick(5 * DAY_MS)
    await scrub(it.open(), ample)
    const scopes = (await reportsOf(it.world, 'scrub')).map(({ scope }) => scope)
    expect(scopes.toSorted()).toEqual(Array.from({ length: 6 }, (_, slice) => `slice ${slice}`))
  })
})

describe('a deadline', () => {
  it.each([3, 7, 20])('ends a call, and the slice is finished across calls: %i looks at the clock', async (asked) => {
    const it = await wide()
    const reads: string[] = []
    const mine = bodiesOf(it).filter((name) => prefixesOfSlice(0).some((prefix) => name.startsWith(prefix)))
    let result: Scrubbed | undefined
    for (let call = 0; call < 200 && result?.outcome !== 'passed'; call += 1) {
      let left = asked
      result = await scrub(watched(it.open(), reads), { remainingMs: () => (left-- > 0 ? 900_000 : 0) })
    }
    expect(result).toMatchObject({ outcome: 'passed', counts: { bodies: mine.length } })
    expect(reads.toSorted()).toEqual(mine.toSorted())
  })
})

describe('a scrub that read nothing', () => {
  it('fails: nothing is there', async () => {
    const it = await createProofWorld()
    const { store } = createWorld().deps
    const result = await scrub({ ...it.open(), store }, ample)
    expect(result).toMatchObject({ outcome: 'failed', findings: 0 })
    expect(it.world.telemetry.total('ValidationFailures')).toBe(1)
  })
})

const targets: Record<string, (it: ProofWorld) => Promise<string>> = {
  'a chunk': async ({ world }) => (await chunkNamesOf(world, await manifestOf(world, model)))[2]!,
  'a part': async ({ world }) =>
    `parts/${(await manifestOf(world, model)).parts[1]!.id.slice(7).replace(/^(..)/, '$1/$1')}`,
}

describe('a body that is wrong', () => {
  it.each(Object.keys(targets))('%s: rot is found, copied anew, restored and known from then on', async (target) => {
    const it = await createProofWorld()
    const name = await targets[target]!(it)
    await damages.rotten(it.world, name)
    expect((await continueValidation(it.open(), ample)).outcome).toBe(target === 'a chunk' ? 'passed' : 'failed')
    await scrubAll(it, it.open, 15)
    const reports = await reportsOf(it.world, 'scrub')
    const found = reports.flatMap(({ findings }) => findings)
    expect(found.map(({ subject, kind, repaired }) => [subject, kind, repaired])).toEqual([
      [name, 'wrong-bytes', 'sent'],
    ])
    await rest(it.world)
    const { object } = await findObject(it.world.store, 'models', model)
    expect(Buffer.compare(await it.world.restore(object), files[model])).toBe(0)
    it.world.tick(DAY_MS + HOUR_MS)
    expect((await continueValidation(it.open(), ample)).outcome).toBe('passed')
    // The wrong body lies there until it may be deleted, and fails nothing any more.
    await scrubAll(it, it.open, 15)
    const later = (await reportsOf(it.world, 'scrub')).slice(reports.length)
    expect(later.flatMap(({ findings }) => findings)).toEqual([])
    expect(later.some(({ counts }) => counts['quarantined'] === 1)).toBe(true)
  })

  it('that no manifest names is a finding of its own kind, once', async () => {
    const it = await createProofWorld()
    const { ref } = await storeChunk(it.world.deps, noise(123, 77))
    const id = ref.id.slice(7)
    await it.world.deps.chunks.record([ref])
    await damages.rotten(it.world, `chunks/${id.slice(0, 2)}/${id}`)
    await scrubAll(it, it.open, 30)
    const found = (await reportsOf(it.world, 'scrub')).flatMap(({ findings }) => findings)
    expect(found).toMatchObject([{ kind: 'wrong-unnamed', repaired: 'no' }])
    expect(await it.world.deps.chunks.lookup(id)).toBeUndefined()
  })

  it('is reported as not repaired where the source no longer has the bytes', async () => {
    const it = await createProofWorld()
    const { source } = await manifestOf(it.world, model)
    await damages.rotten(it.world, await targets['a chunk']!(it))
    it.world.source.delete('models', model, source.versionId)
    await scrubAll(it, it.open, 15)
    const found = (await reportsOf(it.world, 'scrub')).flatMap(({ findings }) => findings)
    expect(found.length).toBeGreaterThan(0)
    for (const finding of found) {
      expect(finding).toMatchObject({ kind: 'wrong-bytes', repaired: 'no' })
      expect(finding.detail).toContain('no longer has')
    }
  })

  it('is not one where only the way was bad', async () => {
    const it = await createProofWorld()
    const deps = it.open()
    const bad = new Set<string>()
    const read: BlobStore['read'] = async (name, options) => {
      const body = await deps.store.read(name, options)
      if (!body || bad.has(name) || !name.startsWith('chunks/')) return body
      bad.add(name)
      body[body.length - 1] = body.at(-1)! ^ 1
      return body
    }
    const results = await scrubAll(it, () => ({ ...it.open(), store: { ...deps.store, read } }), 8)
    expect(results.map(({ outcome }) => outcome)).toEqual(results.map(() => 'passed'))
    expect(bad.size).toBeGreaterThan(0)
  })

  it('is found whatever became of it', async () => {
    for (const kind of ['flipped', 'truncated', 'rotten'] as const) {
      const it = await createProofWorld()
      for (const name of bodiesOf(it)) await damages[kind](it.world, name)
      await scrubAll(it, it.open, 15)
      const found = (await reportsOf(it.world, 'scrub')).flatMap(({ findings }) => findings)
      expect(new Set(found.map(({ subject }) => subject)).size, kind).toBe(bodiesOf(it).length)
    }
  })
})
