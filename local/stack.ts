import {
  CreateBucketCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketVersioningCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { createServer, type AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type Config, parseConfig } from '../shared/config.ts'
import { type Clouds, startClouds } from './clouds.ts'
import { packageStack } from './lambda/package.ts'
import type { ServeOptions } from './lambda/serve.ts'
import { createReplicaTables } from './replica-rows.ts'
import { createSourceTables, type TableKeys } from './source-tables.ts'

/** Lifeboat as it deploys, on the embedded clouds: the packaged template, its functions, both clouds, all as processes. */

export const stage = 'local'
const runnerEntry = fileURLToPath(new URL('lambda/serve.ts', import.meta.url))

export type RunnerProcess = { url: string; pid: number; kill(): Promise<void>; stop(): Promise<void> }

export type LocalStack = {
  config: Config
  configFile: string
  /** Read by the functions when an instance of theirs starts. */
  functionsConfigFile: string
  clouds: Clouds
  runner(): RunnerProcess
  /** Starts the runner again on the same data and port, killing it where it still runs. */
  restartRunner(): Promise<void>
  s3: S3Client
  dir: string
  /** Holds the token by which gcloud is an administrator of the embedded GCS. */
  tokenFile: string
  /** Lines of environment for `aws`, `gcloud storage` and `lifeboat`. */
  environment: Record<string, string>
  stop(): Promise<void>
}

const freePort = async (): Promise<number> => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return port
}

const readyUrl = async (child: ChildProcess): Promise<string> => {
  if (!child.stdout) throw new Error('the runner has no stdout')
  for await (const line of createInterface(child.stdout)) return (JSON.parse(line) as { url: string }).url
  throw new Error('the runner ended before it was ready')
}

const startRunnerProcess = async (dir: string, options: ServeOptions): Promise<RunnerProcess> => {
  const optionsFile = join(dir, 'runner.json')
  const logFile = join(dir, 'logs', 'runner.log')
  mkdirSync(join(dir, 'logs'), { recursive: true })
  writeFileSync(optionsFile, JSON.stringify(options))
  const log = openSync(logFile, 'a')
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', runnerEntry, optionsFile], {
    stdio: ['pipe', 'pipe', log],
  })
  closeSync(log)
  const ended = once(child, 'exit')
  try {
    const url = await readyUrl(child)
    child.stdout?.resume()
    return {
      url,
      pid: child.pid ?? 0,
      kill: async () => {
        child.kill('SIGKILL')
        await ended
      },
      stop: async () => {
        child.stdin?.end()
        await ended
      },
    }
  } catch (cause) {
    throw new Error(`the runner did not start; the end of its log:\n${readFileSync(logFile, 'utf8').slice(-4000)}`, {
      cause,
    })
  }
}

const createSourceBucket = async (s3: S3Client, name: string): Promise<void> => {
  try {
    await s3.send(new CreateBucketCommand({ Bucket: name }))
  } catch (error) {
    if (!(error instanceof S3ServiceException) || error.name !== 'BucketAlreadyOwnedByYou') throw error
    return
  }
  await s3.send(new PutBucketVersioningCommand({ Bucket: name, VersioningConfiguration: { Status: 'Enabled' } }))
  await s3.send(
    new PutBucketNotificationConfigurationCommand({
      Bucket: name,
      NotificationConfiguration: { EventBridgeConfiguration: {} },
    }),
  )
}

const createReplicaBucket = async (endpoint: string, config: Config): Promise<void> => {
  const response = await fetch(
    `${endpoint}/storage/v1/b?project=${config.replica.project}&enableObjectRetention=true`,
    {
      method: 'POST',
      headers: { authorization: 'Bearer lifeboat-admin', 'content-type': 'application/json' },
      body: JSON.stringify({ name: config.replica.bucket }),
    },
  )
  if (!response.ok && response.status !== 409)
    throw new Error(`creating the replica's bucket answered ${response.status}: ${await response.text()}`)
}

const environmentOf = (config: Config, endpoints: Clouds['endpoints'], configFile: string): Record<string, string> => ({
  AWS_ACCESS_KEY_ID: 'local',
  AWS_SECRET_ACCESS_KEY: 'local',
  AWS_REGION: config.source.region,
  AWS_DEFAULT_REGION: config.source.region,
  AWS_ENDPOINT_URL_S3: endpoints.s3,
  AWS_ENDPOINT_URL_SQS: endpoints.sqs,
  AWS_ENDPOINT_URL_DYNAMODB: endpoints.dynamodb,
  GCS_ENDPOINT: endpoints.gcs,
  BIGTABLE_ENDPOINT: endpoints.bigtable,
  AWS_ENDPOINT_URL_CLOUDWATCH: endpoints.cloudwatch,
  LIFEBOAT_CONFIG: configFile,
})

/** JSON with the real ARNs of streams in the place of the configured ones. */
const jsonWithStreams = (value: unknown, arns: ReadonlyMap<string, string>): string =>
  JSON.stringify(value, (_name, member: unknown) =>
    typeof member === 'string' ? (arns.get(member) ?? member) : member,
  )

export type StackOptions = {
  dir: string
  configFile: string
  cacheDir: string
  buildDir?: string
  instancesMax?: number
  scheduleSpeed?: number
  metricsSpeed?: number
  buckets?: boolean
  tableKeys?: Readonly<Record<string, TableKeys>>
  rolesFile?: string
  redeliverSeconds?: number
  bigtableEndpoint?: string
  log?: (message: string) => void
}

/**
 * Starts everything over `dir`; what an earlier start left there goes on. Buckets of the configuration are created,
 * versioned and announce to EventBridge unless `buckets` is false; its tables have `tableKeys` (see createSourceTables),
 * and the functions read it from functionsConfigFile, where its streams have their real ARNs. `redeliverSeconds` is how long a message stays hidden
 * whose function was killed (the deployed queues and leases say minutes); `rolesFile` stands for infra/gcp/roles.json,
 * `bigtableEndpoint` for the embedded Bigtable, and `buildDir` for the folder of unpacked bundles, which then read the configuration
 * that is in them: the ARNs of its streams must be real.
 */
export const startStack = async (options: StackOptions): Promise<LocalStack> => {
  const { dir, configFile, cacheDir, rolesFile, redeliverSeconds, log } = options
  mkdirSync(dir, { recursive: true })
  const config = parseConfig(readFileSync(configFile, 'utf8'), { stage, file: configFile })
  const packaging = packageStack({ configFile, stage, cacheDir })
  packaging.catch(() => undefined)
  const port = await freePort()
  const clouds = await startClouds({
    dir,
    eventsUrl: `http://127.0.0.1:${port}/events`,
    region: config.source.region,
    account: config.source.account,
    ...(options.metricsSpeed === undefined ? {} : { metricsSpeed: options.metricsSpeed }),
    ...(rolesFile === undefined ? {} : { rolesFile }),
    ...(log ? { log } : {}),
  })
  try {
    const endpoints = { ...clouds.endpoints, bigtable: options.bigtableEndpoint ?? clouds.endpoints.bigtable }
    const environment = environmentOf(config, endpoints, configFile)
    const s3 = new S3Client({
      endpoint: endpoints.s3,
      region: config.source.region,
      forcePathStyle: true,
      credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
    })
    if (options.buckets !== false) for (const { name } of config.buckets) await createSourceBucket(s3, name)
    await createReplicaBucket(endpoints.gcs, config)
    await createReplicaTables(endpoints.bigtable, config)
    const streamArns = await createSourceTables(endpoints, config, options.tableKeys)
    const { buildDir: packaged, template } = await packaging
    const tokenFile = join(dir, 'gcloud-token')
    writeFileSync(tokenFile, 'lifeboat-admin')
    const templateFile = join(dir, 'template.json')
    writeFileSync(templateFile, jsonWithStreams(template, streamArns))
    const functionsConfigFile = join(dir, 'functions.json')
    writeFileSync(functionsConfigFile, jsonWithStreams(config, streamArns))
    const serve: ServeOptions = {
      template: templateFile,
      buildDir: options.buildDir ?? packaged,
      dir: join(dir, 'lambda'),
      port,
      endpoints,
      account: config.source.account,
      region: config.source.region,
      ...(options.instancesMax === undefined ? {} : { instancesMax: options.instancesMax }),
      ...(options.scheduleSpeed === undefined ? {} : { scheduleSpeed: options.scheduleSpeed }),
      ...(options.metricsSpeed === undefined ? {} : { metricsSpeed: options.metricsSpeed }),
      ...(redeliverSeconds === undefined ? {} : { visibilitySeconds: redeliverSeconds }),
      extraEnv: {
        ...(options.buildDir === undefined ? { LIFEBOAT_CONFIG: functionsConfigFile } : {}),
        ...(redeliverSeconds === undefined ? {} : { LEASE_SECONDS: String(redeliverSeconds) }),
      },
    }
    let runner = await startRunnerProcess(dir, serve)
    return {
      config,
      configFile,
      functionsConfigFile,
      clouds,
      runner: () => runner,
      restartRunner: async () => {
        await runner.kill()
        runner = await startRunnerProcess(dir, serve)
      },
      s3,
      dir,
      tokenFile,
      environment,
      stop: async () => {
        s3.destroy()
        await runner.stop()
        await clouds.stop()
      },
    }
  } catch (error) {
    await clouds.stop()
    throw error
  }
}
