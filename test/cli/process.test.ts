import { execFileSync, spawn } from 'node:child_process'
import { cpSync, existsSync, readdirSync, statSync } from 'node:fs'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'esbuild'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type GcsServer, startGcs } from '../../local/gcs/server.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { beat, copyConfig, tableBeat } from '../support/heartbeat.ts'
import { noise, writeObject, writeRelease, type WrittenObject } from '../support/replica.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const bin = join(root, 'cli/lifeboat.mjs')

const chunkBytes = 50_000

let dir: string
let gcs: GcsServer
let store: BlobStore
let weights: WrittenObject
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-process-'))
  gcs = await startGcs({ dir: join(dir, 'gcs') })
  const storage = createStorage({ projectId: 'p', endpoint: gcs.url, token: 'lifeboat-admin' })
  await storage.createBucket('replica')
  store = createGcsBlobStore({ storage, bucket: 'replica', prefix: 'team' })
  weights = await writeObject(store, { key: 'llama/1/weights', bytes: noise(2_000_000, 1), chunkBytes })
  await writeRelease(store, { model: 'llama', version: '1', files: [{ path: 'weights', object: weights }] })
})
afterAll(async () => {
  await gcs.close()
  await rm(dir, { recursive: true, force: true })
})

type Ended = { code: number | null; stdout: string; stderr: string }

type Options = { node?: string; script?: string; token?: string; env?: Record<string, string> }

const awsOutOfReach = { AWS_ENDPOINT_URL: 'http://127.0.0.1:9', AWS_EC2_METADATA_DISABLED: 'true' }

/** AWS is a closed port unless `env` says otherwise, and every other credential of this machine is out of reach. */
const start = (args: string[], options: Options = {}) => {
  const child = spawn(options.node ?? process.execPath, [options.script ?? bin, ...args], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      GCS_ENDPOINT: gcs.url,
      ...(options.token ? { GCS_TOKEN: options.token } : {}),
      ...(options.env ?? awsOutOfReach),
    },
  })
  const texts = { stdout: '', stderr: '' }
  child.stdout.on('data', (part) => (texts.stdout += String(part)))
  child.stderr.on('data', (part) => (texts.stderr += String(part)))
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, ...texts })))
  return { child, ended }
}

const replica = ['--replica', 'gs://replica/team']

/** Ends a process that connects to anything but the port of the replica on loopback, or asks for a name. */
const guardText = `
import dns from 'node:dns'
import net from 'node:net'
const refuse = (what) => {
  process.stderr.write('refused: ' + what)
  process.exit(99)
}
for (const name of ['lookup', 'resolve', 'resolve4', 'resolve6']) {
  const original = dns[name]
  dns[name] = (host, ...rest) => (/^(127\\.0\\.0\\.1|localhost)$/.test(host) ? original(host, ...rest) : refuse(host))
}
const connect = net.Socket.prototype.connect
net.Socket.prototype.connect = function (...args) {
  const [options] = Array.isArray(args[0]) ? args[0] : args
  if (String(options.port) !== process.env.GUARD_PORT) refuse(options.host + ':' + options.port)
  return connect.apply(this, args)
}
`

const olderNode = (): string | undefined => {
  for (const file of ['/usr/bin/node', '/usr/local/bin/node', '/opt/homebrew/bin/node']) {
    if (!existsSync(file)) continue
    const major = Number(/^v(\d+)/.exec(execFileSync(file, ['--version'], { encoding: 'utf8' }))?.[1])
    if (major >= 18 && major < 24) return file
  }
  console.log('deep tier: no Node older than 24 on this machine, starting under one is not tested')
  return undefined
}
const older = olderNode()

describe('the command as a process, over the embedded Cloud Storage, with AWS out of reach', () => {
  test('lists and restores as the restorer', async () => {
    const listed = await start(['ls', ...replica]).ended
    expect(listed).toMatchObject({ code: 0, stderr: '' })
    expect(listed.stdout).toContain('llama  1       protected')
    const restored = await start(['restore', 'llama', '--to', 'out', ...replica]).ended
    expect(restored).toMatchObject({ code: 0, stderr: '' })
    expect(await readFile(join(dir, 'out/weights'))).toEqual(Buffer.from(weights.bytes))
  })

  test('on call needs no variable of AWS and no address but the replica', async () => {
    await copyConfig(store)
    const at = new Date().toISOString()
    const proof = { at, outcome: 'passed', report: null, findings: 0 }
    await beat(store, {
      at,
      tables: [tableBeat('users', { featureTime: at })],
      proofs: {
        validate: proof,
        scrub: { ...proof, coverageDays: 1 },
        reconcile: proof,
        rows: [{ ...proof, table: 'users' }],
      },
    })
    const guard = join(dir, 'guard.mjs')
    await writeFile(guard, guardText)
    const guarded = (url: string) => ({
      NODE_OPTIONS: `--import ${pathToFileURL(guard).href}`,
      GUARD_PORT: new URL(url).port,
    })
    const env = guarded(gcs.url)
    const status = await start(['status', ...replica], { env }).ended
    expect(status).toMatchObject({ code: 0, stderr: '' })
    expect(status.stdout).toMatch(/^Protected: .*\nreplica    gs:\/\/replica\/team\/, stage prod, as of the heartbeat/)
    const rpo = await start(['rpo', '--json', ...replica], { env }).ended
    expect(rpo).toMatchObject({ code: 0, stderr: '' })
    expect(JSON.parse(rpo.stdout)).toMatchObject({ lost: 'nothing', objects: [] })
    const trace = await start(['trace', 's3://models/llama/1/weights', ...replica], { env }).ended
    expect(trace).toMatchObject({ code: 0, stderr: '' })
    expect(trace.stdout).toMatch(/sealed .*protected[^]*released .*llama@1/)
    // The guard itself, so that silence is not for want of one.
    const other = await start(['status', ...replica], { env: guarded('http://127.0.0.1:1') }).ended
    expect(other).toMatchObject({ code: 99, stdout: '' })
  })

  test('a principal without rights and a bucket that is not there say so', async () => {
    const denied = await start(['ls', ...replica], { token: 'nobody' }).ended
    expect(denied).toMatchObject({ code: 3, stdout: '' })
    const missing = await start(['ls', '--replica', 'gs://no-such-bucket']).ended
    expect(missing.stderr).toMatch(/^lifeboat: .*gs:\/\/no-such-bucket/)
    expect([3, 4]).toContain(missing.code)
  })

  test('an interrupt ends it with 130 and the next run goes on', async () => {
    gcs.faults.push({ path: 'chunks', times: 1000, delayMs: 150 })
    const { child, ended } = start(['restore', 'llama', '--to', 'cut', ...replica])
    const partial = join(dir, 'cut/weights.lifeboat-partial')
    // The tenth chunk is asked for when the first ones are known to be right.
    while ((statSync(partial, { throwIfNoEntry: false })?.size ?? 0) < 10 * chunkBytes)
      await new Promise((resolve) => setTimeout(resolve, 10))
    child.kill('SIGINT')
    expect(await ended).toMatchObject({ code: 130, stdout: '' })
    expect(readdirSync(join(dir, 'cut')).sort()).toEqual(['weights.lifeboat-partial', 'weights.lifeboat-partial.json'])
    gcs.faults.splice(0)
    const again = await start(['restore', 'llama', '--to', 'cut', '--json', ...replica]).ended
    const { files } = JSON.parse(again.stdout) as { files: { fetchedBytes: number }[] }
    expect(files[0]?.fetchedBytes).toBeLessThan(2_000_000)
    expect(await readFile(join(dir, 'cut/weights'))).toEqual(Buffer.from(weights.bytes))
  })

  test.skipIf(!older)('an older Node starts the packaged one, or says in one line what it needs', async () => {
    const node = older as string
    expect(await start(['--version'], { node }).ended).toMatchObject({ code: 0, stdout: '0.1.0\n', stderr: '' })
    expect(await start(['ls', '--nosuch'], { node }).ended).toMatchObject({ code: 2 })
    cpSync(bin, join(dir, 'alone.mjs'))
    const alone = await start(['--version'], { node, script: join(dir, 'alone.mjs') }).ended
    expect(alone).toMatchObject({ code: 2, stdout: '' })
    expect(alone.stderr).toMatch(/^lifeboat: needs Node 24 and runs on [\d.]+: .*\n$/)
  })

  test('no command but diff, redrive and doctor loads anything of the AWS side, and only those of rows the client of Bigtable', async () => {
    const { metafile } = await build({
      entryPoints: [join(root, 'cli/lifeboat.ts')],
      bundle: true,
      platform: 'node',
      format: 'esm',
      write: false,
      metafile: true,
      logLevel: 'silent',
      absWorkingDir: root,
    })
    const reachable = (follows: (kind: string, path: string) => boolean): string[] => {
      const found = new Set(['cli/lifeboat.ts'])
      for (const file of found)
        for (const { kind, path, external } of metafile.inputs[file]?.imports ?? [])
          if (!external && follows(kind, path)) found.add(path)
      return [...found]
    }
    const aws = /@aws-sdk|@aws-lambda|clouds\/aws/
    const atStart = reachable((kind) => kind !== 'dynamic-import')
    expect(atStart.some((file) => file.includes('@google-cloud/storage'))).toBe(true)
    expect(atStart.filter((file) => aws.test(file) || /@google-cloud\/bigtable|grpc/.test(file))).toEqual([])
    const ofTheSource = new Set(
      ['function-invoker', 'open-items', 'open-source-facts'].map((name) => `shared/clouds/aws/${name}.ts`),
    )
    const withoutSource = reachable((_kind, path) => !ofTheSource.has(path))
    expect(withoutSource.some((file) => file.includes('@google-cloud/bigtable'))).toBe(true)
    expect(withoutSource.filter((file) => aws.test(file))).toEqual([])
  })
})
