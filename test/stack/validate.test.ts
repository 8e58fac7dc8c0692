import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { type Finding, newestReport, type Report } from '../../shared/proof/report.ts'
import { slices } from '../../shared/proof/scrub-body.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { type Manifest, manifestsOf, noise, sha256, startTestStack, type TestStack, until } from '../support/stack.ts'

/** The packaged validator over real sockets, as its own identity on both sides, and what it sends to be copied anew. */

vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

let it: TestStack
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-validate-'))
const prefix = 'llama/v1/'

/** Content of one chunk that the first slice of a scrub reads. */
const firstSlice = (): Buffer => {
  for (let seed = 1; ; seed += 1) {
    const body = noise(seed, 40_000)
    if (Number.parseInt(sha256(body).slice(0, 2), 16) % slices === 0) return body
  }
}
const files = { 'model.bin': noise(77, 3_000_000), 'config.bin': firstSlice() }

type Result = { outcome: string; report?: string; counts: Record<string, number>; findings: number }

const invoke = async (payload: unknown): Promise<Result> => {
  const url = `${it.stack.runner().url}/2015-03-31/functions/lifeboat-local-validate/invocations`
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(payload) })
  const text = await response.text()
  if (response.headers.has('x-amz-function-error')) throw new Error(text)
  return JSON.parse(text) as Result
}

const reportOf = async (name: string): Promise<Report> =>
  JSON.parse(Buffer.from((await it.store().read(name))!).toString()) as Report

const findingsOf = async (result: Result): Promise<Finding[]> => (await reportOf(result.report!)).findings

const admin = async (method: 'DELETE' | 'GET', name: string): Promise<void> => {
  const object = encodeURIComponent(name)
  // An administrator of the bucket overrides the retention that stops everybody else.
  const base = `${it.stack.clouds.endpoints.gcs}/storage/v1/b/replica/o/${object}`
  const headers = { authorization: 'Bearer lifeboat-admin', 'content-type': 'application/json' }
  const patch = await fetch(`${base}?overrideUnlockedRetention=true`, {
    method: 'PATCH',
    headers,
    body: JSON.stringify({ retention: null }),
  })
  expect(patch.status).toBe(200)
  expect((await fetch(base, { method, headers })).status).toBeLessThan(300)
}

const bitFlipped = (body: Buffer): Buffer => {
  const rotten = Buffer.from(body)
  rotten[rotten.length - 1] = rotten.at(-1)! ^ 1
  return rotten
}

/** Changes a body in the folder of the embedded GCS, which goes on giving out the digests that it had. */
const rot = async (name: string, change: (body: Buffer) => Buffer = bitFlipped): Promise<void> => {
  const body = Buffer.from((await it.store().read(name))!)
  const paths = readdirSync(dir, { recursive: true, encoding: 'utf8' }).map((path) => join(dir, path))
  const found = paths.filter((path) => {
    const stat = statSync(path, { throwIfNoEntry: false })
    return stat?.isFile() && stat.size === body.length && readFileSync(path).equals(body)
  })
  expect(found).toHaveLength(1)
  writeFileSync(found[0]!, change(body))
}

/** Another body under the name, as whoever may do everything in the bucket could put there. */
const forge = async (name: string, change: (body: Buffer) => Buffer): Promise<void> => {
  const body = change(Buffer.from((await it.store().read(name))!))
  await admin('DELETE', name)
  const path = `/upload/storage/v1/b/replica/o?uploadType=media&name=${encodeURIComponent(name)}`
  const headers = { authorization: 'Bearer lifeboat-admin' }
  const made = await fetch(`${it.stack.clouds.endpoints.gcs}${path}`, {
    method: 'POST',
    headers,
    body: Uint8Array.from(body),
  })
  expect(made.status).toBe(200)
}

const newestManifest = async (key: string): Promise<Manifest> => {
  const found = await manifestsOf(it.store(), (source) => source.key === key)
  return found.toSorted((a, b) => b.object.sequence - a.object.sequence)[0]!
}

const chunkNames = async (key: string): Promise<string[]> => {
  const newest = await newestManifest(key)
  const names: string[] = []
  for await (const { ref } of chunksOfParts(it.store(), newest.object.parts)) names.push(bodyName(ref, 'chunk'))
  return names
}

const expectRestored = async (to: string): Promise<void> => {
  const run = await it.cli(['restore', 'llama@v1', '--to', join(dir, to), '--json'])
  expect(run).toMatchObject({ code: 0, stderr: '' })
  for (const [name, body] of Object.entries(files)) expect(readFileSync(join(dir, to, name)).equals(body)).toBe(true)
}

const replaced = async (): Promise<number> =>
  (await listReleases(it.store(), 'llama')).releases[0]?.release.replaces?.length ?? 0

beforeAll(async () => {
  it = await startTestStack(join(dir, 'stack'))
  for (const [name, body] of Object.entries(files)) await it.put('models', prefix + name, body)
  await it.put('models', `${prefix}_SUCCESS`, '')
  await until(async () => (await listReleases(it.store())).releases.length === 1, 'the release')
})
afterAll(async () => {
  try {
    await it.stop()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

describe('a replica that is whole', () => {
  test('passes, with a report in the replica that the restorer reads', async () => {
    await invoke({ lifeboat: 'validate' })
    const newest = await newestReport(it.store(), 'validate', ({ scope }) => scope === null)
    expect(newest?.report).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
    expect(newest!.report.counts).toMatchObject({ releases: 1, manifests: 3, ledgerCompared: 3, sourceCompared: 3 })
    expect((await invoke({ lifeboat: 'validate' })).outcome).toBe('idle')
  })

  test('a payload that is none is refused with words', async () => {
    await expect(invoke({ lifeboat: 'scrub', slice: 3 })).rejects.toThrow('expected')
  })
})

let swapped = Buffer.alloc(0)

describe('damage', () => {
  test('a chunk that was deleted is found, copied anew, and restored', async () => {
    const [, name] = await chunkNames(`${prefix}model.bin`)
    await admin('DELETE', name!)
    const found = await invoke({ lifeboat: 'validate', model: 'llama' })
    expect(found.outcome).toBe('failed')
    expect(await findingsOf(found)).toMatchObject([{ kind: 'missing', subject: name, repaired: 'sent' }])
    await until(async () => (await replaced()) === 1, 'the release sealed anew')
    expect(await invoke({ lifeboat: 'validate', model: 'llama' })).toMatchObject({ outcome: 'passed' })
    await expectRestored('after-chunk')
  })

  test('a manifest that was deleted is found, sealed anew, and restored', async () => {
    const [{ name } = { name: '' }] = await manifestsOf(it.store(), ({ key }) => key === `${prefix}config.bin`)
    await admin('DELETE', name)
    const found = await invoke({ lifeboat: 'validate', model: 'llama' })
    expect(await findingsOf(found)).toMatchObject([{ kind: 'missing', subject: name, repaired: 'sent' }])
    await until(async () => (await replaced()) === 2, 'the release sealed anew')
    expect(await invoke({ lifeboat: 'validate', model: 'llama' })).toMatchObject({ outcome: 'passed' })
    await expectRestored('after-manifest')
  })

  test('a body that rots where it lies is found by the scrub, copied anew beside it, and restored', async () => {
    const [name] = await chunkNames(`${prefix}config.bin`)
    await rot(name!)
    const scrubbed = await invoke({ lifeboat: 'scrub' })
    expect(scrubbed.outcome).toBe('failed')
    expect(scrubbed.counts['bodies']).toBeGreaterThan(0)
    expect(await findingsOf(scrubbed)).toMatchObject([{ kind: 'wrong-bytes', subject: name, repaired: 'sent' }])
    await until(async () => (await replaced()) === 3, 'the release sealed anew')
    expect((await chunkNames(`${prefix}config.bin`))[0]).toMatch(/~[0-9a-f]+$/)
    expect(await invoke({ lifeboat: 'validate', model: 'llama' })).toMatchObject({ outcome: 'passed' })
    await expectRestored('after-rot')
  })

  // Each leaves the release sealed anew once more.
  const forgeries: [string, () => Promise<string>, (body: Buffer) => Buffer][] = [
    [
      'a chunk that was cut short',
      async () => (await chunkNames(`${prefix}model.bin`))[0]!,
      (body) => body.subarray(0, -7),
    ],
    ['a chunk that was swapped with another', async () => (await chunkNames(`${prefix}model.bin`))[0]!, () => swapped],
    [
      'a manifest that says another time',
      async () => (await newestManifest(`${prefix}config.bin`)).name,
      (body) => Buffer.from(String(body).replace(/"sealedAt":\s*"\d{4}/, '"sealedAt":"1999')),
    ],
  ]
  test.each(forgeries)('%s is found, copied anew, and restored', async (_what, nameOf, change) => {
    const before = await replaced()
    const name = await nameOf()
    const other = (await chunkNames(`${prefix}model.bin`))[1]!
    swapped = Buffer.from((await it.store().read(other))!)
    await forge(name, change)
    const found = await invoke({ lifeboat: 'validate', model: 'llama' })
    expect(found.outcome).toBe('failed')
    const findings = await findingsOf(found)
    expect(findings).toContainEqual(expect.objectContaining({ subject: name, repaired: 'sent' }))
    await until(async () => (await replaced()) > before, 'the release sealed anew')
    await until(
      async () => (await invoke({ lifeboat: 'validate', model: 'llama' })).outcome === 'passed',
      'a proof that passes',
    )
    await expectRestored(`after-${before}`)
  })
})
