import { describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { CorruptError, DeniedError } from '../../shared/errors.ts'
import type { ChunkRef, ObjectManifest } from '../../shared/weights/manifest.ts'
import { deltaName, objectManifestName } from '../../shared/weights/names.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { readChunkAnyhow } from '../../shared/weights/restore-read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { type FloatModel, floatFile, floatTensor, grown, tuned } from '../support/float-model.ts'
import { bucketName, createWorld, type World } from '../support/weights-world.ts'

const first: FloatModel = {
  'embed.weight': floatTensor('BF16', [1200, 512], 1),
  'layer.0.weight': floatTensor('F32', [600, 512], 2),
  'layer.1.weight': floatTensor('F16', [1100, 512], 3),
  'norm.0.weight': floatTensor('BF16', [512], 4),
  'norm.1.weight': floatTensor('BF16', [512], 5),
}
const tunedBy = (model: FloatModel, strength: number, seed: number): FloatModel =>
  Object.fromEntries(
    Object.entries(model).map(([name, tensor], index) => [name, tuned(tensor, strength, seed * 100 + index)]),
  )
const second = tunedBy(first, 0.01, 1)

const file = 'model.safetensors'

/** Publishes a version with its marker, copies it and answers its manifest. `before` names the file a release is made of. */
const release = async (
  world: World,
  version: string,
  model: FloatModel,
  { name = 'm', marker = '_SUCCESS', content = '' } = {},
): Promise<ObjectManifest> => {
  world.tick(60_000)
  if (marker === '_PUBLISH.json') world.publish(`${name}/${version}/${marker}`, Buffer.from(content))
  const object = world.publish(`${name}/${version}/${file}`, floatFile(model))
  world.tick(60_000)
  if (marker === '_SUCCESS') world.publish(`${name}/${version}/${marker}`, Buffer.from(content))
  expect(await world.run()).toEqual([])
  const manifest = (await world.manifests()).find(({ source }) => source.versionId === object.versionId)
  return manifest!
}

const refsOf = async (world: World, manifest: ObjectManifest): Promise<ChunkRef[]> =>
  (await toArray(chunksOfParts(world.store, manifest.parts))).map(({ ref }) => ref)
const nameOf = ({ source, planId }: ObjectManifest): string =>
  objectManifestName(source.bucket, source.key, source.version, planId)
const forget = (world: World, { source }: ObjectManifest): void =>
  void world.source.delete(bucketName, source.key, source.versionId)
const flipLast = (body: Uint8Array): Uint8Array => {
  const flipped = Uint8Array.from(body)
  flipped[flipped.length - 1]! ^= 1
  return flipped
}
const sentBy = async (world: World, work: () => Promise<ObjectManifest>): Promise<[number, ObjectManifest]> => {
  const before = world.telemetry.total('BytesSent')
  const manifest = await work()
  return [world.telemetry.total('BytesSent') - before, manifest]
}

describe('a version of which every tensor was tuned', () => {
  it('is sent as differences, and comes back after the source lost the version before', async () => {
    const world = createWorld()
    const [sentFirst, one] = await sentBy(world, () => release(world, 'v1', first))
    const [sent, two] = await sentBy(world, () => release(world, 'v2', second))
    expect(sent).toBeLessThan(sentFirst * 0.62)
    expect(one.parent).toBeNull()
    expect(two).toMatchObject({ state: 'protected', parent: nameOf(one) })
    const [before, after] = [await refsOf(world, one), await refsOf(world, two)]
    const tensors = after.slice(1)
    expect(tensors.map(({ codec }) => codec)).toEqual(tensors.map(() => 'delta'))
    for (const [index, { base }] of tensors.entries()) {
      const { base: _none, ...whole } = before[index + 1]!
      expect(base).toEqual(whole)
    }
    // A reader that knows no deltas goes by the name alone.
    for (const ref of tensors) expect(ref.name).toBe(deltaName(ref.id.slice(7), ref.base!.id.slice(7)))
    forget(world, one)
    expect((await world.restore(two)).equals(floatFile(second))).toBe(true)
  })

  it('is against what stands alone, however many versions lie between, and what it shares is not sent again', async () => {
    const world = createWorld()
    const one = await release(world, 'v1', first)
    await release(world, 'v2', second)
    const third = { ...second, 'embed.weight': tuned(second['embed.weight']!, 0.01, 77) }
    const [sent, three] = await sentBy(world, () => release(world, 'v3', third))
    const ids = (await refsOf(world, one)).map(({ id }) => id)
    for (const { base } of (await refsOf(world, three)).slice(1)) expect(ids).toContain(base?.id)
    const embed = second['embed.weight']!.values.length * 2
    expect(sent).toBeLessThan(embed * 0.4)
    expect((await world.restore(three)).equals(floatFile(third))).toBe(true)
  })

  it('stands alone where the difference would save little, and is then what the next is against', async () => {
    const world = createWorld()
    await release(world, 'v1', first)
    const other = tunedBy(first, 3, 9)
    const two = await release(world, 'v2', other)
    const refs = await refsOf(world, two)
    expect(new Set(refs.slice(1).map(({ codec }) => codec))).toEqual(new Set(['exp-zstd']))
    const three = await release(world, 'v3', tunedBy(other, 0.01, 10))
    expect((await refsOf(world, three)).slice(1).map(({ base }) => base?.id)).toEqual(refs.slice(1).map(({ id }) => id))
  })

  it('stands alone where the source has lost the version before: the replica is not read for it', async () => {
    const world = createWorld()
    const one = await release(world, 'v1', first)
    forget(world, one)
    const two = await release(world, 'v2', second)
    expect((await refsOf(world, two)).map(({ base }) => base)).toEqual([null, null, null, null, null])
    expect((await world.restore(two)).equals(floatFile(second))).toBe(true)
  })

  it('stands alone where the version before is archived or denied, and is not kept waiting', async () => {
    const world = createWorld()
    const one = await release(world, 'v1', first)
    const { source } = world.deps
    world.deps.source = {
      ...source,
      read: (object, ...range) => {
        if (object.versionId === one.source.versionId) throw new DeniedError('InvalidObjectState')
        return source.read(object, ...range)
      },
    }
    const two = await release(world, 'v2', second)
    expect((await refsOf(world, two)).map(({ base }) => base)).toEqual([null, null, null, null, null])
    expect((await world.restore(two)).equals(floatFile(second))).toBe(true)
  })

  it('stands alone where a writer that may not list is denied the manifest of the version before', async () => {
    const world = createWorld({ retentionDays: 0 })
    const one = await release(world, 'v1', first)
    const { store } = world.deps
    world.deps.store = {
      ...store,
      read: async (name, options) => {
        if (name === nameOf(one)) throw new DeniedError(`${name}: no storage.objects.list`)
        return store.read(name, options)
      },
    }
    const two = await release(world, 'v2', second, { marker: '_SUCCESS' })
    expect((await refsOf(world, two)).map(({ base }) => base)).toEqual([null, null, null, null, null])
  })

  it.each([
    ['denied', new DeniedError('KMS.DisabledException')],
    ['answered with an error of no known kind', new Error('400')],
  ])('is planned although the list of its publisher is %s', async (_what, error) => {
    const world = createWorld()
    const { source } = world.deps
    world.deps.source = {
      ...source,
      head: async (ref) => {
        if (ref.key.endsWith('_PUBLISH.json')) throw error
        return source.head(ref)
      },
    }
    const one = await release(world, 'v1', first)
    expect(one.state).toBe('protected')
  })

  it('of the same key is against the version of it that was sealed last', async () => {
    const world = createWorld({ release: { path: '{model}/**' } })
    const publish = async (model: FloatModel): Promise<ObjectManifest> => {
      world.tick(60_000)
      const { versionId } = world.publish(`m/${file}`, floatFile(model))
      expect(await world.run()).toEqual([])
      return (await world.manifests()).find(({ source }) => source.versionId === versionId)!
    }
    const one = await publish(first)
    const two = await publish(second)
    expect(two.parent).toBe(nameOf(one))
    expect((await refsOf(world, two)).at(-1)!.codec).toBe('delta')
  })

  it.each([
    ['of another model', 'base@v7', 'base', 'v7'],
    ['of the same model', 'v1', 'm', 'v1'],
  ])('is against the release %s that its publisher names', async (_title, parent, name, version) => {
    const world = createWorld()
    const named = await release(world, version, first, { name })
    await release(world, 'v2', tunedBy(first, 3, 4))
    const three = await release(world, 'v3', second, { marker: '_PUBLISH.json', content: JSON.stringify({ parent }) })
    expect(three.parent).toBe(nameOf(named))
    expect((await refsOf(world, three)).at(-1)!.codec).toBe('delta')
  })

  it.each(['nonsense', '{"parent":7}', '{"parent":"no-such@version"}'])(
    'has the newest release as its parent where the publisher says %s',
    async (content) => {
      const world = createWorld()
      const one = await release(world, 'v1', first)
      const two = await release(world, 'v2', second, { marker: '_PUBLISH.json', content })
      expect(two.parent).toBe(nameOf(one))
    },
  )
})

describe('a vocabulary that grew', () => {
  it('costs its new rows, whatever else lies behind it', async () => {
    const world = createWorld()
    const wide = { ...first, 'embed.weight': floatTensor('BF16', [5000, 512], 1) }
    await release(world, 'v1', wide)
    const more = { ...wide, 'embed.weight': grown(wide['embed.weight'], 40, 8) }
    const [sent, two] = await sentBy(world, () => release(world, 'v2', more))
    expect(sent).toBeLessThan(40 * 512 * 2 + 5000)
    expect((await world.restore(two)).equals(floatFile(more))).toBe(true)
  })

  it('of which some rows changed costs little more than these', async () => {
    const world = createWorld()
    await release(world, 'v1', first)
    const embed = first['embed.weight']!
    const values = embed.values.slice()
    for (let row = 7; row < 1200; row += 120) values.set(tuned(embed, 0.1, row).values.subarray(0, 512), row * 512)
    const changed = { ...first, 'embed.weight': { ...embed, values } }
    const [sent] = await sentBy(world, () => release(world, 'v2', changed))
    expect(sent).toBeLessThan(10 * 512 * 2 + 8000)
  })
})

const published = async () => {
  const world = createWorld()
  const one = await release(world, 'v1', first)
  const two = await release(world, 'v2', second)
  const [, ref] = await refsOf(world, two)
  return { world, one, two, ref: ref! }
}

describe('a difference', () => {
  it('is in no index: who has the same bytes without the lineage sends what stands alone', async () => {
    const { world, ref } = await published()
    expect(await world.deps.chunks.lookup(ref.id.slice(7))).toBeUndefined()
    const copy = await release(world, 'v1', second, { name: 'other' })
    expect((await refsOf(world, copy)).map(({ base }) => base)).toEqual([null, null, null, null, null])
  })

  it('is an error where its base is wrong, and is restored from another body of the base', async () => {
    const { world, two, ref } = await published()
    const base = bodyName(ref.base!, 'chunk')
    const good = (await world.store.read(base))!
    world.store.corrupt(base, flipLast)
    await expect(world.restore(two)).rejects.toThrow(CorruptError)
    await expect(readChunkAnyhow(world.store, ref)).rejects.toThrow(CorruptError)
    await world.store.create(`${base}~ab`, good)
    expect((await readChunkAnyhow(world.store, ref)).length).toBe(ref.length)
  })

  it('is an error where it is wrong itself, and is restored from a body that stands alone', async () => {
    const { world, two, ref } = await published()
    world.store.corrupt(bodyName(ref, 'chunk'), flipLast)
    await expect(world.restore(two)).rejects.toThrow(CorruptError)
    await release(world, 'v1', second, { name: 'other' })
    expect((await readChunkAnyhow(world.store, ref)).length).toBe(ref.length)
  })

  it('whose base is gone before the seal is sent anew, as what stands alone', async () => {
    const world = createWorld()
    const one = await release(world, 'v1', first)
    const base = bodyName((await refsOf(world, one))[1]!, 'chunk')
    const { versionId } = world.publish(`m/v2/${file}`, floatFile(second))
    const removeBase = async (): Promise<void> => {
      while (world.objectsQueue.messages.length > 0 || world.workQueue.messages.length > 0) await world.take(() => 0)!()
      world.store.remove(base)
    }
    await removeBase()
    expect(await world.run()).toEqual([])
    const two = (await world.manifests()).find(({ source }) => source.versionId === versionId)!
    expect((await refsOf(world, two))[1]).toMatchObject({ codec: 'exp-zstd', base: null })
    expect((await world.restore(two)).equals(floatFile(second))).toBe(true)
  })
})
