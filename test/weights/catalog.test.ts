import { fileURLToPath } from 'node:url'
import { beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { CorruptError, NotFoundError } from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { findDeletions } from '../../shared/weights/catalog-deleted.ts'
import { listFailures } from '../../shared/weights/catalog-failures.ts'
import { findObject, listObjects } from '../../shared/weights/catalog-objects.ts'
import { surveyObjects } from '../../shared/weights/catalog-pending.ts'
import { traceIdOf } from '../../shared/weights/identity.ts'
import { toBytes } from '../../shared/weights/manifest.ts'
import { deletedName, failedName, objectManifestName } from '../../shared/weights/names.ts'
import { createFolderStore } from '../support/folder-store.ts'
import { noise, writeObject, writePending } from '../support/replica.ts'

let store: MemoryBlobStore
let clock: number
beforeEach(() => {
  clock = 0
  store = createMemoryBlobStore({ now: () => (clock += 1000) })
})

const unbounded = { namesMax: 1000, readsMax: 1000 }
const at = (minute: number): string => new Date(Date.UTC(2026, 4, 3, 9, minute)).toISOString()
const hexPlan = (digit: string): string => digit.repeat(16)

const writeFailed = async (
  state: 'refused' | 'superseded' | 'quarantined',
  fields: { bucket: string; key: string; version: string },
): Promise<void> => {
  const traceId = traceIdOf(fields.bucket, fields.key, fields.version)
  const record = {
    format: 'lifeboat/failed',
    formatVersion: '1.0',
    state,
    traceId,
    reason: 'why',
    at: at(1),
    ...fields,
  }
  await store.create(failedName(state, traceId), toBytes(record))
}

const cancel = (key: string, version: string, planId: string): Promise<unknown> =>
  store.create(
    objectManifestName('models', key, version, planId),
    toBytes({ format: 'lifeboat/cancelled', formatVersion: '1.0', cancelledAt: at(2) }),
  )

/** A store that counts what is read of it. */
const counted = (): { store: BlobStore; reads: string[] } => {
  const reads: string[] = []
  const read: BlobStore['read'] = async (name, options) => {
    reads.push(name)
    return store.read(name, options)
  }
  return { store: { ...store, read }, reads }
}

const pendingKeys = async (): Promise<string[] | undefined> =>
  (await surveyObjects(store, unbounded)).pending?.map(({ record }) => `${record.source.key}#${record.source.version}`)

describe('pending', () => {
  test('is a plan whose object version has neither a manifest of any plan nor an end', async () => {
    const { manifest } = await writeObject(store, { key: 'done', bytes: noise(10, 1) })
    await writePending(store, { key: 'done', planId: manifest.planId, plannedAt: at(0) })
    await writePending(store, { key: 'done', planId: hexPlan('a'), plannedAt: at(0) })
    await writePending(store, { key: 'done', version: 'v2', planId: hexPlan('b'), plannedAt: at(9) })
    await writePending(store, { key: 'gone', planId: hexPlan('c'), plannedAt: at(0) })
    await writeFailed('superseded', { bucket: 'models', key: 'gone', version: 'v1' })
    await writePending(store, { key: 'bad', planId: hexPlan('d'), plannedAt: at(0) })
    await writeFailed('refused', { bucket: 'models', key: 'bad', version: 'v1' })
    await writePending(store, { key: 'odd', planId: hexPlan('e'), plannedAt: at(5) })
    await writeFailed('quarantined', { bucket: 'models', key: 'odd', version: 'v1' })
    // The same key and version in another bucket is another object.
    await writePending(store, { bucket: 'other', key: 'done', planId: hexPlan('f'), plannedAt: at(7) })
    expect(await pendingKeys()).toEqual(['odd#v1', 'done#v1', 'done#v2'])
    const { sealed, pending } = await surveyObjects(store, unbounded)
    expect(Object.fromEntries(sealed)).toEqual({ models: 1 })
    expect(pending?.map(({ record }) => record.source.bucket)).toEqual(['models', 'other', 'models'])
  })

  test('a cancelled plan is no manifest; a version counts once, since its first plan', async () => {
    await writePending(store, { key: 'k', planId: hexPlan('a'), plannedAt: at(1) })
    await cancel('k', 'v1', hexPlan('a'))
    await writePending(store, { key: 'k', planId: hexPlan('b'), plannedAt: at(30) })
    const { sealed, pending } = await surveyObjects(store, unbounded)
    expect(sealed.size).toBe(0)
    expect(pending).toMatchObject([{ plannedAt: at(1), record: { planId: hexPlan('b') } }])
    await writeObject(store, { key: 'k', bytes: noise(10, 1), change: { planId: hexPlan('b') } })
    expect(await pendingKeys()).toEqual([])
  })

  test('is told by names: no manifest is read, nor a pending record whose plan is sealed', async () => {
    for (const [index, key] of ['a', 'b', 'c'].entries()) {
      const { manifest } = await writeObject(store, { key, bytes: noise(10, index) })
      await writePending(store, { key, planId: manifest.planId, plannedAt: at(0) })
    }
    await writePending(store, { key: 'd', planId: hexPlan('d'), plannedAt: at(0) })
    const { store: counting, reads } = counted()
    const { sealed, pending } = await surveyObjects(counting, unbounded)
    expect(reads).toEqual([`pending/v1.${hexPlan('d')}.json`])
    expect(pending).toHaveLength(1)
    expect(sealed.get('models')).toBe(3)
  })

  test('keys and versions that are too long for a name are found too', async () => {
    const key = `deep/${'é'.repeat(400)}`
    const version = `u-${'v'.repeat(880)}`
    await writeObject(store, { key, version, bytes: noise(10, 1) })
    await writePending(store, { key, version, planId: hexPlan('a'), plannedAt: at(0) })
    await writePending(store, { key, version: 'v2', planId: hexPlan('b'), plannedAt: at(0) })
    expect(await pendingKeys()).toEqual([`${key}#v2`])
  })

  test('bounds: what was not looked at is said and never taken for nothing', async () => {
    for (const key of ['a', 'b', 'c']) await writeObject(store, { key, bytes: noise(10, 1) })
    await writePending(store, { key: 'old', planId: hexPlan('a'), plannedAt: at(0) })
    await writePending(store, { key: 'new', planId: hexPlan('b'), plannedAt: at(1) })
    expect(await surveyObjects(store, { namesMax: 2, readsMax: 10 })).toMatchObject({
      pending: undefined,
      namesTruncated: true,
    })
    const { pending, pendingTruncated } = await surveyObjects(store, { namesMax: 10, readsMax: 1 })
    expect(pending?.map(({ record }) => record.source.key)).toEqual(['old'])
    expect(pendingTruncated).toBe(true)
  })

  test('a damaged record is an error', async () => {
    await store.create(`pending/v1.${hexPlan('a')}.json`, Buffer.from('{'))
    await expect(surveyObjects(store, unbounded)).rejects.toBeInstanceOf(CorruptError)
  })

  test('the replica of format 1.0 has nothing pending, a cancelled plan included', async () => {
    const fixture = createFolderStore(fileURLToPath(new URL('../fixtures/format-1.0', import.meta.url)))
    const { sealed, pending } = await surveyObjects(fixture, unbounded)
    expect(pending).toEqual([])
    expect(sealed.get('models')).toBeGreaterThan(10)
  })
})

describe('failures', () => {
  test('say what their version became since; others stay as they are', async () => {
    await writeFailed('refused', { bucket: 'models', key: 'healed', version: 'v1' })
    await writeFailed('refused', { bucket: 'models', key: 'bad', version: 'v1' })
    await writeFailed('superseded', { bucket: 'not a bucket/', key: 'x', version: 'v1' })
    const { name } = await writeObject(store, { key: 'healed', bytes: noise(10, 1) })
    await writeObject(store, { key: 'bad', version: 'v10', bytes: noise(10, 1) })
    await cancel('bad', 'v1', hexPlan('a'))
    const { failed } = await listFailures(store, 10)
    const since = Object.fromEntries(failed.map((failure) => [failure.key, failure.since]))
    expect(since).toEqual({
      healed: { state: 'protected', sealedAt: '2026-05-01T10:01:00.000Z', manifest: name },
      bad: undefined,
      x: undefined,
    })
  })

  test('at most `limit` of the newest, and that there are more', async () => {
    for (const version of ['1', '2', '3']) await writeFailed('refused', { bucket: 'models', key: 'k', version })
    const { failed, truncated } = await listFailures(store, 2)
    expect(new Set(failed.map(({ version }) => version))).toEqual(new Set(['2', '3']))
    expect(truncated).toBe(true)
    expect(await listFailures(store, 3, ({ version }) => version === '1')).toMatchObject({
      failed: [{ version: '1' }],
      truncated: false,
    })
  })
})

const version = (name: string, lastModified: string) =>
  writeObject(store, {
    key: 'k',
    version: name,
    bytes: noise(10, 1),
    change: { source: { bucket: 'models', key: 'k', version: name, etag: 'e', lastModified } },
  })
const deleted = (key: string, name: string | undefined, deletion: string, time: string) =>
  store.create(
    deletedName('models', key, name ?? time),
    toBytes({
      format: 'lifeboat/deleted',
      formatVersion: '1.0',
      traceId: 't',
      bucket: 'models',
      key,
      ...(name === undefined ? {} : { version: name }),
      deletion,
      at: time,
    }),
  )
const found = async (limit = 10): Promise<{ of: Record<string, string>; truncated: boolean }> => {
  const { objects } = await listObjects(store, 'models', '', 100)
  const { byManifest, truncated } = await findDeletions(store, 'models', '', objects, limit)
  const of = objects.map(({ name, object }) => [object.source.version, byManifest.get(name)?.at ?? '-'])
  return { of: Object.fromEntries(of) as Record<string, string>, truncated }
}

describe('deletions', () => {
  test('a marker concerns the version that was current then, a permanent deletion the one it names', async () => {
    await version('first', at(0))
    await version('second', at(10))
    await version('third', at(20))
    await deleted('k', 'marker', 'Delete Marker Created', at(15))
    await deleted('k', 'third', 'Permanently Deleted', at(25))
    await deleted('k', 'never-seen', 'Permanently Deleted', at(26))
    await deleted('kk', 'other', 'Delete Marker Created', at(30))
    expect((await found()).of).toEqual({ first: '-', second: at(15), third: at(25) })
    expect((await found(1)).truncated).toBe(true)
  })

  test('without versions it is the newest before it', async () => {
    await version('u-1', at(0))
    await version('u-2', at(10))
    await deleted('k', undefined, 'Permanently Deleted', at(11))
    expect((await found()).of).toEqual({ 'u-1': '-', 'u-2': at(11) })
  })
})

describe('one object', () => {
  test('the beginning of a version id names it where it is the only one', async () => {
    await writeObject(store, { key: 'k', version: 'abcdefgh1111', bytes: noise(10, 1) })
    await writeObject(store, { key: 'k', version: 'abcdefgh2222', bytes: noise(10, 2) })
    const versionOf = async (text: string) => (await findObject(store, 'models', text)).object.source.version
    expect(await versionOf('k#abcdefgh2')).toBe('abcdefgh2222')
    await expect(versionOf('k#abcdefgh')).rejects.toBeInstanceOf(NotFoundError)
    await writeObject(store, { key: 'j', version: 'abcdefgh1111', bytes: noise(10, 1) })
    await expect(versionOf('j#abcdef')).rejects.toThrow('has no version abcdef in the replica')
  })
})
