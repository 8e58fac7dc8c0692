import { describe, expect, it } from 'vitest'
import type { BlobStat, BlobStore } from '../../shared/ports.ts'
import { prefixesOfSlice, slices } from '../../shared/proof/scrub-body.ts'
import { scrub } from '../../shared/proof/scrub-run.ts'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { ample } from '../support/weights-world.ts'
import {
  addDelta,
  chunkNamesOf,
  createProofWorld,
  damages,
  DAY_MS,
  manifestOf,
  nameOfManifest,
  type ProofDeps,
  type ProofWorld,
  reportsOf,
  swap,
} from '../support/proof-world.ts'

/**
 * Validators and scrubs that are broken on purpose, by ports that lie to them. Each must miss a damage of the suite, or fail
 * on a healthy replica; the ones that nothing is wrong with must do neither.
 */

const model = 'llama/v1/model.bin'
const chunkOf = async (its: ProofWorld, index = 2): Promise<string> =>
  (await chunkNamesOf(its.world, await manifestOf(its.world, model)))[index]!
const partOf = async (its: ProofWorld): Promise<string> =>
  `parts/${(await manifestOf(its.world, model)).parts[1]!.id.slice(7).replace(/^(..)/, '$1/$1')}`
const tensorsOf = async (its: ProofWorld): Promise<string> =>
  `parts/${(await manifestOf(its.world, 'llama/v1/small.safetensors')).tensors[0]!.id.slice(7).replace(/^(..)/, '$1/$1')}`
const releaseOf = async (its: ProofWorld): Promise<string> => its.world.names('releases/')[0]!

type Check = 'validate' | 'scrub'
type Case = { by: Check; hurt: (its: ProofWorld, names: { base: string; delta: string }) => Promise<unknown> }

const cases: Record<string, Case> = {
  'a chunk flipped': { by: 'validate', hurt: async (its) => damages.flipped(its.world, await chunkOf(its)) },
  'a chunk truncated': { by: 'validate', hurt: async (its) => damages.truncated(its.world, await chunkOf(its)) },
  'a chunk stored again': {
    by: 'validate',
    hurt: async (its) => damages['stored again'](its.world, await chunkOf(its)),
  },
  'chunks swapped': {
    by: 'validate',
    hurt: async (its) => swap(its.world, await chunkOf(its, 0), await chunkOf(its, 3)),
  },
  'a chunk deleted': { by: 'validate', hurt: async (its) => damages.deleted(its.world, await chunkOf(its)) },
  'a chunk condemned': { by: 'validate', hurt: async (its) => damages.condemned(its.world, await chunkOf(its)) },
  'a base deleted': { by: 'validate', hurt: async (its, { base }) => damages.deleted(its.world, base) },
  'a base flipped': { by: 'validate', hurt: async (its, { base }) => damages.flipped(its.world, base) },
  'a delta deleted': { by: 'validate', hurt: async (its, { delta }) => damages.deleted(its.world, delta) },
  'a part deleted': { by: 'validate', hurt: async (its) => damages.deleted(its.world, await partOf(its)) },
  'a part rotten': { by: 'validate', hurt: async (its) => damages.rotten(its.world, await partOf(its)) },
  'the tensor index deleted': { by: 'validate', hurt: async (its) => damages.deleted(its.world, await tensorsOf(its)) },
  'a manifest altered': {
    by: 'validate',
    hurt: async (its) => damages.flipped(its.world, nameOfManifest(its.world, model)),
  },
  'a field of a single manifest altered': {
    by: 'validate',
    hurt: async (its) =>
      its.world.store.corrupt(nameOfManifest(its.world, 'single.bin'), (body) =>
        Buffer.from(Buffer.from(body).toString().replace('"warnings": []', '"warnings": ["x"]')),
      ),
  },
  'a manifest deleted': {
    by: 'validate',
    hurt: async (its) => damages.deleted(its.world, nameOfManifest(its.world, model)),
  },
  'a single manifest deleted': {
    by: 'validate',
    hurt: async (its) => damages.deleted(its.world, nameOfManifest(its.world, 'single.bin')),
  },
  'a release flipped': { by: 'validate', hurt: async (its) => damages.flipped(its.world, await releaseOf(its)) },
  'a field of a release altered': {
    by: 'validate',
    hurt: async (its) =>
      its.world.store.corrupt(await releaseOf(its), (body) =>
        Buffer.from(Buffer.from(body).toString().replace('"completeness": "marker"', '"completeness": "exact"')),
      ),
  },
  'a release deleted': { by: 'validate', hurt: async (its) => damages.deleted(its.world, await releaseOf(its)) },
  'a chunk rotten': { by: 'scrub', hurt: async (its) => damages.rotten(its.world, await chunkOf(its)) },
  'another chunk rotten': { by: 'scrub', hurt: async (its) => damages.rotten(its.world, await chunkOf(its, 0)) },
  'a base rotten': { by: 'scrub', hurt: async (its, { base }) => damages.rotten(its.world, base) },
  'a chunk rotten that is not named': {
    by: 'scrub',
    hurt: async (its) => {
      its.world.store.remove(nameOfManifest(its.world, 'single.bin'))
      await damages.rotten(its.world, its.world.names('chunks/').at(-1)!)
    },
  },
}

type Snapshot = { stats: Map<string, BlobStat>; bodies: Map<string, Uint8Array> }
const snapshotOf = async ({ world }: ProofWorld): Promise<Snapshot> => {
  const snapshot: Snapshot = { stats: new Map(), bodies: new Map() }
  for (const name of world.store.names()) {
    snapshot.stats.set(name, (await world.store.stat(name))!)
    snapshot.bodies.set(name, (await world.store.read(name))!)
  }
  return snapshot
}

type Mutate = (deps: ProofDeps, before: Snapshot) => ProofDeps
const on = (deps: ProofDeps, store: Partial<BlobStore>): ProofDeps => ({ ...deps, store: { ...deps.store, ...store } })

/** A stat of which some fields are what they were before the damage. */
const stale =
  (...fields: (keyof BlobStat)[]): Mutate =>
  (deps, { stats }) =>
    on(deps, {
      stat: async (name) => {
        const [now, then] = [await deps.store.stat(name), stats.get(name)]
        if (!now || !then) return now
        return { ...now, ...Object.fromEntries(fields.map((field) => [field, then[field]])) }
      },
    })

const readsFromBefore =
  (wanted: RegExp): Mutate =>
  (deps, { bodies }) =>
    on(deps, {
      read: async (name, options) =>
        wanted.test(name)
          ? (bodies.get(name) ?? (await deps.store.read(name, options)))
          : deps.store.read(name, options),
    })

const statsFromBefore =
  (wanted: RegExp): Mutate =>
  (deps, { stats }) =>
    on(deps, {
      stat: async (name) =>
        wanted.test(name) ? (stats.get(name) ?? (await deps.store.stat(name))) : deps.store.stat(name),
    })

const listsOnly =
  (keep: (name: string, index: number) => boolean, under = ''): Mutate =>
  (deps) =>
    on(deps, {
      list: async function* list(prefix, options) {
        let index = 0
        for await (const stat of deps.store.list(prefix, options))
          if (!prefix.startsWith(under) || keep(stat.name, index++)) yield stat
      },
    })

const listsNothingOf =
  (skipped: string): Mutate =>
  (deps) =>
    on(deps, {
      list: async function* list(prefix, options) {
        if (prefix !== skipped) yield* deps.store.list(prefix, options)
      },
    })

const sliceOf = (name: string): number =>
  Array.from({ length: slices }, (_, slice) => slice).find((slice) =>
    prefixesOfSlice(slice).some((prefix) => name.startsWith(prefix)),
  ) ?? -1

/** `misses`: the damages that this one is made to miss; it may miss more. `healthy`: it fails where nothing is wrong. */
const mutants: Record<string, { mutate: Mutate; misses: string[] } | { mutate: Mutate; healthy: true }> = {
  'reads nothing': { mutate: listsOnly(() => false), healthy: true },
  'lists no objects': { mutate: listsOnly(() => false, 'objects/'), healthy: true },
  'stops at the first page of objects': {
    mutate: listsOnly((_, index) => index < 2, 'objects/'),
    misses: ['a field of a single manifest altered'],
  },
  'lists no releases': { mutate: listsOnly(() => false, 'releases/'), healthy: true },
  'skips releases': { mutate: listsNothingOf('releases/'), misses: ['a field of a release altered'] },
  'skips plans': { mutate: listsOnly(() => false, 'pending/'), misses: ['a single manifest deleted'] },
  'trusts that a body is there': {
    mutate: statsFromBefore(/^(chunks|deltas)\//),
    misses: ['a chunk deleted', 'a base deleted', 'a delta deleted', 'chunks swapped'],
  },
  'skips bases': { mutate: statsFromBefore(/^chunks\//), misses: ['a base deleted', 'a base flipped'] },
  'skips deltas': { mutate: statsFromBefore(/^deltas\//), misses: ['a delta deleted'] },
  'trusts what it knew of parts': {
    mutate: (deps, before) => readsFromBefore(/^parts\//)(statsFromBefore(/^parts\//)(deps, before), before),
    misses: ['a part deleted', 'a part rotten', 'the tensor index deleted'],
  },
  'ignores generations': { mutate: stale('generation'), misses: ['a chunk stored again'] },
  'ignores generations and crc32c': { mutate: stale('generation', 'crc32c'), misses: ['a chunk flipped'] },
  'ignores generations, crc32c and size': {
    mutate: stale('generation', 'crc32c', 'size'),
    misses: ['a chunk truncated'],
  },
  'ignores that a body is condemned': { mutate: stale('metadata'), misses: ['a chunk condemned'] },
  'trusts the manifests that it knew': { mutate: readsFromBefore(/^objects\//), misses: ['a manifest altered'] },
  'trusts the releases that it knew': { mutate: readsFromBefore(/^releases\//), misses: ['a release flipped'] },
  'does not ask the ledger': {
    mutate: ({ ledger: _ledger, ...deps }) => deps,
    misses: ['a field of a single manifest altered', 'a single manifest deleted', 'a release deleted'],
  },
  'scrubs nothing': { mutate: listsOnly(() => false, 'chunks/'), misses: ['a chunk rotten'] },
  'scrubs the first half of the folders': {
    mutate: listsOnly((name) => name < 'chunks/80', 'chunks/'),
    misses: ['a chunk rotten that is not named'],
  },
  'scrubs what it knew': { mutate: readsFromBefore(/^chunks\//), misses: ['a chunk rotten', 'a base rotten'] },
  ...Object.fromEntries(
    Array.from({ length: 3 }, (_, skipped) => [
      `skips the slices of remainder ${skipped} by 3`,
      {
        mutate: listsOnly((name) => sliceOf(name) % 3 !== skipped, 'chunks/'),
        misses: [`a chunk of remainder ${skipped}`],
      },
    ]),
  ),
}

for (const remainder of [0, 1, 2])
  cases[`a chunk of remainder ${remainder}`] = {
    by: 'scrub',
    hurt: async (its) => {
      const found = its.world.names('chunks/').find((name) => sliceOf(name) % 3 === remainder)
      if (found === undefined) throw new Error(`no chunk is in a slice of remainder ${remainder}`)
      await damages.rotten(its.world, found)
    },
  }

/** Runs a check over a replica of its own, hurt or not. True when it passed. */
const passes = async (by: Check, mutate: Mutate, hurt?: Case['hurt']): Promise<boolean> => {
  const its = await createProofWorld()
  const names = await addDelta(its.world)
  // A delta of random bytes is read back by a later program.
  if (by === 'scrub') its.world.store.remove(names.delta)
  const before = await snapshotOf(its)
  await hurt?.(its, names)
  if (by === 'validate') return (await continueValidation(mutate(its.open(), before), ample)).outcome === 'passed'
  for (let day = 0; day < slices; day += 1) {
    await scrub(mutate(its.open(), before), ample)
    its.world.tick(DAY_MS)
  }
  return (await reportsOf(its.world, 'scrub')).every(({ outcome }) => outcome === 'passed')
}

describe('the checks as they are', () => {
  it.each(['validate', 'scrub'] as const)('%s passes a healthy replica', async (by) => {
    expect(await passes(by, (deps) => deps)).toBe(true)
  })

  it.each(Object.entries(cases))('find %s', async (_name, { by, hurt }) => {
    expect(await passes(by, (deps) => deps, hurt)).toBe(false)
  })
})

describe('a broken check is told by the suite', () => {
  it.each(Object.entries(mutants))('%s', async (_name, mutant) => {
    const failsHealthy = 'healthy' in mutant
    expect(await passes('validate', mutant.mutate)).toBe(!failsHealthy)
    const missed: string[] = []
    const made = failsHealthy ? [] : mutant.misses
    for (const name of made) {
      const { by, hurt } = cases[name]!
      if (await passes(by, mutant.mutate, hurt)) missed.push(name)
    }
    expect(missed).toEqual(made)
  })
})
