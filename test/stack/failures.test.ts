import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { encodeBody } from '../../shared/weights/codec.ts'
import { chunkName } from '../../shared/weights/names.ts'
import {
  contentOf,
  createdEvent,
  type Manifest,
  manifestsOf,
  missingBodies,
  noise,
  sha256,
  startTestStack,
  type TestStack,
  until,
} from '../support/stack.ts'

/** Each ends as it should, says so in the replica, and the rest goes on. */

// Long only where something else has the machine; nothing waits for it.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

let it: TestStack
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-failures-'))
beforeAll(async () => {
  it = await startTestStack(join(dir, 'stack'))
})
afterAll(async () => {
  try {
    await it.stop()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

type Failed = { state: string; bucket?: string; key?: string; name?: string; reason: string; detail?: string }

const failures = async (): Promise<Failed[]> => {
  const { code, stdout } = await it.cli(['ls', '--failed', '--json'])
  expect(code).toBe(0)
  return (JSON.parse(stdout) as { failed: Failed[] }).failed
}

const failed = async (wanted: (failure: Failed) => boolean): Promise<Failed> =>
  until(
    async () => (await failures()).find(wanted),
    async () => `that failure among ${JSON.stringify(await failures(), undefined, 1)}`,
  )

const sealed = async (bucket: string, key: string, count = 1): Promise<Manifest[]> =>
  until(
    async () => {
      const found = await manifestsOf(it.store(), (source) => source.bucket === bucket && source.key === key)
      return found.length >= count && found
    },
    () => Promise.resolve(`a manifest of s3://${bucket}/${key}\n${it.log('copySegment').slice(-2000)}`),
  )

const contentsOf = async (manifests: Manifest[]): Promise<string[]> =>
  Promise.all(manifests.map(async ({ object }) => sha256(await contentOf(it.store(), object))))

/** After each of them: what comes next arrives. */
let goods = 0
const theRestGoesOn = async (): Promise<void> => {
  const key = `good/${(goods += 1)}.txt`
  await it.put('models', key, key)
  const [found] = await sealed('models', key)
  expect(String(await contentOf(it.store(), found!.object))).toBe(key)
}

describe('refused, quarantined or superseded with a reason', () => {
  test('a bucket that is not configured', async () => {
    await it.sendToObjects(createdEvent('stranger', 'secret/key.bin'))
    const failure = await failed(({ bucket }) => bucket === 'stranger')
    expect(failure).toMatchObject({ state: 'refused', reason: expect.stringContaining('not configured') })
    await theRestGoesOn()
  })

  test('another account', async () => {
    await it.sendToObjects({ ...createdEvent('models', 'foreign/key.bin'), account: '999999999999' })
    const failure = await failed(({ reason }) => reason.includes('999999999999'))
    expect(failure.state).toBe('refused')
  })

  test.each([
    ['not JSON', 'not json {'],
    ['JSON of another kind', '{"hello":"world"}'],
    [
      'an event without its key',
      JSON.stringify({ ...createdEvent('models', 'x'), detail: { bucket: { name: 'models' } } }),
    ],
  ])('a malformed event: %s', async (_title, body) => {
    await it.sendToObjects(body)
    const failure = await failed(({ detail }) => detail === body)
    expect(failure).toMatchObject({ state: 'quarantined', reason: expect.stringContaining('malformed') })
    await theRestGoesOn()
  })

  test('a key that vanished', async () => {
    await it.sendToObjects(createdEvent('plain', 'gone/key.bin', { etag: '0'.repeat(32) }))
    const failure = await failed(({ key }) => key === 'gone/key.bin')
    expect(failure).toMatchObject({ state: 'superseded', reason: expect.stringContaining('gone') })
    await theRestGoesOn()
  })

  test('an unversioned object that is overwritten after its plan and before its copy', async () => {
    const [first, second] = [noise(11, 1_500_000), noise(12, 1_200_000)]
    await it.setFaults('gcs', [{ path: 'POST /upload.*name=pending', times: 1, delayMs: 1500 }])
    await it.put('plain', 'over/key.bin', first)
    await until(async () => (await it.faults('gcs'))[0]!.times === 0, 'the plan of the first content')
    await it.put('plain', 'over/key.bin', second)
    const failure = await failed(({ key }) => key === 'over/key.bin')
    expect(failure).toMatchObject({ state: 'superseded', reason: expect.stringContaining('replaced') })
    expect(await contentsOf(await sealed('plain', 'over/key.bin'))).toEqual([sha256(second)])
    await theRestGoesOn()
  })

  test('bytes that the checksum of the source does not fit', async () => {
    const bodies = join(dir, 'stack', 's3', 'bodies')
    const before = new Set(readdirSync(bodies))
    await it.put('silent', 'tampered/key.bin', noise(13, 400_000))
    const [file] = readdirSync(bodies).filter((name) => !before.has(name))
    const bytes = readFileSync(join(bodies, file!))
    bytes[200_000]! ^= 1
    writeFileSync(join(bodies, file!), bytes)
    await it.sendToObjects(createdEvent('silent', 'tampered/key.bin'))
    const failure = await failed(({ key }) => key === 'tampered/key.bin')
    expect(failure).toMatchObject({ state: 'refused', reason: expect.stringContaining('checksum mismatch') })
    expect(await manifestsOf(it.store(), ({ key }) => key === 'tampered/key.bin')).toEqual([])
    await theRestGoesOn()
  })

  test('a chunk whose name holds other bytes, written by the writer itself', async () => {
    const bytes = noise(14, 150_000)
    const name = chunkName(sha256(bytes))
    const { body } = encodeBody(noise(15, 150_000))
    const poisoned = await it.store('lifeboat-writer').create(name, body)
    expect(poisoned).toBeDefined()
    await it.put('models', 'poisoned/key.bin', bytes)
    const failure = await failed((one) => one.name === name)
    expect(failure).toMatchObject({ state: 'quarantined', reason: expect.stringContaining('not that chunk') })
    const [found] = await sealed('models', 'poisoned/key.bin')
    expect(found!.object.state).toBe('protected')
    expect(await contentsOf([found!])).toEqual([sha256(bytes)])
    expect(Buffer.from((await it.store().read(name))!).equals(body)).toBe(true)
    await theRestGoesOn()
  })
})

const stormy = (source: { key: string }): boolean => source.key.startsWith('storm/')

describe('a replica that fails now and then', () => {
  test('receives twenty objects whole', async () => {
    const wanted = new Map<string, string>()
    for (let index = 0; index < 20; index += 1) {
      const body = noise(1000 + index, 20_000 + 45_000 * index)
      wanted.set(`storm/${index}.bin`, sha256(body))
    }
    await it.setFaults('gcs', [
      { path: 'POST /upload', times: 1e6, every: 10, status: 503 },
      { path: 'POST /upload', times: 1e6, every: 11, cut: 'before' },
      { path: 'POST /upload', times: 1e6, every: 12, cut: 'after' },
      { path: 'GET /storage', times: 1e6, every: 9, status: 503 },
      { path: 'PATCH /storage', times: 1e6, every: 10, cut: 'after' },
    ])
    for (let index = 0; index < 20; index += 1)
      await it.put('models', `storm/${index}.bin`, noise(1000 + index, 20_000 + 45_000 * index))
    await until(
      async () => (await manifestsOf(it.store(), stormy)).length >= wanted.size,
      async () => `twenty manifests: ${(await manifestsOf(it.store(), stormy)).length}`,
    )
    for (const { matched = 0, every = 1, path } of await it.faults('gcs'))
      expect({ path, hits: Math.floor(matched / every) }).not.toEqual({ path, hits: 0 })
    await it.setFaults('gcs', [])
    const found = await manifestsOf(it.store(), stormy)
    expect(found.map(({ object }) => object.source.key).sort()).toEqual([...wanted.keys()].sort())
    for (const manifest of found) {
      expect(await missingBodies(it.store(), manifest)).toEqual([])
      expect(sha256(await contentOf(it.store(), manifest.object))).toBe(wanted.get(manifest.object.source.key))
    }
  })
})
