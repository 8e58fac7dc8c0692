import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { encodeBody, sha256Hex } from '../shared/weights/codec.ts'
import { createConfigCopier } from '../shared/weights/config-copy.ts'
import { formatVersion, toBytes } from '../shared/weights/manifest.ts'
import { chunkName, objectManifestName } from '../shared/weights/names.ts'
import { planObject, ruleFor } from '../shared/weights/plan.ts'
import { createFolderStore } from '../test/support/folder-store.ts'
import { bucketName, createWorld, eventOf, noise, safetensorsOf, type World } from '../test/support/weights-world.ts'

/**
 * Writes the replica of `test/fixtures/`, which later versions must still read: `node tools/make-fixtures.ts NEW_FOLDER`.
 * The real pipeline makes it, on a clock, random source and generations that are the same in every run; what only a
 * collector or a poisoner writes is put there by hand. `NEW_FOLDER.json` says what each restore must give.
 */

type Files = Record<string, Uint8Array>
/** What to restore -> path -> SHA-256. */
type Expected = Record<string, Record<string, string>>

const minuteMs = 60_000
const text = (value: string): Buffer => Buffer.from(value)
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')
const digests = (files: Files): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, sha256(bytes)]))

const settle = async (world: World): Promise<void> => {
  const failures = await world.run()
  if (failures.length > 0) throw failures[0]
  world.tick(minuteMs)
}

const publishRelease = async (world: World, folder: string, files: Files, missing: Files = {}): Promise<void> => {
  for (const [path, bytes] of Object.entries(files)) world.publish(`${folder}/${path}`, bytes)
  world.tick(1000)
  const listed = Object.entries({ ...files, ...missing }).map(([key, bytes]) => ({
    key,
    size: bytes.length,
    sha256: sha256(bytes),
  }))
  world.publish(`${folder}/_PUBLISH.json`, text(JSON.stringify({ files: listed })))
  await settle(world)
  // Some SHA-256 had to be read first.
  await world.sweep()
  await settle(world)
}

const config = (layers: number): Buffer =>
  text(JSON.stringify({ model_type: 'tiny', layers, vocabulary: Array.from({ length: 40 }, (_, id) => `token-${id}`) }))

const releases = async (world: World): Promise<Expected> => {
  const first: Files = {
    'config.json': config(2),
    'empty.txt': text(''),
    'model-00001-of-00002.safetensors': safetensorsOf({ 'layer.0': 6000, 'layer.1': 6000, 'norm.0': 16 }, 1),
    'model-00002-of-00002.safetensors': safetensorsOf({ embedding: 9000 }, 2),
    'notes + más/été.txt': text('spaces, plus signs and accents\n'),
  }
  await publishRelease(world, 'tiny/v1', first)
  const second: Files = {
    ...first,
    'config.json': config(3),
    'model-00002-of-00002.safetensors': safetensorsOf({ embedding: 9000 }, 3),
  }
  // The chunk's own name is taken: its body goes under an alternate one.
  const wrong = encodeBody(text('not that chunk'))
  await world.deps.store.create(chunkName(sha256Hex(config(3))), wrong.body)
  await publishRelease(world, 'tiny/v2', second)
  await publishRelease(world, 'unfinished/v1', { 'config.json': config(4) }, { 'weights.bin': text('never published') })
  return { tiny: digests(second), 'tiny@v1': digests(first), 'tiny@v2': digests(second) }
}

/** As the collector does it, before the commit: the plan is dead and the version is copied again by another. */
const publishCancelled = async (world: World, key: string, bytes: Uint8Array): Promise<void> => {
  const object = world.publish(key, bytes, { quiet: true })
  const rule = ruleFor(world.config, bucketName, key)
  if (!rule) throw new Error(`no rule covers ${key}`)
  const { row } = await planObject(world.deps, rule, object)
  const cancelled = { format: 'lifeboat/cancelled', formatVersion, cancelledAt: new Date(world.now()).toISOString() }
  await world.deps.store.create(objectManifestName(bucketName, key, row.version, row.planId), toBytes(cancelled))
  await settle(world)
}

/** Long enough for its hash to stand in the manifest's name. */
const longKey = `long/${'nineteen-characters/'.repeat(48)}end.txt`

const objects = async (world: World): Promise<Expected> => {
  const files = {
    single: noise(3000, 4),
    cancelled: noise(500, 5),
    composite: noise(2500, 6),
    unchecked: noise(700, 7),
    long: text('a long key\n'),
    indexed: text('sixteen bytes.\n\n'.repeat(501)),
  }
  world.publish('single.bin', files.single, { contentType: 'application/x-tiny', metadata: { owner: 'platform' } })
  world.publish('composite.bin', files.composite, {
    partBytes: 1000,
    checksum: { algorithm: 'SHA256', type: 'COMPOSITE' },
  })
  world.publish('unchecked.bin', files.unchecked, { checksum: null, isEncrypted: true })
  world.publish(longKey, files.long)
  await settle(world)
  await publishCancelled(world, 'cancelled once.bin', files.cancelled)
  // More parts than a manifest lists itself.
  world.deps.segmentBytesMax = 16
  world.publish('indexed.txt', files.indexed)
  await settle(world)
  delete world.deps.segmentBytesMax
  return {
    's3://models/single.bin': digests({ 'single.bin': files.single }),
    's3://models/cancelled once.bin': digests({ 'cancelled once.bin': files.cancelled }),
    's3://models/composite.bin': digests({ 'composite.bin': files.composite }),
    's3://models/unchecked.bin': digests({ 'unchecked.bin': files.unchecked }),
    [`s3://models/${longKey}`]: digests({ 'end.txt': files.long }),
    's3://models/indexed.txt': digests({ 'indexed.txt': files.indexed }),
  }
}

const failures = async (world: World): Promise<void> => {
  const gone = world.publish('gone.bin', noise(10, 8))
  world.source.delete(bucketName, 'gone.bin', gone.versionId)
  const elsewhere = world.publish('elsewhere.bin', noise(10, 9), { quiet: true })
  world.objectsQueue.messages.push(
    eventOf({ ...elsewhere, bucket: 'not-configured' }),
    eventOf(elsewhere)
      .replace('Object Created', 'Object Deleted')
      .replace('"detail":{', '"detail":{"deletion-type":"Delete Marker Created",'),
  )
  await settle(world)
}

const [folder] = process.argv.slice(2)
if (folder === undefined) throw new Error('usage: node tools/make-fixtures.ts NEW_FOLDER')
mkdirSync(folder, { recursive: true })
if (readdirSync(folder).length > 0) throw new Error(`${folder} is not empty`)

const world = createWorld()
world.deps.store = createFolderStore(folder)
await createConfigCopier(world.deps)()
const expected = { ...(await releases(world)), ...(await objects(world)) }
await failures(world)
writeFileSync(`${folder}.json`, `${JSON.stringify(expected, undefined, 2)}\n`)
