import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { projectRoles, type RoleTable } from '../../local/gcs/principals.ts'
import { startGcs, type GcsServer } from '../../local/gcs/server.ts'
import { forEachBounded, toArray } from '../../shared/bounded.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { translateError } from '../../shared/clouds/gcp/errors.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import {
  ConflictError,
  CorruptError,
  DeniedError,
  InvalidInputError,
  NotFoundError,
  UnavailableError,
} from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { crcNumber } from '../../shared/weights/checksums.ts'

const BUCKET = 'replica'
const DAY_MS = 86_400_000
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-blobs-'))
const withList = (role: string): { permissions: string[] } => ({
  permissions: [...(projectRoles()[role]?.permissions ?? []), 'storage.objects.list'],
})
// GCS answers 403, not 404, for what is missing to whoever may not list: the suite's identities may.
const roles: RoleTable = {
  ...projectRoles(),
  'lifeboat-writer': withList('lifeboat-writer'),
  'lifeboat-committer': withList('lifeboat-committer'),
  'create-and-get': { permissions: ['storage.objects.create', 'storage.objects.get'] },
}
let gcs: GcsServer
const storageOf = (principal: string) =>
  createStorage({ projectId: 'p', endpoint: gcs.url, token: `${principal}@proj.iam.gserviceaccount.com` })
let prefixes = 0
const gcsStore = (principal: string, prefix = `t${(prefixes += 1)}`): BlobStore & { prefix: string } => ({
  ...createGcsBlobStore({ storage: storageOf(principal), bucket: BUCKET, prefix }),
  prefix,
})

const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'allowed',
    (error: { code?: unknown }) => error.code,
  )

beforeAll(async () => {
  gcs = await startGcs({ dir, roles })
  await storageOf('lifeboat-admin').createBucket(BUCKET, { enableObjectRetention: true })
})
afterAll(async () => {
  await gcs.close()
  rmSync(dir, { recursive: true })
})

describe.each([
  ['memory', () => createMemoryBlobStore()],
  ['embedded GCS as committer', () => gcsStore('lifeboat-committer')],
])('a BlobStore: %s', (_name, open: () => BlobStore) => {
  it('answers undefined for what is not there', async () => {
    const store = open()
    expect(await store.stat('chunks/none')).toBeUndefined()
    expect(await store.read('chunks/none')).toBeUndefined()
    expect(await toArray(store.list(''))).toEqual([])
  })

  it('creates, describes and reads back', async () => {
    const store = open()
    const body = bytes('the body')
    const crc32c = crcNumber('CRC32C', body)
    const created = await store.create('a/b', body, { crc32c, metadata: { codec: 'raw' }, contentType: 'text/plain' })
    expect(created).toMatchObject({ name: 'a/b', size: 8, crc32c, metageneration: '1', metadata: { codec: 'raw' } })
    expect(created?.md5).toBe('MGYXYYX8yjXSbBsWEqkeeA==')
    expect(Math.abs(Date.now() - created!.createdAt)).toBeLessThan(60_000)
    expect(await store.stat('a/b')).toEqual(created)
    expect(Buffer.from((await store.read('a/b'))!)).toEqual(Buffer.from(body))
    expect(await store.read('a/b', { generation: created!.generation })).toHaveLength(8)
    expect(await store.read('a/b', { generation: '12345' })).toBeUndefined()
  })

  it('keeps an empty body and one of several MiB', async () => {
    const store = open()
    const large = Buffer.alloc(3 * 2 ** 20 + 17, 'pattern')
    expect((await store.create('empty', new Uint8Array()))?.size).toBe(0)
    expect(await store.read('empty')).toHaveLength(0)
    expect((await store.create('large', large))?.crc32c).toBe(crcNumber('CRC32C', large))
    expect(large.equals(Buffer.from((await store.read('large'))!))).toBe(true)
  })

  it('never replaces', async () => {
    const store = open()
    await store.create('once', bytes('first'))
    expect(await store.create('once', bytes('second'))).toBeUndefined()
    expect(String(Buffer.from((await store.read('once'))!))).toBe('first')
  })

  it('lets exactly one of many concurrent creators win', async () => {
    const store = open()
    const made = await Promise.all(Array.from('12345678').map((who) => store.create('race', bytes(who))))
    expect(made.filter(Boolean)).toHaveLength(1)
    const winner = '12345678'[made.findIndex(Boolean)]
    expect(String(Buffer.from((await store.read('race'))!))).toBe(winner)
  })

  it('refuses a body that is not of its crc32c, and stores nothing', async () => {
    const store = open()
    await expect(store.create('wrong', bytes('x'), { crc32c: 1 })).rejects.toBeInstanceOf(CorruptError)
    expect(await store.stat('wrong')).toBeUndefined()
  })

  it('reads at most bytesMax', async () => {
    const store = open()
    await store.create('ten', bytes('0123456789'))
    expect(await store.read('ten', { bytesMax: 10 })).toHaveLength(10)
    await expect(store.read('ten', { bytesMax: 9 })).rejects.toBeInstanceOf(CorruptError)
  })

  it('lists a prefix in UTF-8 order, from a name on, whatever is in the names', async () => {
    const store = open()
    const from = async (name: string) => (await toArray(store.list('x/', { from: name }))).map((stat) => stat.name)
    const names = ['x/a b+c%2F#?&.bin', 'x/ü', 'x/\u{FFFD}', 'x/\u{1F600}', 'x/~', 'x/%41', 'x//y']
    for (const name of [...names, 'w', 'y']) await store.create(name, bytes(name))
    const listed = await from('')
    expect(listed).toEqual([...names].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
    const asked = [await from('a'), await from(listed[2] ?? ''), await from('x/a z'), await from('y')]
    expect(asked).toEqual([listed, listed.slice(2), listed.slice(3), []])
    for (const name of names) expect(String(Buffer.from((await store.read(name))!))).toBe(name)
  })

  it('lists every page', async () => {
    const store = open()
    const names = Array.from({ length: 1203 }, (_, index) => `p/${String(index).padStart(5, '0')}`)
    await forEachBounded(names, 16, async (name) => {
      await store.create(name, bytes(name))
    })
    expect((await toArray(store.list('p/'))).map(({ name }) => name)).toEqual(names)
  })

  it('updates exactly the generation and metageneration that are named', async () => {
    const store = open()
    const first = (await store.create('m', bytes('x'), { metadata: { keep: '1', drop: '2' } }))!
    const second = await store.update(first, { metadata: { drop: null, add: '3' } })
    expect(second.metadata).toEqual({ keep: '1', add: '3' })
    expect(second).toMatchObject({ generation: first.generation, metageneration: '2' })
    expect(await store.stat('m')).toEqual(second)
    await expect(store.update(first, { metadata: { late: '1' } })).rejects.toBeInstanceOf(ConflictError)
    await expect(store.update({ ...second, generation: '7' }, { metadata: {} })).rejects.toBeInstanceOf(ConflictError)
    await expect(store.update({ ...second, name: 'gone' }, { metadata: {} })).rejects.toBeInstanceOf(NotFoundError)
    expect(await store.stat('m')).toEqual(second)
  })

  it('extends retention and never shortens it', async () => {
    const store = open()
    const until = Math.floor(Date.now() / 1000) * 1000 + DAY_MS
    const first = (await store.create('kept', bytes('x')))!
    expect(first.retainUntil).toBeUndefined()
    const second = await store.update(first, { retainUntil: until })
    expect(second.retainUntil).toBe(until)
    const third = await store.update(second, { retainUntil: until + DAY_MS, metadata: { a: 'b' } })
    expect(third).toMatchObject({ retainUntil: until + DAY_MS, metadata: { a: 'b' }, metageneration: '3' })
    await expect(store.update(third, { retainUntil: until })).rejects.toBeInstanceOf(DeniedError)
    expect((await store.stat('kept'))?.retainUntil).toBe(until + DAY_MS)
  })
})

describe('the memory store', () => {
  it('corrupts and removes for tests, and refuses like a role', async () => {
    const store = createMemoryBlobStore({ canUpdate: false, canList: false, now: () => 42 })
    const made = (await store.create('n', bytes('body')))!
    expect(made.createdAt).toBe(42)
    store.corrupt('n', (body) => body.map((byte) => byte ^ 1))
    expect(await store.read('n')).not.toEqual(bytes('body'))
    expect(await store.stat('n')).toEqual(made)
    await expect(store.update(made, {})).rejects.toBeInstanceOf(DeniedError)
    await expect(store.stat('none')).rejects.toBeInstanceOf(DeniedError)
    store.remove('n')
    expect(store.names()).toEqual([])
  })
})

describe('the GCS store when things fail', () => {
  it('sees its own object after a lost reply', async () => {
    const store = gcsStore('lifeboat-writer')
    gcs.faults.push({ path: '^POST /upload', times: 1, cut: 'after' })
    expect(await store.create('lost', bytes('body'))).toBeUndefined()
    expect(await store.stat('lost')).toMatchObject({ size: 4, crc32c: crcNumber('CRC32C', bytes('body')) })
  })

  it('tries again after 503 and 429', async () => {
    const store = gcsStore('lifeboat-committer')
    gcs.faults.push({ path: '^POST /upload', times: 1, status: 503 })
    const made = await store.create('busy', bytes('body'))
    expect(made?.size).toBe(4)
    gcs.faults.push({ path: 'busy', times: 1, status: 429 }, { path: 'busy.*alt=media', times: 1, status: 503 })
    const [stat, body] = [await store.stat('busy'), await store.read('busy')]
    expect(stat?.size).toBe(4)
    expect(body).toHaveLength(4)
    expect(gcs.faults.filter(({ times }) => times > 0)).toEqual([])
  })

  it('reads again when the connection breaks in the middle of a body', async () => {
    const store = gcsStore('lifeboat-committer')
    const body = Buffer.alloc(2 ** 20, 'abc')
    await store.create('large', body)
    let cuts = 0
    const proxy = createServer((client) => {
      const upstream = connect(gcs.port, '127.0.0.1')
      let passed = 0
      client.pipe(upstream).on('error', () => client.destroy())
      client.on('error', () => upstream.destroy())
      upstream.on('data', (part) => {
        passed += part.length
        client.write(part)
        if (cuts > 0 || passed < 300_000) return
        cuts += 1
        client.destroy()
        upstream.destroy()
      })
    }).listen(0, '127.0.0.1')
    await new Promise((resolve) => proxy.once('listening', resolve))
    const endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    const storage = createStorage({ projectId: 'p', endpoint, token: 'lifeboat-restorer' })
    const through = createGcsBlobStore({ storage, bucket: BUCKET, prefix: store.prefix })
    expect(body.equals(Buffer.from((await through.read('large'))!))).toBe(true)
    expect(cuts).toBe(1)
    proxy.close()
  })

  it('tells a bucket that is not there from an object that is not there', async () => {
    const lost = createGcsBlobStore({ storage: storageOf('lifeboat-committer'), bucket: 'no-such-bucket' })
    await expect(lost.stat('x')).rejects.toBeInstanceOf(NotFoundError)
    await expect(lost.read('x')).rejects.toBeInstanceOf(NotFoundError)
    await expect(lost.create('x', bytes('x'))).rejects.toBeInstanceOf(NotFoundError)
    await expect(toArray(lost.list(''))).rejects.toBeInstanceOf(NotFoundError)
  })

  it('translates every kind of error once, with operation, name and cause', () => {
    const kinds = [
      [{ code: 404, message: 'm' }, NotFoundError],
      [{ code: 412, message: 'm' }, ConflictError],
      [{ code: 401, message: 'm' }, DeniedError],
      [{ status: 403, message: 'm' }, DeniedError],
      [{ code: 408, message: 'm' }, UnavailableError],
      [{ code: '429', message: 'm' }, UnavailableError],
      [{ code: 500, message: 'm' }, UnavailableError],
      [{ code: 'ECONNRESET', message: 'm' }, UnavailableError],
      [{ message: 'fetch failed', cause: { code: 'ECONNREFUSED' } }, UnavailableError],
      [{ type: 'request-timeout', message: 'm' }, UnavailableError],
      [{ code: 400, message: 'Provided CRC32C "a" doesn\'t match calculated CRC32C "b".' }, CorruptError],
      [{ code: 400, message: 'Invalid bucket name' }, InvalidInputError],
    ] as const
    for (const [cause, type] of kinds) {
      const error = translateError('stat', 'gs://b/n', cause)
      expect(error).toBeInstanceOf(type)
      expect(error.message).toContain('stat gs://b/n')
      expect(error.cause).toBe(cause)
    }
    const unknown = translateError('stat', 'gs://b/n', new TypeError('odd'))
    expect(unknown).not.toBeInstanceOf(UnavailableError)
    expect(unknown.message).toContain('odd')
  })
})

describe('principals', () => {
  it.each(['lifeboat-writer', 'lifeboat-committer'])('%s cannot delete or overwrite', async (principal) => {
    const store = gcsStore(principal)
    await store.create('sealed', bytes('true'))
    const file = storageOf(principal).bucket(BUCKET).file(`${store.prefix}/sealed`)
    expect(await codeOf(file.delete())).toBe(403)
    expect(await codeOf(file.save('false', { resumable: false }))).toBe(403)
    expect(String(Buffer.from((await store.read('sealed'))!))).toBe('true')
  })

  it('the writer cannot change metadata or retention, the committer can', async () => {
    const writer = gcsStore('lifeboat-writer')
    const committer = gcsStore('lifeboat-committer', writer.prefix)
    const made = (await writer.create('m', bytes('x')))!
    await expect(writer.update(made, { metadata: { a: 'b' } })).rejects.toBeInstanceOf(DeniedError)
    await expect(writer.update(made, { retainUntil: Date.now() + DAY_MS })).rejects.toBeInstanceOf(DeniedError)
    const next = await committer.update(made, { metadata: { a: 'b' }, retainUntil: Date.now() + DAY_MS })
    expect(next.metadata).toEqual({ a: 'b' })
  })

  it('the restorer and the validator read and list; the validator creates, and neither changes anything', async () => {
    const writer = gcsStore('lifeboat-writer')
    const blob = await writer.create('m', bytes('x'))
    for (const principal of ['lifeboat-restorer', 'lifeboat-validator']) {
      const reader = gcsStore(principal, writer.prefix)
      expect([await reader.read('m'), await toArray(reader.list(''))]).toMatchObject([{ length: 1 }, { length: 1 }])
      await expect(reader.update(blob!, { metadata: { a: 'b' } })).rejects.toBeInstanceOf(DeniedError)
    }
    const create = (principal: string) => gcsStore(principal, writer.prefix).create('n', bytes('x'))
    await expect(create('lifeboat-restorer')).rejects.toBeInstanceOf(DeniedError)
    expect(await create('lifeboat-validator')).toBeDefined()
  })

  it('without list, a missing object is denied and never taken for absent', async () => {
    const store = gcsStore('create-and-get')
    await expect(store.stat('none')).rejects.toBeInstanceOf(DeniedError)
    await expect(store.read('none')).rejects.toBeInstanceOf(DeniedError)
    await store.create('there', bytes('x'))
    expect(await store.stat('there')).toMatchObject({ size: 1 })
  })

  it('an unknown principal is denied, and an endpoint without a token is refused', async () => {
    await expect(gcsStore('somebody').stat('x')).rejects.toBeInstanceOf(DeniedError)
    expect(() => createStorage({ projectId: 'p', endpoint: gcs.url })).toThrow(InvalidInputError)
  })

  it('a create that loses is undefined, too, where the service asks for delete permission first', async () => {
    const other = mkdtempSync(join(tmpdir(), 'lifeboat-blobs-'))
    const strict = await startGcs({ dir: other, deleteBeforeConditions: true })
    const storage = (token: string) => createStorage({ projectId: 'p', endpoint: strict.url, token })
    await storage('lifeboat-admin').createBucket(BUCKET)
    const store = createGcsBlobStore({ storage: storage('lifeboat-writer'), bucket: BUCKET })
    expect(await store.create('once', bytes('first'))).toMatchObject({ size: 5 })
    expect(await store.create('once', bytes('second'))).toBeUndefined()
    await strict.close()
    rmSync(other, { recursive: true })
  })
})
