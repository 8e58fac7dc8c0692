import { expect, describe, it } from 'vitest'
import { evaluateRelease } from '../../shared/weights/release.ts'
import { findRelease } from '../../shared/weights/catalog.ts'
import { sha256Hex } from '../../shared/weights/codec.ts'
import { continueValidation } from '../../shared/proof/validate-run.ts'
import { createProofWorld, damages, DAY_MS, type ProofDeps, rest } from '../support/proof-world.ts'
import { ample, noise, type World } from '../support/weights-world.ts'

/** Releases under one prefix that are more than one manifest, and those that come while a check looks. */

const publishListed = async (world: World, body: Buffer): Promise<void> => {
  world.publish('m/v1/w.bin', body)
  world.tick(2000)
  const listed = { files: [{ key: 'w.bin', size: body.length, sha256: sha256Hex(body) }] }
  world.publish('m/v1/_PUBLISH.json', Buffer.from(JSON.stringify(listed)))
  await rest(world)
}

describe('a damaged release', () => {
  it('is replaced once, although the same bytes were uploaded again since', async () => {
    const { world, open } = await createProofWorld()
    const body = noise(900, 9)
    await publishListed(world, body)
    const [damaged] = world.names('releases/m/')
    world.publish('m/v1/w.bin', body)
    await rest(world)
    await damages.flipped(world, damaged!)
    const outcomes: string[] = []
    for (let day = 0; day < 3; day += 1) {
      world.tick(DAY_MS)
      outcomes.push((await continueValidation(open(), ample)).outcome)
      await rest(world)
    }
    expect(outcomes).toEqual(['failed', 'passed', 'passed'])
    expect(world.names('releases/m/')).toHaveLength(2)
    const { name, release } = await findRelease(world.store, 'm', 'v1')
    expect(name).not.toBe(damaged)
    expect(release.replaces!.some((id) => damaged!.endsWith(`v1.${id}.json`))).toBe(true)
  })

  it('is replaced together with another of the same version', async () => {
    const { world, open } = await createProofWorld()
    for (const seed of [9, 10]) await publishListed(world, noise(900, seed))
    for (const seed of [9, 10]) {
      world.publish('m/v1/w.bin', noise(900, seed))
      world.tick(2000)
    }
    await rest(world)
    const both = world.names('releases/m/')
    expect(both).toHaveLength(2)
    for (const name of both) await damages.flipped(world, name)
    world.tick(DAY_MS)
    expect((await continueValidation(open(), ample)).outcome).toBe('failed')
    await rest(world)
    world.tick(DAY_MS)
    expect((await continueValidation(open(), ample)).outcome).toBe('passed')
    expect(both).not.toContain((await findRelease(world.store, 'm', 'v1')).name)
  })
})

/** Publishes after the names were listed, before the ledger is asked. */
const sealingMeanwhile = (world: World, deps: ProofDeps, then: (name: string) => void): ProofDeps => {
  const ledger = deps.ledger!
  let isDone = false
  const newest: typeof ledger.chain.newest = async (chain) => {
    if (!isDone) {
      isDone = true
      const before = new Set(world.names('releases/'))
      world.publish('llama/v2/model.bin', noise(900, 9))
      world.tick(2000)
      world.publish('llama/v2/_SUCCESS', Buffer.from('x'))
      await rest(world)
      const [sealed] = world.names('releases/').filter((name) => !before.has(name))
      then(sealed!)
    }
    return ledger.chain.newest(chain)
  }
  return { ...deps, ledger: { ...ledger, chain: { ...ledger.chain, newest } } }
}

describe('a release that is sealed while a check looks', () => {
  it('is not missing', async () => {
    const { world, open } = await createProofWorld()
    world.tick(DAY_MS)
    let sealed = ''
    const deps = sealingMeanwhile(world, open(), (name) => (sealed = name))
    expect(await continueValidation(deps, ample)).toMatchObject({ outcome: 'passed', findings: 0 })
    await rest(world)
    expect(world.names('releases/llama/v2.')).toEqual([sealed])
  })

  it('and is gone at once is missing', async () => {
    const { world, open } = await createProofWorld()
    world.tick(DAY_MS)
    const deps = sealingMeanwhile(world, open(), (name) => world.store.remove(name))
    expect((await continueValidation(deps, ample)).outcome).toBe('failed')
  })
})

describe('a release that is opened again while it is evaluated', () => {
  const prefix = 'llama/v1/'

  it.each([true, false])('is sealed once more, by the sweep: %s', async (sweep) => {
    const { world } = await createProofWorld()
    const { releases } = world.deps
    await releases.reopen('models', prefix, 'first', world.now())
    let isDone = false
    const update: typeof releases.update = async (bucket, at, change) => {
      if (change.done !== undefined && !isDone) {
        isDone = true
        await releases.reopen('models', prefix, 'second', world.now())
      }
      return releases.update(bucket, at, change)
    }
    const deps = { ...world.deps, releases: { ...releases, update } }
    await evaluateRelease(deps, 'models', { prefix, model: 'llama', version: 'v1' }, { sweep })
    expect(world.names('releases/')).toHaveLength(2)
    expect(await releases.get('models', prefix)).toMatchObject({ done: [], again: 2 })
    await rest(world)
    expect(world.names('releases/')).toHaveLength(3)
    expect((await releases.get('models', prefix))!.done).toHaveLength(1)
  })
})
