import type { BlobStore } from '../../shared/ports.ts'
import { toBytes } from '../../shared/weights/manifest.ts'
import { failedName, waitingName } from '../../shared/weights/names.ts'
import { noise, writeObject, writeRelease, type WrittenObject } from './replica.ts'

/** Two versions of `llama`, the newer one not protected, and a single object in two versions. */
export const writeReplica = async (store: BlobStore): Promise<{ config: WrittenObject; weights: WrittenObject }> => {
  const config = await writeObject(store, { key: 'llama/1/config.json', bytes: Buffer.from('{"layers": 2}') })
  const weights = await writeObject(store, {
    key: 'llama/1/model.safetensors',
    bytes: noise(70_000, 1),
    chunkBytes: 30_000,
  })
  const files = [
    { path: 'config.json', object: config },
    { path: 'shards/model.safetensors', object: weights },
  ]
  await writeRelease(store, { model: 'llama', version: '1', files })
  await writeRelease(store, {
    model: 'llama',
    version: '2',
    files: files.slice(0, 1),
    change: { state: 'sealed', publishedAt: '2026-05-02T10:00:00.000Z', parent: { version: '1', releaseId: 'x' } },
  })
  await writeObject(store, { key: 'single#1.bin', version: 'old', bytes: noise(500, 5) })
  await writeObject(store, {
    key: 'single#1.bin',
    version: 'new',
    bytes: noise(600, 6),
    change: {
      source: {
        bucket: 'models',
        key: 'single#1.bin',
        version: 'new',
        etag: 'e',
        lastModified: '2026-05-02T00:00:00.000Z',
      },
    },
  })
  return { config, weights }
}

/** One refused object and releases that wait, one of them sealed since. */
export const writeTroubles = async (store: BlobStore): Promise<void> => {
  const failed = {
    format: 'lifeboat/failed',
    formatVersion: '1.0',
    state: 'refused',
    traceId: 'a1',
    reason: 'checksum mismatch',
    bucket: 'models',
    key: 'evil\u001b[2Jname',
    version: 'v9',
    at: '2026-05-01T00:00:00.000Z',
  }
  await store.create(failedName('refused', 'a1'), toBytes(failed))
  const waiting = { format: 'lifeboat/waiting', formatVersion: '1.0', bucket: 'models', model: 'llama', marker: null }
  const record = (version: string, reason: string, at: string): Uint8Array =>
    toBytes({ ...waiting, version, reason, at })
  await store.create(waitingName('llama', '1', 'aa'), record('1', 'sealed since', '2026-05-01T09:00:00.000Z'))
  await store.create(waitingName('llama', '3', 'bb'), record('3', 'an older reason', '2026-05-02T09:00:00.000Z'))
  await store.create(waitingName('llama', '3', 'cc'), record('3', 'shard 2 is missing', '2026-05-03T09:00:00.000Z'))
}
