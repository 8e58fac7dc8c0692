import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type GcsServer, startGcs } from '../../local/gcs/server.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { beat } from '../support/heartbeat.ts'
import { noise, writeObject } from '../support/replica.ts'
import { readHcl } from './hcl.ts'

/**
 * What infra/gcp/Dockerfile would put into the image, laid out in a folder, and run as jobs.tf runs it, each job as its own
 * identity. No engine is needed: what `npm ci` would install are the packages of the lockfile that are neither of
 * development nor optional.
 */

const root = join(import.meta.dirname, '../..')
const containers = join(root, 'infra/gcp')

type Instruction = { name: string; rest: string }
const readInstructions = async (): Promise<Instruction[]> =>
  (await readFile(join(containers, 'Dockerfile'), 'utf8'))
    .split('\n')
    .filter((line) => /^[A-Z]/.test(line))
    .map((line) => ({ name: line.slice(0, line.indexOf(' ')), rest: line.slice(line.indexOf(' ') + 1) }))

type Lock = { packages: Record<string, { dev?: boolean; optional?: boolean; devOptional?: boolean }> }

/** Links are followed where they are, so that a package sees no other than those of the folder. */
const inPlace = '--preserve-symlinks --preserve-symlinks-main'

let dir: string
let image: string
let gcs: GcsServer
let store: BlobStore
let instructions: Instruction[]
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-image-'))
  image = join(dir, 'image')
  instructions = await readInstructions()
  await mkdir(image)
  for (const { rest } of instructions.filter(({ name }) => name === 'COPY')) {
    const words = rest.split(' ')
    const target = join(image, words.pop() ?? '')
    for (const source of words)
      await cp(join(root, source), words.length > 1 ? join(target, source) : target, { recursive: true })
  }
  const { packages } = JSON.parse(await readFile(join(image, 'package-lock.json'), 'utf8')) as Lock
  const installed = Object.entries(packages).filter(
    ([path, { dev, optional, devOptional }]) =>
      /^node_modules\/(@[^/]+\/)?[^/]+$/.test(path) && !dev && !optional && !devOptional,
  )
  for (const [path] of installed) {
    await mkdir(dirname(join(image, path)), { recursive: true })
    await symlink(join(root, path), join(image, path), 'dir')
  }
  gcs = await startGcs({ dir: join(dir, 'gcs') })
  const storage = createStorage({ projectId: 'p', endpoint: gcs.url, token: 'lifeboat-admin' })
  await storage.createBucket('replica')
  store = createGcsBlobStore({ storage, bucket: 'replica', prefix: 'team/' })
})
afterAll(async () => {
  await gcs.close()
  await rm(dir, { recursive: true, force: true })
})

type Ended = { code: number | null; stdout: string; stderr: string }

const runNode = (args: string[], env: Record<string, string>): Promise<Ended> =>
  new Promise((resolve, reject) => {
    const child = spawn(process.execPath, args, {
      cwd: image,
      env: { HOME: dir, NODE_ENV: 'production', NODE_OPTIONS: inPlace, ...env },
    })
    const texts = { stdout: '', stderr: '' }
    child.stdout.on('data', (part) => (texts.stdout += String(part)))
    child.stderr.on('data', (part) => (texts.stderr += String(part)))
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, ...texts }))
  })

type Job = { identity: string; args: string[] }
const jobs = readHcl().locals['jobs'] as Record<'scrub' | 'watch', Job>

/** Runs the image's ENTRYPOINT with the arguments of a job, as its identity. */
const runJob = ({ identity, args }: Job): Promise<Ended> => {
  const entry = instructions.find(({ name }) => name === 'ENTRYPOINT')
  const [node, ...rest] = JSON.parse(entry?.rest ?? '[]') as string[]
  expect(node).toBe('node')
  const given = args.map((each) => each.replace('${local.replica_url}', 'gs://replica/team/'))
  return runNode([...rest, ...given], { GCS_ENDPOINT: gcs.url, GCS_TOKEN: identity })
}

const minutesAgo = (minutes: number): string => new Date(Date.now() - minutes * 60_000).toISOString()

test('what is copied into the image is what .dockerignore lets through', async () => {
  const copied = instructions.filter(({ name }) => name === 'COPY').flatMap(({ rest }) => rest.split(' ').slice(0, -1))
  const ignore = (await readFile(join(containers, 'Dockerfile.dockerignore'), 'utf8')).trim().split('\n')
  expect(ignore).toEqual(['*', ...copied.map((source) => `!${source}`)])
})

test('the image runs Node 24 as a user without rights, with the packages of production alone', async () => {
  const from = instructions.find(({ name }) => name === 'FROM')?.rest
  expect(from).toMatch(/^node:24-slim$/)
  const install = instructions.find(({ name }) => name === 'RUN')?.rest
  expect(install).toContain('npm ci --omit=dev --omit=optional')
  expect(instructions.find(({ name }) => name === 'USER')?.rest).toBe('node')
})

test('a package that the image lacks is not found beside it', async () => {
  const there = await runNode(['--input-type=module', '--eval', 'await import("commander")'], {})
  expect(there).toMatchObject({ code: 0, stderr: '' })
  const missing = await runNode(['--input-type=module', '--eval', 'await import("esbuild")'], {})
  expect(missing.code).toBe(1)
  expect(missing.stderr).toContain('ERR_MODULE_NOT_FOUND')
})

test('the watch fails without a heartbeat, passes with a fresh one, and fails again when it is stale', async () => {
  const none = await runJob(jobs.watch)
  expect(none.stderr).toBe('')
  expect(JSON.parse(none.stdout)).toMatchObject({ heartbeat: null, alarms: [{ name: 'no-heartbeat' }] })
  expect(none.code).toBe(1)
  await beat(store, { at: minutesAgo(10) })
  const stale = await runJob(jobs.watch)
  expect(JSON.parse(stale.stdout)).toMatchObject({ alarms: [{ name: 'heartbeat-stale' }] })
  expect(stale.code).toBe(1)
  await beat(store, { at: minutesAgo(0.5) })
  const fresh = await runJob(jobs.watch)
  expect(JSON.parse(fresh.stdout)).toMatchObject({ heartbeat: { stage: 'prod' }, alarms: [] })
  expect(fresh.code).toBe(0)
})

test('the scrub reads a slice back and leaves its report in the replica', async () => {
  await writeObject(store, { key: 'llama/1/weights', bytes: noise(3_000_000, 1), chunkBytes: 5_000 })
  const { code, stdout, stderr } = await runJob(jobs.scrub)
  expect(stderr).toBe('')
  const report = JSON.parse(stdout) as { outcome: string; counts: { bodies: number }; report: string }
  expect(report).toMatchObject({ kind: 'scrub', outcome: 'passed' })
  expect(report.counts.bodies).toBeGreaterThan(0)
  expect(await store.read(report.report)).toBeDefined()
  expect(code).toBe(0)
})

test('the identities of the jobs can do nothing more: a watcher that is made to scrub is denied its report', async () => {
  const { code, stderr } = await runJob({ identity: 'lifeboat-watcher', args: jobs.scrub.args })
  expect(stderr).toContain('lifeboat-watcher does not have storage.objects.create access')
  expect(code).toBe(3)
})
