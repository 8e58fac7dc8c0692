import { describe, expect, it } from 'vitest'
import { findRelease } from '../../shared/weights/catalog.ts'
import { findObject } from '../../shared/weights/catalog-objects.ts'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { bodyHeaderBytes } from '../../shared/weights/body.ts'
import { ample } from '../support/weights-world.ts'
import {
  chunkNamesOf,
  createProofWorld,
  type Damage,
  damages,
  DAY_MS,
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
    expect([key, Buffer.compare(await world.restore(object), body)]).toEqual([key, 0])
    if (release.members.some((member) => member.key === key)) expect(names).toContain(name)
  }
}

/** Damages, validates, lets the pipeline work, and validates again. */
const outcomeAfterRepair = async (its: ProofWorld): Promise<string> => {
  const found = await continueValidation(its.open(), ample)
  expect(found.outcome).toBe('failed')
  const [report] = await reportsOf(its.world, 'validate')
  expect(report!.findings.map(({ repaired }) => repaired)).toEqual(report!.findings.map(() => 'sent'))
  await rest(its.world)
  its.world.tick(HOUR_MS)
  const again = await continueValidation(its.open(), ample)
  expect((await reportsOf(its.world, 'validate'))[1]?.findings).toEqual([])
  await expectWhole(its)
  return again.outcome
}

const targets: Record<string, (its: ProofWorld) => Promise<string>> = {
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
    const its = await createProofWorld()
    const before = its.world.store.names()
    const result = await continueValidation(its.open(), ample)
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
    expect(its.world.store.names().filter((name) => !name.startsWith('reports/'))).toEqual(before)
    expect(its.world.telemetry.total('ChunksValidated')).toBe(result.counts['chunks'])
    await expectWhole(its)
  })
})

describe('damage is found, made good, and gone for the next run', () => {
  it.each(Object.keys(targets).flatMap((target) => kinds.map((kind) => [target, kind] as const)))(
    '%s, %s',
    async (target, kind) => {
      const its = await createProofWorld()
      await damages[kind](its.world, await targets[target]!(its))
      expect(await outcomeAfterRepair(its)).toBe('passed')
    },
  )

  it('sends the bytes of what was lost alone', async () => {
    const its = await createProofWorld()
    await damages.deleted(its.world, await targets['a chunk']!(its))
    const before = its.world.telemetry.total('BytesSent')
    expect(await outcomeAfterRepair(its)).toBe('passed')
    expect(its.world.telemetry.total('BytesSent') - before).toBe(1000 + bodyHeaderBytes)
  })

  it('two chunks that have changed places', async () => {
    const its = await createProofWorld()
    const names = await chunkNamesOf(its.world, await manifestOf(its.world, model))
    await swap(its.world, names[0]!, names[3]!)
    expect(await outcomeAfterRepair(its)).toBe('passed')
  })

  it('a chunk that is marked for deletion', async () => {
    const its = await createProofWorld()
    await damages.condemned(its.world, await targets['a chunk']!(its))
    expect(await outcomeAfterRepair(its)).toBe('passed')
  })

  it.each(['a part', 'a part of the tensor index', "a member's manifest", 'a release'])(
    '%s whose bytes rot where they lie',
    async (target) => {
      const its = await createProofWorld()
      await damages.rotten(its.world, await targets[target]!(its))
      expect(await outcomeAfterRepair(its)).toBe('passed')
    },
  )

  it('everything at once', async () => {
    const its = await createProofWorld()
    for (const target of Object.values(targets)) await damages.flipped(its.world, await target(its))
    expect(await outcomeAfterRepair(its)).toBe('passed')
  })
})

describe('what the source no longer has', () => {
  it('is reported as not repaired, and is tried again by the next run', async () => {
    const its = await createProofWorld()
    const { source } = await manifestOf(its.world, model)
    await damages.deleted(its.world, await targets['a chunk']!(its))
    its.world.source.delete('models', model, source.versionId)
    for (let run = 0; run < 2; run += 1) {
      expect((await continueValidation(its.open(), ample)).outcome).toBe('failed')
      await rest(its.world)
      its.world.tick(DAY_MS)
    }
    const reports = await reportsOf(its.world, 'validate')
    for (const { findings } of reports) {
      expect(findings).toHaveLength(1)
      expect(findings[0]).toMatchObject({ kind: 'missing', repaired: 'no' })
      expect(findings[0]!.detail).toContain('no longer has')
    }
  })
})
