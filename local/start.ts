import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { InvalidInputError, LifeboatError } from '../shared/errors.ts'
import { createGcsBlobStore } from '../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../shared/ports.ts'
import type { ReleaseManifest } from '../shared/weights/manifest.ts'
import { type ListedAlarm, readAlarms } from './page/data.ts'
import { startPage } from './page/server.ts'
import { alarmsTable } from './start/alarms.ts'
import { type Proof, proofTable, prove, settledAlarms } from './start/prove.ts'
import { keepRunning } from './start/keep.ts'
import { createLive, type Live } from './start/live.ts'
import { publish } from './start/publish.ts'
import { type Outcome, outcomeJson, outcomeTable, rowsTable as rowsReport } from './start/report.ts'
import { type Rows, type RowsOutcome, type RowsPlan, rowsVerified, startRows } from './start/rows.ts'
import {
  type Publish,
  rowsTable,
  syntheticPublishes,
  syntheticRowsPlan,
  userPublishes,
  userRowsPlan,
} from './start/scenario.ts'
import { differences, runLifeboat } from './start/verify.ts'
import { type Counters, createCounters, minus, waitForRelease } from './start/watch.ts'
import { type LocalStack, startStack } from './stack.ts'

/**
 * `npm start`: publishes real models into the embedded S3 and restores them from the embedded GCS alone; writes feature rows
 * into the embedded DynamoDB meanwhile and compares them with the embedded Bigtable.
 */

type Options = {
  model?: string
  rows?: string
  partitionKey: string
  sortKey?: string | false
  keep?: boolean
  page?: boolean
  json?: boolean
  seed: string
}
type Page = { close(): Promise<void> }
type Result = {
  stack: LocalStack
  page: Page | undefined
  outcomes: Outcome[]
  rowsPlan: RowsPlan
  rows: RowsOutcome
  proofs: Proof[]
  alarms: ListedAlarm[]
}
type Replicated = { plan: Publish; counters: Counters; lagSeconds: number; release: ReleaseManifest }

const bucket = 'models'
const releaseTimeoutMs = 15 * 60_000
/** A minute of schedules and of CloudWatch passes in five seconds: alarms and charts have something to say. */
const speed = 12
const cacheDir = fileURLToPath(new URL('../.cache/stack', import.meta.url))

const configText = `formatVersion: 1
source: { account: "111122223333", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: lifeboat-rows }
buckets:
  - name: ${bucket}
    release: { settleSeconds: 5, quietMinutes: 1 }
# The label of the stream is when it is enabled, which the stack puts in the place of this one.
tables:
  - name: ${rowsTable}
    streams: [{ arn: "arn:aws:dynamodb:us-east-1:111122223333:table/${rowsTable}/stream/2026-01-01T00:00:00.000", epoch: 1 }]
`

const parseOptions = (): Options =>
  new Command('npm start --')
    .description(
      'Replicates models from an embedded S3 to an embedded GCS and proves that they restore identically; meanwhile ' +
        'feature rows from an embedded DynamoDB to an embedded Bigtable, and proves that both tables are equal.',
    )
    .option('--model <path>', 'publish this file or folder instead of the synthetic models')
    .option('--rows <file>', 'write these items, in JSON of DynamoDB, one on each line, instead of the synthetic rows')
    .option('--partition-key <name>', 'partition key of the items of --rows; its type is that of the first item', 'pk')
    .option('--sort-key <name>', 'sort key of the items of --rows (default: sk, where every item has it)')
    .option('--no-sort-key', 'the items of --rows have a partition key only')
    .option('--keep', 'leave the clouds running and print how to point aws, gcloud storage and lifeboat at them')
    .option('--page', 'with --keep: serve a page with live charts of lag, throughput, dedup, alarms and reports')
    .option('--json', 'print one line of JSON and nothing else')
    .option('--seed <number>', 'seed of the synthetic weights and rows', '1')
    .addHelpText(
      'after',
      '\nExit codes: 0 models restored identically and tables are equal, 1 they did not, 2 wrong usage.',
    )
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
    .parse()
    .opts<Options>()

const openStore = (stack: LocalStack): BlobStore => {
  const { project, bucket: name, prefix } = stack.config.replica
  const storage = createStorage({
    projectId: project,
    endpoint: stack.clouds.endpoints.gcs,
    token: 'lifeboat-restorer',
  })
  return createGcsBlobStore({ storage, bucket: name, prefix })
}

const replicate = async (
  stack: LocalStack,
  store: BlobStore,
  count: () => Promise<Counters>,
  rows: Rows,
  plan: Publish,
  live: Live,
): Promise<Replicated> => {
  const before = await count()
  const prefix = `${plan.model}/${plan.version}/`
  const view = live.begin(
    plan.title,
    plan.files.reduce((sum, { size }) => sum + size, 0),
  )
  try {
    const publishedAt = await publish(stack.s3, bucket, prefix, plan.files, plan.marker)
    const release = await waitForRelease(store, plan.model, plan.version, {
      timeoutMs: releaseTimeoutMs,
      onProgress: async () => view.show(minus(await count(), before), await rows.progress()),
    })
    const counters = minus(await count(), before)
    view.show(counters, await rows.progress())
    return { plan, counters, release, lagSeconds: Math.max(0, Date.parse(release.sealedAt) - publishedAt) / 1000 }
  } finally {
    view.end()
  }
}

const restore = async (
  stack: LocalStack,
  dir: string,
  { plan, counters, lagSeconds, release }: Replicated,
  live: Live,
): Promise<Outcome> => {
  const to = join(dir, 'restored', `${plan.model}-${plan.version}`)
  const { code, stderr } = await runLifeboat(
    [
      'restore',
      `${plan.model}@${plan.version}`,
      '--replica',
      `gs://${stack.config.replica.bucket}`,
      '--to',
      to,
      '--quiet',
    ],
    stack.environment,
  )
  const found =
    code === 0 ? await differences(plan.files, to) : [`lifeboat restore ended with ${code}: ${stderr.trim()}`]
  for (const line of found) live.say(`  ${plan.title}: ${line}`)
  return {
    title: plan.title,
    objects: plan.files.length,
    sourceBytes: plan.files.reduce((sum, { size }) => sum + size, 0),
    counters,
    lagSeconds,
    state: release.state,
    identical: found.length === 0,
  }
}

const awsServices = ['s3', 'sqs', 'dynamodb'] as const

const finishRows = async (rows: Rows, live: Live): Promise<RowsOutcome> => {
  const view = live.beginRows()
  try {
    return await rows.finish((progress) => view.show(progress))
  } finally {
    view.end()
  }
}

const planRows = async ({ model, rows, partitionKey, sortKey, seed }: Options): Promise<RowsPlan> =>
  rows === undefined
    ? syntheticRowsPlan(Number(seed), model !== undefined)
    : userRowsPlan(rows, { partition: partitionKey, sort: sortKey })

const openPage = async (stack: LocalStack, store: BlobStore, live: Live): Promise<Page> => {
  const page = await startPage({ cloudwatch: stack.clouds.endpoints.cloudwatch, store })
  live.say(`Live charts: ${page.url}`)
  return page
}

const run = async (options: Options, dir: string, live: Live): Promise<Result> => {
  const configFile = join(dir, 'lifeboat.yml')
  await writeFile(configFile, configText)
  const userPlans = options.model === undefined ? undefined : await userPublishes(options.model)
  const rowsPlan = await planRows(options)
  live.say('Starting the embedded clouds and packaging the functions ...')
  const tableKeys = { [rowsTable]: rowsPlan.keys }
  const stack = await startStack({ dir, configFile, cacheDir, tableKeys, scheduleSpeed: speed, metricsSpeed: speed })
  try {
    const store = openStore(stack)
    const page = options.page ? await openPage(stack, store, live) : undefined
    const count = createCounters(stack, dir)
    if (!userPlans) live.say('Writing synthetic BF16 weights ...')
    const plans = userPlans ?? (await syntheticPublishes(join(dir, 'published'), Number(options.seed)))
    const replicated: Replicated[] = []
    const writer = startRows(stack, rowsPlan)
    let rows: RowsOutcome
    try {
      for (const plan of plans) replicated.push(await replicate(stack, store, count, writer, plan, live))
      rows = await finishRows(writer, live)
    } finally {
      await writer.close()
    }

    live.say('Having the functions prove what is in the replica ...')
    const proofs = await prove(stack, store, rowsPlan.table)
    // CloudWatch would be away with the rest of AWS, and what it saw with it.
    const alarms = await settledAlarms(() => readAlarms(stack.clouds.endpoints.cloudwatch), 60 / speed)
    live.say('Switching AWS off and restoring from GCS alone ...')
    for (const service of awsServices) await stack.clouds.kill(service)
    const outcomes: Outcome[] = []
    for (const one of replicated) outcomes.push(await restore(stack, dir, one, live))
    if (options.keep) for (const service of awsServices) await stack.clouds.restart(service)
    return { stack, page, outcomes, rowsPlan, rows, proofs, alarms }
  } catch (error) {
    await stack.stop()
    throw error
  }
}

const verdict = (isRestored: boolean, areRowsEqual: boolean, seconds: number): string => {
  const models = isRestored
    ? `Every byte came back from GCS alone, after ${seconds} s.`
    : 'Not everything was restored identically: see above.'
  const rows = areRowsEqual ? 'DynamoDB and Bigtable have equal rows.' : 'The rows are NOT equal: see above.'
  const note = isRestored ? ' Bytes sent are those that the embedded GCS received.' : ''
  return `${models} ${rows}${note}`
}

const main = async (): Promise<number> => {
  const options = parseOptions()
  if (options.page && !options.keep) {
    process.stderr.write('--page needs --keep: the page ends with the clouds\n')
    return 2
  }
  const live = createLive(process.stdout, options.json === true)
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-'))
  const startedAt = Date.now()
  try {
    const { stack, page, outcomes, rowsPlan, rows, proofs, alarms } = await run(options, dir, live)
    try {
      const isRestored = outcomes.every(({ identical }) => identical)
      const areRowsEqual = rowsVerified(rows)
      live.say(`\n${outcomeTable(outcomes, process.stdout.columns)}`)
      live.say(rowsReport(rows))
      live.say(proofTable(proofs, process.stdout.columns))
      live.say(alarmsTable(alarms, 60 / speed, process.stdout.columns))
      live.say(verdict(isRestored, areRowsEqual, Math.round((Date.now() - startedAt) / 1000)))
      if (options.json) process.stdout.write(`${outcomeJson(outcomes, rows)}\n`)
      if (options.keep) await keepRunning(stack, rowsPlan, bucket, live)
      return isRestored && areRowsEqual ? 0 : 1
    } finally {
      await page?.close()
      await stack.stop()
    }
  } catch (error) {
    if (!(error instanceof LifeboatError)) throw error
    process.stderr.write(`${error.message}\n`)
    return error instanceof InvalidInputError ? 2 : 1
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

process.exit(await main())
