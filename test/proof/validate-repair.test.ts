import { describe, expect, it } from 'vitest'
import { findRelease } from '../../shared/weights/catalog.ts'
import { findObject } from '../../shared/weights/catalog-objects.ts'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { ample } from '../support/weights-world.ts'
import {
  chunkNamesOf,
  createProofWorld,
  type Damage,
  damages,
  files,
  HOUR_MS,
  manifestOf,
  nameOfManifest,
  type ProofWorld,
  reportsOf,
  rest,
  swap,
} from '../support/proof-world.ts'

/** What was hurt is found, copied anew from the source, restored, and proved by the run that follows. */

const model = 'llama/v1/model.bin'

const expectWhole = async ({ world }: ProofWorld): Promise<void> => {
  const { release } = await findRelease(world.store, 'llama')
  expect(release.members.map(({ path }) => path)).toEqual(['model.bin', 'small.safetensors'])
  const names = release.members.map(({ manifest }) => manifest)
  for (const [key, body] of Object.entries(files)) {
    const { name, object } = await findObject(world.store, 'models', key)
    expect(Buffer.compare(await world.restore(object), body), key).toBe(0)
    if (release.members.some((member) => member.key === key)) expect(names).toContain(name)
  }
}

/** Damages, validates, lets the pipeline work, and validates again. */
const heal = async (it: ProofWorld): Promise<void> => {
  const found = await continueValidation(it.open(), ample)
  expect(found.outcome).toBe('failed')
  const [report] = await reportsOf(it.world, 'validate')
  expect(report!.findings.map(({ repaired }) => repaired)).toEqual(report!.findings.map(() => 'sent'))
  await rest(it.world)
  it.world.tick(HOUR_MS)
  const again = await continueValidation(it.open(), ample)
  expect((await reportsOf(it.world, 'validate'))[1]?.findings).toEqual([])
  expect(again.outcome).toBe('passed')
  await expectWhole(it)
}

const targets: Record<string, (it: ProofWorld) => Promise<string>> = {
  'a chunk': async ({ world }) => (await chunkNamesOf(world, await manifestOf(world, model)))[2]!,
  'a part': async ({ world }) =>
    `parts/${(await manifestOf(world, model)).parts[1]!.id.slice(7).replace(/^(..)/, '$1/$1')}`,
  'a part of the tensor index': async ({ world }) =>
    `parts/${(await manifestOf(world, 'llama/v1/small.safetensors')).tensors[0]!.id.slice(7).replace(/^(..)/, '$1/$1')}`,
  "a member's manifest": async ({ world }) => nameOfManifest(world, model),
  "the marker's manifest": async ({ world }) => nameOfManifest(world, 'llama/v1/_SUCCESS'),
  "a single object's manifest": async ({ world }) => nameOfManifest(world, 'single.bin'),
  'a release': async ({ world }) => world.names('releases/')[0]!,
}
const kinds: Damage[] = ['flipped', 'truncated', 'deleted']

describe('a healthy replica', () => {
  it('passes, is counted and is left as it was', async () => {
    const it = await createProofWorld()
    const before = it.world.store.names()
    const result = await continueValidation(it.open(), ample)
    expect(result).toMatchObject({ outcome: 'passed', findings: 0 })
    expect(result.counts).toMatchObject({
      releases: 1,
      members: 2,
      manifests: 4,
      plans: 4,
      ledgerCompared: 4,
      sourceCompared: 4,
      checksumsFromPieces: 4,
    })
    expect(it.world.store.names().filter((name) => !name.startsWith('reports/'))).toEqual(before)
    expect(it.world.telemetry.total('ChunksValidated')).toBe(result.counts['chunks'])
    await expectWhole(it)
  })
})

describe('damage is found, made good, and gone for the next run', () => {
  it.each(Object.keys(targets).flatMap((target) => kinds.map((kind) => [target, kind] as const)))(
    '%s, %s',
    async (target, kind) => {
      const it = await createProofWorld()
      await damages[kind](it.world, await targets[target]!(it))
      await heal(it)
    },
  )

  it('two chunks that have changed places', async () => {
    const it = await createProofWorld()
    const names = await chunkNamesOf(it.world, await manifestOf(it.world, model))
    await swap(it.world, names[0]!, names[3]!)
    await heal(it)
  })

  it('a chunk that is marked for deletion', async () => {
    const it = await createProofWorld()
    await damages.condemned(it.world, await targets['a chunk']!(it))
    await heal(it)
  })

  it.each(['a part', 'a part of the tensor index', "a member's manifest", 'a release'])(
    '%s whose bytes rot where they lie',
    async (target) => {
      const it = await createProofWorld()
      await damages.rotten(it.world, await targets[target]!(it))
      await heal(it)
    },
  )

  it('everything at once', async () => {
    const it = await createProofWorld()
    for (const target of Object.values(targets)) await damages.flipped(it.world, await target(it))
    await heal(it)
  })
})

describe('what the source no longer has', () => {
  it('is reported as not repaired, and is tried again by the next run', async () => {
    const it = await createProofWorld()
    const { source } = await manifestOf(it.world, model)
    await damages.deleted(it.world, await targets['a chunk']!(it))
    it.world.source.delete('models', model, source.versionId)
    for (let run = 0; run < 2; run += 1) {
      expect((await continueValidation(it.open(), ample)).outcome).toBe('failed')
      await rest(it.world)
      it.world.tick(HOUR_MS)
    }
    const reports = await reportsOf(it.world, 'validate')
    for (const { findings } of reports) {
      expect(findings).toHaveLength(1)
      expect(findings[0]).toMatchObject({ kind: 'missing', repaired: 'no' })
      expect(findings[0]!.detail).toContain('no longer has')
    }
  })
})
