import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { LifeboatError } from '../shared/errors.ts'
import { createGcsBlobStore } from '../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../shared/clouds/gcp/storage-client.ts'
import type { BlobStore } from '../shared/ports.ts'
import type { ReleaseManifest } from '../shared/weights/manifest.ts'
import { createLive, type Live } from './start/live.ts'
import { publish } from './start/publish.ts'
import { type Outcome, outcomeJson, outcomeTable } from './start/report.ts'
import { type Publish, syntheticPublishes, userPublishes } from './start/scenario.ts'
import { differences, runLifeboat } from './start/verify.ts'
import { type Counters, createCounters, minus, waitForRelease } from './start/watch.ts'
import { type LocalStack, startStack } from './stack.ts'

/** `npm start`: publishes real models into the embedded S3 and restores them from the embedded GCS alone. */

type Options = { model?: string; keep?: boolean; json?: boolean; seed: string }
type Replicated = { plan: Publish; counters: Counters; lagSeconds: number; release: ReleaseManifest }

const bucket = 'models'
const releaseTimeoutMs = 15 * 60_000
const cacheDir = fileURLToPath(new URL('../.cache/stack', import.meta.url))

const configText = `formatVersion: 1
source: { account: "111122223333", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica }
buckets:
  - name: ${bucket}
    release: { settleSeconds: 5, quietMinutes: 1 }
`

const parseOptions = (): Options =>
  new Command('npm start --')
    .description('Replicates models from an embedded S3 to an embedded GCS and proves that they restore identically.')
    .option('--model <path>', 'publish this file or folder instead of the synthetic models')
    .option('--keep', 'leave the clouds running and print how to point aws, gcloud storage and lifeboat at them')
    .option('--json', 'print one line of JSON and nothing else')
    .option('--seed <number>', 'seed of the synthetic weights', '1')
    .addHelpText('after', '\nExit codes: 0 everything restored identically, 1 it did not, 2 wrong usage.')
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
      onProgress: async () => view.show(minus(await count(), before)),
    })
    const counters = minus(await count(), before)
    view.show(counters)
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

const run = async (options: Options, dir: string, live: Live): Promise<{ stack: LocalStack; outcomes: Outcome[] }> => {
  const configFile = join(dir, 'lifeboat.yml')
  await writeFile(configFile, configText)
  const userPlans = options.model === undefined ? undefined : await userPublishes(options.model)
  live.say('Starting the embedded clouds and packaging the functions ...')
  const stack = await startStack({ dir, configFile, cacheDir })
  try {
    const store = openStore(stack)
    const count = createCounters(stack, dir)
    if (!userPlans) live.say('Writing synthetic BF16 weights ...')
    const plans = userPlans ?? (await syntheticPublishes(join(dir, 'published'), Number(options.seed)))
    const replicated: Replicated[] = []
    for (const plan of plans) replicated.push(await replicate(stack, store, count, plan, live))

    live.say('Switching AWS off and restoring from GCS alone ...')
    for (const service of awsServices) await stack.clouds.kill(service)
    const outcomes: Outcome[] = []
    for (const one of replicated) outcomes.push(await restore(stack, dir, one, live))
    if (options.keep) for (const service of awsServices) await stack.clouds.restart(service)
    return { stack, outcomes }
  } catch (error) {
    await stack.stop()
    throw error
  }
}

const keepRunning = async (stack: LocalStack, live: Live): Promise<void> => {
  const { replica } = stack.config
  live.say('\nThe clouds go on until Ctrl-C. In another terminal:\n')
  for (const [name, value] of Object.entries(stack.environment)) live.say(`export ${name}=${value}`)
  live.say(`export CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE=${stack.clouds.endpoints.gcs}/storage/v1/`)
  live.say(`export CLOUDSDK_AUTH_ACCESS_TOKEN_FILE=${stack.tokenFile}`)
  live.say(`export CLOUDSDK_CORE_PROJECT=${replica.project}`)
  live.say(`\naws s3 cp FILE s3://${bucket}/my-model/v1/FILE     # replicated by itself`)
  live.say(`gcloud storage ls --recursive gs://${replica.bucket}/objects/`)
  live.say(`npx lifeboat ls`)
  live.say(`npx lifeboat restore s3://${bucket}/my-model/v1/FILE --to DIR`)
  live.say(
    `functions: POST ${stack.runner().url}/2015-03-31/functions/lifeboat-local-planObject/invocations (events/README.md)`,
  )
  const { s3, sqs, dynamodb, gcs } = stack.clouds.pids
  live.say(`kill -9 ${s3} ${sqs} ${dynamodb}     # AWS is gone: ls and restore go on without it`)
  live.say(`processes: s3 ${s3}, sqs ${sqs}, dynamodb ${dynamodb}, gcs ${gcs}, runner ${stack.runner().pid}`)
  live.say(`logs and data: ${stack.dir}`)
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')])
}

const main = async (): Promise<number> => {
  const options = parseOptions()
  const live = createLive(process.stdout, options.json === true)
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-'))
  const startedAt = Date.now()
  try {
    const { stack, outcomes } = await run(options, dir, live)
    try {
      const verified = outcomes.every(({ identical }) => identical)
      live.say(`\n${outcomeTable(outcomes, process.stdout.columns)}`)
      live.say(
        verified
          ? `Every byte came back from GCS alone, after ${Math.round((Date.now() - startedAt) / 1000)} s. Bytes sent are those that the embedded GCS received.`
          : 'Not everything was restored identically: see above.',
      )
      if (options.json) process.stdout.write(`${outcomeJson(outcomes)}\n`)
      if (options.keep) await keepRunning(stack, live)
      return verified ? 0 : 1
    } finally {
      await stack.stop()
    }
  } catch (error) {
    if (!(error instanceof LifeboatError)) throw error
    process.stderr.write(`${error.message}\n`)
    return 2
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

process.exit(await main())
