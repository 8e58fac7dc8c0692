import { createHash } from 'node:crypto'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { encodeBody, sha256Hex } from '../shared/weights/codec.ts'
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
type Expected = { restores: Record<string, Record<string, string>> }

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

const releases = async (world: World): Promise<Expected['restores']> => {
  const first: Files = {
    'config.json': config(2),
    'empty.txt': text(''),
    'model-00001-of-00002.safetensors': safetensorsOf({ 'layer.0': 6000, 'layer.1': 6000, 'norm.0': 16 }, 1),
    'model-00002-of-00002.safetensors': safetensorsOf({ embedding: 9000 }, 2),
    'notes + más/été.txt': text('spaces, plus signs and accents\n'),
  }
  await publishRelease(world, 'tiny/v1', first)
  const second: Files = { ...first, 'config.json': config(3), 'model-00002-of-00002.safetensors': safetensorsOf({ embedding: 9000 }, 3) }
  // The chunk's own name is taken: its body goes under an alternate one.
  const wrong = await encodeBody(text('not that chunk'))
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

const objects = async (world: World): Promise<Expected['restores']> => {
  const files: Files = {
    'single.bin': noise(3000, 4),
    'cancelled once.bin': noise(500, 5),
    'composite.bin': noise(2500, 6),
    'unchecked.bin': noise(700, 7),
    'indexed.txt': text('sixteen bytes.\n\n'.repeat(501)),
  }
  const [single, cancelled, composite, unchecked, indexed] = Object.values(files) as [
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
    Uint8Array,
  ]
  world.publish('single.bin', single, { contentType: 'application/x-tiny', metadata: { owner: 'platform' } })
  world.publish('composite.bin', composite, { partBytes: 1000, checksum: { algorithm: 'SHA256', type: 'COMPOSITE' } })
  world.publish('unchecked.bin', unchecked, { checksum: null, isEncrypted: true })
  await settle(world)
  await publishCancelled(world, 'cancelled once.bin', cancelled)
  // More parts than a manifest lists itself.
  world.deps.segmentBytesMax = 16
  world.publish('indexed.txt', indexed)
  await settle(world)
  delete world.deps.segmentBytesMax
  return Object.fromEntries(
    Object.entries(files).map(([key, bytes]) => [`s3://${bucketName}/${key}`, { [key]: sha256(bytes) }]),
  )
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
const restores = { ...(await releases(world)), ...(await objects(world)) }
await failures(world)
const files = readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((entry) => entry.isFile())
  .map(({ parentPath, name }) => join(parentPath, name).slice(folder.length + 1))
writeFileSync(`${folder}.json`, `${JSON.stringify({ files: files.sort(), restores }, undefined, 2)}\n`)
console.log(`${files.length} files in ${folder}`)
