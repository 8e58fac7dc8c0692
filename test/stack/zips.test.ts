import { DeleteItemCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb'
import { PutObjectCommand } from '@aws-sdk/client-s3'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startClouds } from '../../local/clouds.ts'
import { packageStack } from '../../local/lambda/package.ts'
import { createSourceTables } from '../../local/source-tables.ts'
import { type LocalStack, startStack } from '../../local/stack.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { parseConfig } from '../../shared/config.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import { buildFunctions } from '../../tools/build.ts'
import { runBundle } from '../support/run-bundle.ts'
import { runCli } from '../support/cli.ts'
import { noise, sha256, until } from '../support/stack.ts'
import { unzip } from '../support/unzip.ts'

/** The zips as they are uploaded, each unpacked into an empty folder outside of the repository, on the embedded clouds. */

const root = join(import.meta.dirname, '../..')
const account = '111122223333'
const placeholder = `arn:aws:dynamodb:us-east-1:${account}:table/features/stream/2026-01-01T00:00:00.000`
const configText = (streamArn: string): string =>
  JSON.stringify({
    formatVersion: 1,
    source: { account, region: 'us-east-1' },
    replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
    retention: { days: 1 },
    buckets: [{ name: 'models', release: { settleSeconds: 1, quietMinutes: 60, marker: '_PUBLISH.json' } }],
    tables: [{ name: 'features', streams: [{ arn: streamArn, epoch: 1 }] }],
  })
const parse = (text: string) => parseConfig(text, { stage: 'local', file: 'lifeboat.yml' })

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-zips-'))
const configFile = join(dir, 'lifeboat.yml')
const names = readdirSync(join(root, 'functions')).map((file) => file.replace('.ts', ''))

let stack: LocalStack
let buildDir: string
let dynamodb: DynamoDBClient
beforeAll(async () => {
  // The zips carry the ARN of the stream, so there is a table before there are zips.
  const clouds = await startClouds({
    dir: join(dir, 'stack'),
    eventsUrl: 'http://127.0.0.1:9/events',
    region: 'us-east-1',
    account,
  })
  let arns: Map<string, string>
  try {
    arns = await createSourceTables(clouds.endpoints, parse(configText(placeholder)))
  } finally {
    await clouds.stop()
  }
  writeFileSync(configFile, configText(arns.get(placeholder)!))
  const cacheDir = join(dir, 'cache')
  ;({ buildDir } = await packageStack({ configFile, stage: 'local', cacheDir }))
  for (const name of names)
    for (const [path, bytes] of await unzip(join(buildDir, `${name}.zip`))) {
      const file = join(dir, 'unzipped', name, path)
      mkdirSync(dirname(file), { recursive: true })
      writeFileSync(file, bytes)
    }
  stack = await startStack({
    dir: join(dir, 'stack'),
    configFile,
    cacheDir,
    buildDir: join(dir, 'unzipped'),
    scheduleSpeed: 20,
  })
  const credentials = { accessKeyId: 'test', secretAccessKey: 'test' }
  dynamodb = new DynamoDBClient({ endpoint: stack.clouds.endpoints.dynamodb, region: 'us-east-1', credentials })
}, 240_000)
afterAll(async () => {
  dynamodb?.destroy()
  await stack?.stop()
  rmSync(dir, { recursive: true, force: true })
})

const ancestors = (path: string): string[] => (dirname(path) === path ? [path] : [path, ...ancestors(dirname(path))])

test('no zip has a folder of packages, and none is to be found from where they are', async () => {
  for (const name of names) {
    const files = [`functions/${name}.mjs`, `functions/${name}.mjs.map`, 'lifeboat.json']
    expect([...(await unzip(join(buildDir, `${name}.zip`))).keys()]).toEqual(files)
    const found = ancestors(join(dir, 'unzipped', name, 'functions')).filter((one) =>
      existsSync(join(one, 'node_modules')),
    )
    expect(found).toEqual([])
  }
})

const openStore = () => {
  const { gcs: endpoint } = stack.clouds.endpoints
  const storage = createStorage({
    projectId: 'lifeboat-local',
    endpoint,
    token: 'lifeboat-restorer@lifeboat-local.iam.gserviceaccount.com',
  })
  return createGcsBlobStore({ storage, bucket: 'replica', prefix: '' })
}

const publish = (Key: string, Body: Buffer | string) =>
  stack.s3.send(new PutObjectCommand({ Bucket: 'models', Key, Body }))

test('a model goes from a publish to a restore', async () => {
  const files = new Map([
    ['weights.bin', noise(1, 9_000_000)],
    ['more.bin', noise(2, 70_000)],
  ])
  for (const [name, body] of files) await publish(`llama/v1/${name}`, body)
  const list = [...files].map(([key, body]) => ({ key, size: body.length, sha256: sha256(body) }))
  await publish('llama/v1/_PUBLISH.json', JSON.stringify({ files: list }))
  const store = openStore()
  await until(async () => (await listReleases(store, 'llama')).releases.length === 1, 'a release of llama')
  const to = join(dir, 'restored')
  const { code, stderr } = await runCli(['restore', 'llama@v1', '--to', to], {
    openReplica: async () => ({ store, url: 'gs://replica/' }),
  })
  expect([code, stderr]).toEqual([0, expect.any(String)])
  for (const [name, body] of files) expect(readFileSync(join(to, name)).equals(body)).toBe(true)
}, 200_000)

const keyAt = (index: number) => ({ pk: { S: `p${index % 3}` }, sk: { N: String(index) } })

const itemAt = (index: number) => ({ ...keyAt(index), value: { M: { n: { N: `${index}.5` } } } })

test('rows go, and go away', async () => {
  for (let index = 0; index < 30; index += 1)
    await dynamodb.send(new PutItemCommand({ TableName: 'features', Item: itemAt(index) }))
  for (let index = 0; index < 5; index += 1)
    await dynamodb.send(new DeleteItemCommand({ TableName: 'features', Key: keyAt(index) }))
  const { bigtable: endpoint } = stack.clouds.endpoints
  const rows = createBigtableRowStore({
    projectId: 'lifeboat-local',
    instanceId: 'lifeboat-rows',
    endpoint,
    token: 'lifeboat-rows',
  })
  try {
    const keys = Array.from({ length: 30 }, (_, index) =>
      encodeRowKey({ partition: keyAt(index).pk, sort: keyAt(index).sk }),
    )
    const read = async () => {
      const found = await Promise.all(keys.map(async (one) => (await rows.read('features', [one]))[0]))
      return found.map((row) => (row?.marker?.tombstone === false ? decodeCells(row.cells) : row?.marker?.tombstone))
    }
    const expected = keys.map((_, index) => (index < 5 ? true : itemAt(index)))
    await until(async () => JSON.stringify(await read()) === JSON.stringify(expected), 'the rows of 30 items')
    expect(await read()).toEqual(expected)
  } finally {
    await rows.close()
  }
}, 200_000)

const call = async (name: string, payload: object): Promise<unknown> => {
  const url = `${stack.runner().url}/2015-03-31/functions/lifeboat-local-${name}/invocations`
  return (await fetch(url, { method: 'POST', body: JSON.stringify(payload) })).json()
}

test('every other function answers when it is called', async () => {
  expect(await call('validate', { lifeboat: 'validate', model: 'llama' })).toMatchObject({ outcome: 'passed' })
  expect(await call('validate', { lifeboat: 'scrub' })).not.toHaveProperty('errorType')
  expect(await call('reconcile', { lifeboat: 'reconcile', mode: 'full' })).toMatchObject({ outcome: 'done' })
  expect(await call('compareRows', { lifeboat: 'compare-rows', table: 'features', mode: 'full' })).toMatchObject({
    features: { outcome: 'done' },
  })
  expect(await call('redrive', { lifeboat: 'redrive' })).toEqual({
    redriven: 0,
    failures: 0,
    failed: [],
    isComplete: true,
  })
  expect(await call('measureLag', { lifeboat: 'measure-lag' })).toBeNull()
}, 200_000)

test.each(names)(
  '%s does not start with an emulator in a deployed stage',
  async (bundle) => {
    // Without the line of the bundle that threw: it is a megabyte, more than the buffer of whoever reads it.
    const program = `await import('./functions/${bundle}.mjs').catch(({ message }) => {
      console.error(message)
      process.exit(1)
    })`
    const queues = [
      'OBJECTS',
      'SEGMENTS',
      'OBJECTS_DEAD',
      'SEGMENTS_DEAD',
      'BACKFILL',
      'BACKFILL_SEGMENTS',
      'BACKFILL_DEAD',
    ].map((name) => [`${name}_QUEUE_URL`, 'http://127.0.0.1:9/1/q'])
    const env = {
      STAGE: 'prod',
      LEDGER_TABLE: 'ledger',
      GCP_WIF_AUDIENCE:
        '//iam.googleapis.com/projects/1234/locations/global/workloadIdentityPools/lifeboat/providers/aws',
      ...(Object.fromEntries(queues) as Record<string, string>),
    }
    await expect(
      runBundle(
        buildDir,
        { ...env, GCS_ENDPOINT: 'http://127.0.0.1:9', BIGTABLE_ENDPOINT: 'http://127.0.0.1:9' },
        { bundle, program },
      ),
    ).rejects.toThrow('emulators are refused')
    expect(
      await runBundle(buildDir, env, { bundle, program: `${program}; console.log('started'); process.exit()` }),
    ).toContain('started')
  },
  60_000,
)

test('a build elsewhere gives every zip the same bytes', async () => {
  const home = join(dir, 'another', 'repository')
  mkdirSync(home, { recursive: true })
  for (const path of ['package.json', 'functions', 'shared', 'tsconfig.json'])
    cpSync(join(root, path), join(home, path), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(home, 'node_modules'))
  const config = parse(readFileSync(configFile, 'utf8'))
  const built = await buildFunctions({ root: home, names, config, outDir: join(dir, 'again') })
  expect(built.map(({ name }) => name)).toEqual(names)
  for (const { name, zip } of built)
    expect([name, readFileSync(zip).equals(readFileSync(join(buildDir, `${name}.zip`)))]).toEqual([name, true])
}, 120_000)
