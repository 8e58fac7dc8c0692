import { describe, expect, it } from 'vitest'
import type { BlobStore } from '../../shared/ports.ts'
import { createLook } from '../../shared/proof/look.ts'
import { checkObject, type ObjectCheck } from '../../shared/proof/validate-object.ts'
import { checkReleases } from '../../shared/proof/validate-release.ts'
import { continueValidation, validateModel } from '../../shared/proof/validate-run.ts'
import type { Deadline } from '../../shared/weights/deps.ts'
import { ample, createWorld, noise } from '../support/weights-world.ts'
import {
  addDelta,
  chunkNamesOf,
  createProofWorld,
  damages,
  DAY_MS,
  HOUR_MS,
  manifestOf,
  nameOfManifest,
  type ProofDeps,
  reportsOf,
  rest,
} from '../support/proof-world.ts'

const model = 'llama/v1/model.bin'

/** Ample until `asked` times, then over. */
const deadlineAfter = (asked: number): Deadline => {
  let left = asked
  return { remainingMs: () => (left-- > 0 ? 900_000 : 0) }
}

const checkOf = ({ store, ledger, source }: ProofDeps): ObjectCheck => ({
  store,
  look: createLook(store),
  isLate: () => false,
  source: source!,
  ledger: ledger!,
})

describe('any byte of a manifest', () => {
  it('that is altered is found: of an object, by the digest in the ledger', { timeout: 60_000 }, async () => {
    const { world, open } = await createProofWorld()
    for (const key of [model, 'single.bin']) {
      const name = nameOfManifest(world, key)
      const bytes = (await world.store.read(name))!
      const check = checkOf(open())
      expect((await checkObject(check, name)).flaws).toEqual([])
      for (let at = 0; at < bytes.length; at += 1) {
        world.store.corrupt(name, (body) => ((body[at] = body[at]! ^ 1), body))
        expect((await checkObject(check, name)).flaws, `byte ${at}`).not.toEqual([])
        world.store.corrupt(name, () => bytes)
      }
    }
  })

  it('that is altered is found: of a member without the ledger, by the release', { timeout: 60_000 }, async () => {
    const { world } = await createProofWorld()
    const name = nameOfManifest(world, model)
    const bytes = (await world.store.read(name))!
    const releases = world.names('releases/')
    for (let at = 0; at < bytes.length; at += 1) {
      world.store.corrupt(name, (body) => ((body[at] = body[at]! ^ 1), body))
      expect((await checkReleases({ store: world.store }, releases)).flaws, `byte ${at}`).not.toEqual([])
      world.store.corrupt(name, () => bytes)
    }
  })

  it('that is altered is found: of the newest release, by the ledger', { timeout: 60_000 }, async () => {
    const { world, open } = await createProofWorld()
    const names = world.names('releases/')
    const bytes = (await world.store.read(names[0]!))!
    const check = { store: world.store, ledger: open().ledger! }
    expect((await checkReleases(check, names)).flaws).toEqual([])
    for (let at = 0; at < bytes.length; at += 1) {
      world.store.corrupt(names[0]!, (body) => ((body[at] = body[at]! ^ 1), body))
      expect((await checkReleases(check, names)).flaws, `byte ${at}`).not.toEqual([])
      world.store.corrupt(names[0]!, () => bytes)
    }
  })

  it('that is altered is found: of an older release, by the one after it', { timeout: 60_000 }, async () => {
    const { world } = await createProofWorld()
    world.publish('llama/v2/model.bin', noise(1200, 5))
    world.tick(2000)
    world.publish('llama/v2/_SUCCESS', Buffer.from('done'))
    await rest(world)
    const names = world.names('releases/')
    const bytes = (await world.store.read(names[0]!))!
    expect(names).toHaveLength(2)
    expect((await checkReleases({ store: world.store }, names)).flaws).toEqual([])
    for (let at = 0; at < bytes.length; at += 1) {
      world.store.corrupt(names[0]!, (body) => ((body[at] = body[at]! ^ 1), body))
      expect((await checkReleases({ store: world.store }, names)).flaws, `byte ${at}`).not.toEqual([])
      world.store.corrupt(names[0]!, () => bytes)
    }
    world.store.remove(names[0]!)
    const { flaws } = await checkReleases({ store: world.store }, names.slice(1))
    expect(flaws).toMatchObject([{ kind: 'missing', subject: names[0] }])
  })
})

describe('a delta', () => {
  it.each(['base', 'delta'] as const)('is found wanting without its %s', async (which) => {
    const { world, open } = await createProofWorld()
    const names = await addDelta(world)
    expect((await checkObject(checkOf(open()), names.manifest)).counts).toMatchObject({ bases: 1, ledgerUnknown: 1 })
    for (const damage of ['stored again', 'flipped'] as const) {
      await damages[damage](world, names[which])
      const { flaws } = await checkObject(checkOf(open()), names.manifest)
      expect(flaws).toMatchObject([{ kind: 'wrong-body', subject: names[which] }])
    }
    world.store.remove(names[which])
    expect((await checkObject(checkOf(open()), names.manifest)).flaws).toMatchObject([{ kind: 'missing' }])
  })
})

describe('an object whose parts are listed in parts', () => {
  it('is looked at whole, and goes on inside when a call ends', async () => {
    const { world, open } = await createProofWorld({ segmentBytesMax: 10 })
    world.publish('wide.bin', noise(5200, 7))
    await rest(world)
    const name = nameOfManifest(world, 'wide.bin')
    const whole = await checkObject(checkOf(open()), name)
    expect(whole).toMatchObject({ flaws: [], counts: { chunks: 520, parts: 521 } })
    const { parts } = await manifestOf(world, 'wide.bin')
    expect(parts.map(({ kind }) => kind)).toEqual(['index'])
    const chunks: number[] = []
    let from = 0
    for (let call = 0; call < 20; call += 1) {
      let left = 50
      const checked = await checkObject({ ...checkOf(open()), isLate: () => (left -= 1) < 0 }, name, from)
      expect(checked.flaws).toEqual([])
      chunks.push(checked.counts['chunks'] ?? 0)
      if (checked.stoppedAt === undefined) break
      expect(checked.stoppedAt).toBeGreaterThan(from)
      from = checked.stoppedAt
    }
    expect(chunks.length).toBeGreaterThan(10)
    expect(chunks.reduce((sum, count) => sum + count, 0)).toBe(520)
    await damages.deleted(world, `parts/${parts[0]!.id.slice(7).replace(/^(..)/, '$1/$1')}`)
    expect((await checkObject(checkOf(open()), name)).flaws).toMatchObject([{ kind: 'missing' }])
  })
})

describe('a run that takes several calls', () => {
  it.each([2, 3, 5, 9])('counts and finds each thing once, with %i looks at the clock a call', async (asked) => {
    const { world, open } = await createProofWorld()
    const lone = await createProofWorld()
    const damaged = async (target: typeof world): Promise<void> => {
      const names = await chunkNamesOf(target, await manifestOf(target, model))
      await damages.deleted(target, names[4]!)
      await damages.flipped(target, nameOfManifest(target, 'single.bin'))
    }
    await damaged(world)
    await damaged(lone.world)
    const expected = await continueValidation(lone.open(), ample)
    let result = await continueValidation(open(), deadlineAfter(asked))
    let calls = 1
    for (; result.outcome === 'continued' && calls < 50; calls += 1)
      result = await continueValidation(open(), deadlineAfter(asked))
    expect(calls).toBeGreaterThan(1)
    expect(result.outcome).toBe('failed')
    expect(result.counts).toEqual(expected.counts)
    const [[report], [once]] = [await reportsOf(world, 'validate'), await reportsOf(lone.world, 'validate')]
    expect(report!.findings.map(({ subject }) => subject)).toEqual(once!.findings.map(({ subject }) => subject))
    expect(world.telemetry.total('ValidationFailures')).toBe(expected.findings)
    expect(world.telemetry.total('ChunksValidated')).toBe(expected.counts['chunks'])
  })

  it('is not counted by a call that another one has overtaken', async () => {
    const { open, state } = await createProofWorld()
    const deps = open()
    const slow: BlobStore = { ...deps.store, list: (...args) => deps.store.list(...args) }
    const first = continueValidation({ ...deps, store: slow }, ample)
    const second = continueValidation(open(), ample)
    const outcomes = [(await first).outcome, (await second).outcome].toSorted()
    expect(outcomes).toEqual(['overtaken', 'passed'])
    expect((await state.read('validate'))?.version).toBe(1)
  })
})

describe('when a run is due', () => {
  it('is later each time, up to a day, where what was sent does not come', async () => {
    const { world, open } = await createProofWorld()
    await damages.deleted(world, nameOfManifest(world, 'single.bin'))
    const waits: number[] = []
    let hours = 0
    for (let hour = 0; hour < 80; hour += 1) {
      if ((await continueValidation(open(), ample)).outcome === 'failed') {
        waits.push(hours)
        hours = 0
      }
      // The queue loses every order.
      world.objectsQueue.messages.splice(0)
      hours += 1
      world.tick(HOUR_MS)
    }
    expect(waits).toEqual([0, 1, 2, 4, 8, 16, 24, 24])
  })

  it('is a day after one that passed, and an hour after one that sent something to be copied anew', async () => {
    const { world, open } = await createProofWorld()
    expect((await continueValidation(open(), ample)).outcome).toBe('passed')
    world.tick(DAY_MS - HOUR_MS)
    expect((await continueValidation(open(), ample)).outcome).toBe('idle')
    world.tick(HOUR_MS)
    await damages.deleted(world, nameOfManifest(world, 'single.bin'))
    expect((await continueValidation(open(), ample)).outcome).toBe('failed')
    expect((await continueValidation(open(), ample)).outcome).toBe('idle')
    await rest(world)
    world.tick(HOUR_MS)
    expect((await continueValidation(open(), ample)).outcome).toBe('passed')
  })

  it('the age of the proof is told by every call, once there is one', async () => {
    const { world, open } = await createProofWorld()
    const ages: number[] = []
    const count = (metric: string, value: number): void => void (metric === 'ValidationAgeSeconds' && ages.push(value))
    const deps = (): ProofDeps => ({ ...open(), telemetry: { ...world.telemetry, count } })
    await damages.deleted(world, nameOfManifest(world, 'single.bin'))
    await continueValidation(deps(), ample)
    expect(ages).toEqual([])
    await rest(world)
    world.tick(HOUR_MS)
    await continueValidation(deps(), ample)
    world.tick(HOUR_MS)
    await continueValidation(deps(), ample)
    expect(ages).toEqual([0, 3600])
  })
})

describe('a validator that looked at nothing', () => {
  it('fails', async () => {
    const { open } = await createProofWorld()
    const { store } = createWorld().deps
    const result = await continueValidation({ ...open(), store }, ample)
    expect(result).toMatchObject({ outcome: 'failed', findings: 0 })
  })
})

describe('the source and the ledger', () => {
  it('a checksum that the source now gives otherwise is found', async () => {
    const { open } = await createProofWorld()
    const deps = open()
    const head: ProofDeps['source'] = {
      head: async (ref) => {
        const object = await deps.source!.head(ref)
        return object && { ...object, checksums: object.checksums.map((sum) => ({ ...sum, value: 'AAAAAAAAAAA=' })) }
      },
    }
    const result = await continueValidation({ ...deps, source: head }, ample)
    expect(result).toMatchObject({ outcome: 'failed', findings: 4 })
  })

  it('pieces that do not combine to the checksum are found', async () => {
    const { open } = await createProofWorld()
    const deps = open()
    const { segments } = deps.ledger!
    const list: typeof segments.list = async function* list(...args) {
      for await (const row of segments.list(...args))
        yield { ...row, pieces: row.pieces.map((piece) => ({ ...piece, value: 'AAAAAAAAAAA=' })) }
    }
    const result = await continueValidation({ ...deps, ledger: { ...deps.ledger!, segments: { list } } }, ample)
    expect(result.outcome).toBe('failed')
  })

  it('versions that are gone from the source are counted, and fail nothing', async () => {
    const { world, open } = await createProofWorld()
    for (const { source } of await world.manifests()) world.source.delete('models', source.key, source.versionId)
    const result = await continueValidation(open(), ample)
    expect(result).toMatchObject({ outcome: 'passed', counts: { sourceGone: 4 } })
  })

  it('an outage is thrown and not taken for damage', async () => {
    const { open } = await createProofWorld()
    const deps = open()
    const { UnavailableError } = await import('../../shared/errors.ts')
    const stat: BlobStore['stat'] = async () => Promise.reject(new UnavailableError('503'))
    await expect(continueValidation({ ...deps, store: { ...deps.store, stat } }, ample)).rejects.toThrow('503')
  })
})

describe('one model', () => {
  it('is validated alone, and one that is not there is said so', async () => {
    const { world, open } = await createProofWorld()
    expect(await validateModel(open(), ample, 'llama')).toMatchObject({
      outcome: 'passed',
      counts: { releases: 1, manifests: 2 },
    })
    await expect(validateModel(open(), ample, 'lama')).rejects.toThrow('no release of lama')
    await damages.deleted(world, nameOfManifest(world, model))
    expect((await validateModel(open(), ample, 'llama', 'v1')).outcome).toBe('failed')
    const last = (await reportsOf(world, 'validate')).find(({ scope }) => scope === 'llama@v1')
    expect(last?.findings).toMatchObject([{ kind: 'missing', repaired: 'sent' }])
    expect(await validateModel(open(), { remainingMs: () => 0 }, 'llama')).toMatchObject({ outcome: 'failed' })
  })
})
