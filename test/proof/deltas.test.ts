import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { createLook } from '../../shared/proof/look.ts'
import { readBack } from '../../shared/proof/scrub-body.ts'
import { scrub } from '../../shared/proof/scrub-run.ts'
import { checkObject } from '../../shared/proof/validate-object.ts'
import { findObject } from '../../shared/weights/catalog-objects.ts'
import { objectManifestName } from '../../shared/weights/names.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { floatFile, floatTensor, type FloatModel, tuned } from '../support/float-model.ts'
import { createProofWorld, damages, DAY_MS, reportsOf, rest } from '../support/proof-world.ts'
import { ample } from '../support/weights-world.ts'

const key = 'tuned.safetensors'
const first: FloatModel = { weight: floatTensor('BF16', [600, 1024], 1) }
const second: FloatModel = { weight: tuned(first['weight']!, 0.01, 2) }

/** A world with an object whose tensor is a difference, and the names of its two bodies. */
const createDeltaWorld = async () => {
  const its = await createProofWorld()
  for (const model of [first, second]) {
    its.world.tick(60_000)
    its.world.publish(key, floatFile(model))
    await rest(its.world)
  }
  const { object } = await findObject(its.world.store, 'models', key)
  const chunks = (await toArray(chunksOfParts(its.world.store, object.parts))).map(({ ref }) => ref)
  const delta = chunks.find(({ base }) => base !== null)!
  const places = { delta: bodyName(delta, 'chunk'), base: bodyName(delta.base!, 'chunk') }
  const readBackOf = async (name: string) => readBack(its.world.store, (await its.world.store.stat(name))!)
  return { ...its, object, places, readBackOf }
}

describe('a body that is a difference', () => {
  it('is read with its base, and is wrong where either is', async () => {
    for (const which of ['delta', 'base'] as const) {
      const its = await createDeltaWorld()
      expect(await its.readBackOf(its.places.delta)).toBe('fine')
      await damages.rotten(its.world, its.places[which])
      expect(await its.readBackOf(its.places.delta)).toMatchObject({ wrong: expect.any(String) })
    }
    const its = await createDeltaWorld()
    its.world.store.remove(its.places.base)
    expect(await its.readBackOf(its.places.delta)).toMatchObject({ wrong: expect.stringContaining('it is not there') })
  })

  it('is checked with its base by a validation', async () => {
    const its = await createDeltaWorld()
    const { store, ledger, source } = its.open()
    const check = { store, look: createLook(store), isLate: () => false, source: source!, ledger: ledger! }
    const { bucket, version } = its.object.source
    const name = objectManifestName(bucket, key, version, its.object.planId)
    expect(await checkObject(check, name)).toMatchObject({ flaws: [], counts: { bases: 1 } })
    its.world.store.remove(its.places.base)
    const after = { ...check, look: createLook(store) }
    expect((await checkObject(after, name)).flaws).toMatchObject([{ kind: 'missing', subject: its.places.base }])
  })

  it.each(['delta', 'base'] as const)(
    'is copied anew as what stands alone where its %s is found wrong',
    async (which) => {
      const its = await createDeltaWorld()
      await damages.rotten(its.world, its.places[which])
      for (let day = 0; day < 30; day += 1) {
        await scrub(its.open(), ample)
        its.world.tick(DAY_MS)
      }
      const findings = (await reportsOf(its.world, 'scrub')).flatMap((report) => report.findings)
      expect(findings.map(({ subject }) => subject)).toContain(its.places[which])
      expect(new Set(findings.map(({ repaired }) => repaired))).toEqual(new Set(['sent']))
      await rest(its.world)
      const { object } = await findObject(its.world.store, 'models', key)
      expect(object.planId).not.toBe(its.object.planId)
      expect(object.parent).toBeNull()
      expect((await its.world.restore(object)).equals(floatFile(second))).toBe(true)
    },
  )
})
