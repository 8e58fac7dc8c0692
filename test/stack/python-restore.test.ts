import { createServer } from 'node:http'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { parseBodyName } from '../../shared/weights/names.ts'
import {
  changedFixtures,
  damageChunk,
  digestsIn,
  expectedRestores,
  filesIn,
  fixtureFolder,
  type ReleaseJson,
  sha256,
} from '../support/fixtures.ts'
import { gcsFixture } from '../support/gcs.ts'
import { hasTools, inFolders, type Ran, runPage } from '../support/python-page.ts'
import { createWorld, noise, safetensorsOf } from '../support/weights-world.ts'

const listed = (digests: Record<string, string>): string =>
  Object.entries(digests)
    .map(([path, digest]) => `${digest}  ${path}\n`)
    .join('')

const novel = (record: Record<string, unknown>): void => {
  Object.assign(record, { formatVersion: '1.7', novelty: { of: 'a newer minor version' } })
}

const withPaths =
  (first: string, second = 'b') =>
  (release: ReleaseJson): void => {
    release.members[0]!.path = first
    release.members[1]!.path = second
  }

const restored = await expectedRestores()
const configDigest = restored['tiny@v1']?.['config.json'] ?? ''

/** docs/restore.py knows the format from docs/format.md alone: what it reads, anyone can. */
describe.skipIf(!hasTools)('docs/restore.py on the fixtures', () => {
  test.each(Object.keys(restored).map((what) => [what.length > 80 ? `${what.slice(0, 80)}...` : what, what] as const))(
    'restores %s',
    async (_title, what) => {
      await inFolders(async (_replica, to) => {
        expect(await runPage([fixtureFolder, what, to])).toEqual({
          code: 0,
          stdout: listed(restored[what]!),
          stderr: '',
        })
        expect(await digestsIn(to)).toEqual(restored[what])
      })
    },
  )

  test('finds a version of an object and says what it cannot find', async () => {
    await inFolders(async (_replica, to) => {
      expect((await runPage([fixtureFolder, 's3://models/single.bin#v00000015', to])).code).toBe(0)
      for (const what of [
        'nothing',
        'tiny@v3',
        'unfinished',
        's3://models/gone.bin',
        's3://models/single.bin#v00000001',
      ])
        expect(await runPage([fixtureFolder, what, to])).toMatchObject({
          code: 4,
          stderr: expect.stringContaining(what),
        })
    })
  })

  test('reads a newer minor version and refuses a newer major one', async () => {
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, { release: novel, object: novel })
      expect((await runPage([replica, 'tiny@v1', to])).code).toBe(0)
      expect(await digestsIn(to)).toEqual(restored['tiny@v1'])
    })
    for (const kind of ['release', 'object'] as const)
      await inFolders(async (replica, to) => {
        await changedFixtures(replica, {
          [kind]: (record: Record<string, unknown>) => (record['formatVersion'] = '2.0'),
        })
        expect(await runPage([replica, 'tiny@v1', to])).toMatchObject({
          code: 5,
          stderr: expect.stringContaining('format 2.0'),
        })
        await expect(filesIn(to)).rejects.toThrow('ENOENT')
      })
  })

  test.each([
    ['a flipped bit', (body: Buffer) => body.writeUInt8(body.readUInt8(20) ^ 1, 20), 'damaged'],
    ['another layout', (body: Buffer) => body.writeUInt8(0x32, 3), 'LBC2'],
    ['an unknown codec', (body: Buffer) => body.writeUInt8(9, 4), 'codec 9'],
    ['a header that promises more', (body: Buffer) => body.writeBigUInt64LE(2n ** 40n, 8), 'header'],
  ])('leaves nothing of a release with %s in a chunk', async (_title, change, message) => {
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, {})
      await damageChunk(replica, configDigest, change)
      expect(await runPage([replica, 'tiny@v1', to])).toMatchObject({
        code: 5,
        stderr: expect.stringContaining(message),
      })
      expect(await filesIn(to)).toEqual([])
    })
  })

  test('refuses a manifest that is not the one that the release names', async () => {
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, {
        release: (release) => (release.members[0]!.manifestDigest = `sha256:${'0'.repeat(64)}`),
      })
      expect(await runPage([replica, 'tiny@v1', to])).toMatchObject({
        code: 5,
        stderr: expect.stringContaining('release names'),
      })
    })
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, { release: (release) => (release.members[0]!['size'] = 1) })
      expect((await runPage([replica, 'tiny@v1', to])).code).toBe(5)
    })
  })

  test.each([
    ['../out', 'b'],
    ['/etc/out', 'b'],
    ['a/../../out', 'b'],
    ['C:out', 'b'],
    ['a\\b', 'b'],
    ['a\0b', 'b'],
    ['a//b', 'b'],
    ['', 'b'],
    ['x'.repeat(256), 'b'],
    ['Same', 'sAME'],
    ['same', 'same'],
    ['a', 'a/b'],
  ])('refuses the paths %j and %j before it writes anything', async (first, second) => {
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, { release: withPaths(first, second) })
      expect(await runPage([replica, 'tiny@v1', to])).toMatchObject({
        code: 5,
        stderr: expect.stringContaining('nothing was written'),
      })
      await expect(filesIn(to)).rejects.toThrow('ENOENT')
    })
  })

  test('goes through no link and replaces no file', async () => {
    await inFolders(async (replica, to) => {
      await changedFixtures(replica, { release: withPaths('link/a') })
      await mkdir(to)
      await symlink(replica, join(to, 'link'))
      expect(await runPage([replica, 'tiny@v1', to])).toMatchObject({
        code: 5,
        stderr: expect.stringContaining('link'),
      })
    })
    await inFolders(async (_replica, to) => {
      await mkdir(to)
      await writeFile(join(to, 'config.json'), 'mine')
      expect(await runPage([fixtureFolder, 'tiny', to])).toMatchObject({
        code: 2,
        stderr: expect.stringContaining('exists'),
      })
      expect(await filesIn(to)).toEqual(['config.json'])
      expect(await readFile(join(to, 'config.json'), 'utf8')).toBe('mine')
    })
  })

  test('says what is wrong with its arguments and its machine', async () => {
    await inFolders(async (_replica, to) => {
      expect((await runPage(['tiny', to])).code).toBe(2)
      expect((await runPage(['--bucket', 'replica', fixtureFolder, 'tiny', to])).code).toBe(2)
      expect((await runPage([join(fixtureFolder, 'nowhere'), 'tiny', to])).code).toBe(4)
      const withoutZstd = await runPage(['--bucket', 'replica', 'tiny', to], { PATH: '/nonexistent' })
      expect(withoutZstd).toMatchObject({ code: 2, stderr: expect.stringContaining('zstd') })
    })
  })
})

describe.skipIf(!hasTools)('docs/restore.py on what the pipeline just wrote', () => {
  const gcs = gcsFixture()
  const prefix = 'some/prefix/'
  const files: Record<string, Uint8Array> = {
    'config.json': Buffer.from(JSON.stringify({ layers: 2 }).repeat(100)),
    'empty.txt': Buffer.alloc(0),
    'model.safetensors': safetensorsOf({ 'a.large': 5 * 2 ** 20, 'b.small': 1000, 'c.small': 2000 }, 3),
    'tokenizer + é.bin': noise(700_000, 4),
  }
  const digests = Object.fromEntries(Object.entries(files).map(([path, bytes]) => [path, sha256(bytes)]))
  let bucket: string
  let store: BlobStore

  beforeAll(async () => {
    ;({ name: bucket } = await gcs.newBucket({ enableObjectRetention: true }))
    store = createGcsBlobStore({ storage: gcs.storage(), bucket, prefix })
    const world = createWorld({ now: Date.now })
    world.deps.store = store
    for (const [path, bytes] of Object.entries(files)) world.publish(`org/v1/${path}`, bytes)
    world.tick(1000)
    world.publish('org/v1/_SUCCESS', Buffer.alloc(0))
    const failures = await world.run()
    if (failures.length > 0) throw failures[0]
  })

  const overHttp = (what: string, to: string, token = 'lifeboat-restorer'): Promise<Ran> =>
    runPage(['--bucket', `${bucket}/${prefix}`, '--endpoint', gcs.server().url, what, to], { GCS_TOKEN: token })

  test('restores it over HTTP with the rights of a restorer', async () => {
    await inFolders(async (_replica, to) => {
      expect(await overHttp('org', to)).toMatchObject({ code: 0, stderr: '' })
      expect(await digestsIn(to)).toEqual(digests)
    })
    await inFolders(async (_replica, to) => {
      expect((await overHttp('s3://models/org/v1/tokenizer + é.bin', to)).code).toBe(0)
      expect(await digestsIn(to)).toEqual({ 'tokenizer + é.bin': digests['tokenizer + é.bin'] })
    })
  })

  test('restores it from a copy in a folder', async () => {
    await inFolders(async (replica, to) => {
      for await (const { name } of store.list('')) {
        await mkdir(join(replica, name, '..'), { recursive: true })
        await writeFile(join(replica, name), (await store.read(name)) ?? '')
      }
      expect(await runPage([replica, 'org@v1', to])).toMatchObject({ code: 0, stderr: '' })
      expect(await digestsIn(to)).toEqual(digests)
    })
  })

  test('goes on after an answer of 503 and gives up on a lost bucket, a wrong token and a dead endpoint', async () => {
    await inFolders(async (_replica, to) => {
      await fetch(`${gcs.server().url}/_lifeboat/faults`, {
        method: 'PUT',
        body: JSON.stringify([{ path: 'alt=media', times: 1, status: 503 }]),
      })
      expect((await overHttp('org', to)).code).toBe(0)
      expect(await digestsIn(to)).toEqual(digests)
    })
    await inFolders(async (_replica, to) => {
      expect((await overHttp('org', to, 'nobody')).code).toBe(3)
      expect((await runPage(['--bucket', 'b', '--endpoint', 'http://127.0.0.1:9', 'org', to])).code).toBe(3)
      const lost = await runPage(['--bucket', 'no-such-bucket', '--endpoint', gcs.server().url, 'org', to], {
        GCS_TOKEN: 'lifeboat-restorer',
      })
      expect(lost).toMatchObject({ code: 4, stderr: expect.stringContaining('no bucket') })
    })
  })

  test('reads again where a body was cut on its way', async () => {
    let cuts = 0
    const proxy = createServer((request, response) => {
      const forward = async (): Promise<void> => {
        const answer = await fetch(gcs.server().url + String(request.url), {
          headers: { authorization: request.headers.authorization ?? '' },
        })
        const body = Buffer.from(await answer.arrayBuffer())
        response.writeHead(answer.status, { 'content-length': body.length })
        const isCut = request.url?.includes('chunks%2F') && body.length > 1000 && cuts < 2
        if (!isCut) return void response.end(body)
        cuts += 1
        response.write(body.subarray(0, 100), () => response.destroy())
      }
      forward().catch(() => response.destroy())
    }).listen(0, '127.0.0.1')
    await once(proxy, 'listening')
    const endpoint = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`
    try {
      await inFolders(async (_replica, to) => {
        const args = ['--bucket', `${bucket}/${prefix}`, '--endpoint', endpoint, '--token', 'lifeboat-restorer']
        expect(await runPage([...args, 'org', to])).toMatchObject({ code: 0, stderr: '' })
        expect(await digestsIn(to)).toEqual(digests)
        expect(cuts).toBe(2)
      })
    } finally {
      proxy.closeAllConnections()
      proxy.close()
    }
  })

  test('leaves nothing where a chunk is missing', async () => {
    await inFolders(async (replica, to) => {
      let left = 0
      for await (const { name } of store.list('')) {
        if (parseBodyName(name)?.kind === 'chunk' && (left += 1) === 2) continue
        await mkdir(join(replica, name, '..'), { recursive: true })
        await writeFile(join(replica, name), (await store.read(name)) ?? '')
      }
      expect(await runPage([replica, 'org', to])).toMatchObject({ code: 5, stderr: expect.stringContaining('missing') })
      expect(await filesIn(to)).toEqual([])
    })
  })
})
