import { S3Client } from '@aws-sdk/client-s3'
import { execFile } from 'node:child_process'
import { mkdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startService } from '../../local/service-process.ts'
import { createReplicaBucket, createSourceBucket, stage } from '../../local/stack.ts'
import { publish } from '../../local/start/publish.ts'
import { differences, runLifeboat } from '../../local/start/verify.ts'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import { ownerName } from '../../shared/owner.ts'
import { bucket, writeConfig } from '../local-stack.ts'
import type { Kept, Result } from './contestants.ts'
import type { VersionAlone } from './lifeboat-alone.ts'
import type { Folder } from './pairs.ts'

/** Lifeboat on an S3 and a GCS of its own: two releases of one model, replicated one after the other, the second restored. */

export const lifeboatName = 'Lifeboat'

/** `bodyBytes` of chunks and deltas by version; the rest of `bytes` are records. */
export type LifeboatResult = Result & { bodyBytes: [number, number] }

const aloneEntry = fileURLToPath(new URL('lifeboat-alone.ts', import.meta.url))

const replicateAlone = async (environment: Record<string, string>, keys: string[][]): Promise<VersionAlone[]> => {
  const env = {
    PATH: process.env['PATH'],
    ...environment,
    STAGE: stage,
    // Neither the ledger's table nor the queues are touched.
    LEDGER_TABLE: 'none',
    OBJECTS_QUEUE_URL: 'http://127.0.0.1/none',
    SEGMENTS_QUEUE_URL: 'http://127.0.0.1/none',
    BACKFILL_SEGMENTS_QUEUE_URL: 'http://127.0.0.1/none',
    GCP_SERVICE_ACCOUNT: 'lifeboat-writer',
  }
  const args = ['--disable-warning=ExperimentalWarning', aloneEntry, bucket, JSON.stringify(keys)]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as VersionAlone[]
}

/** Everything in the replica, as its own listing says, but the one record of who owns it. */
const storedBytes = async ({ replica }: Config, endpoint: string): Promise<number> => {
  const storage = createStorage({ projectId: replica.project, endpoint, token: 'lifeboat-restorer' })
  let bytes = 0
  for await (const { name, size } of createGcsBlobStore({ storage, bucket: replica.bucket }).list(''))
    if (name !== ownerName) bytes += size
  return bytes
}

/** Throws unless the command brings the version back byte for byte, without the source. */
const proveRestored = async (config: Config, endpoint: string, version: Folder, to: string): Promise<void> => {
  const args = ['restore', 'model@v2', '--replica', `gs://${config.replica.bucket}`, '--to', to, '--quiet']
  const { code, stderr } = await runLifeboat(args, { GCS_ENDPOINT: endpoint })
  if (code !== 0) throw new Error(`lifeboat restore ended with ${code}: ${stderr}`)
  const found = (await differences(version.files, to)).filter((text) => !text.startsWith('_PUBLISH.json '))
  if (found.length > 0) throw new Error(`the restore is not what was published: ${found.join('; ')}`)
}

const keptOf = ({ bodyBytes, recordBytes, seconds, cpuSeconds, rssMaxBytes }: VersionAlone): Kept => ({
  bytes: bodyBytes + recordBytes,
  cost: { seconds, cpuSeconds, ...(rssMaxBytes === undefined ? {} : { rssMaxBytes }) },
})

/** Publishes both versions, then replicates the first and the second. Throws where what is kept is not what was counted. */
export const competeLifeboat = async (
  dir: string,
  [before, after]: readonly [Folder, Folder],
): Promise<LifeboatResult> => {
  await mkdir(join(dir, 'logs'), { recursive: true })
  const configFile = await writeConfig(dir)
  const config = parseConfig(await readFile(configFile, 'utf8'), { stage, file: configFile })
  const start = (service: 's3' | 'gcs') =>
    startService({
      service,
      dir: join(dir, service),
      logFile: join(dir, 'logs', `${service}.log`),
      onExit: () => undefined,
    })
  const s3Service = await start('s3')
  const gcsService = await start('gcs').catch(async (error: unknown) => {
    await s3Service.stop()
    throw error
  })
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const s3 = new S3Client({ endpoint: s3Service.url, region: config.source.region, forcePathStyle: true, credentials })
  try {
    await createSourceBucket(s3, bucket)
    await createReplicaBucket(gcsService.url, config)
    const keys: string[][] = []
    for (const [version, { files }] of [before, after].entries()) {
      const prefix = `model/v${version + 1}/`
      await publish(s3, bucket, prefix, files, 'list')
      keys.push([...files.map(({ path }) => prefix + path), `${prefix}_PUBLISH.json`])
    }
    const environment = {
      AWS_ACCESS_KEY_ID: credentials.accessKeyId,
      AWS_SECRET_ACCESS_KEY: credentials.secretAccessKey,
      AWS_REGION: config.source.region,
      AWS_ENDPOINT_URL_S3: s3Service.url,
      GCS_ENDPOINT: gcsService.url,
      LIFEBOAT_CONFIG: configFile,
    }
    const [first, second] = await replicateAlone(environment, keys)
    if (!first || !second) throw new Error('two versions were to be replicated')
    const versions: Result['versions'] = [keptOf(first), keptOf(second)]
    const [counted, found] = [versions[0].bytes + versions[1].bytes, await storedBytes(config, gcsService.url)]
    if (counted !== found) throw new Error(`${counted} bytes were counted, the replica lists ${found}`)
    await proveRestored(config, gcsService.url, after, join(dir, 'restored'))
    return { name: lifeboatName, versions, bodyBytes: [first.bodyBytes, second.bodyBytes] }
  } finally {
    s3.destroy()
    await Promise.all([s3Service.stop(), gcsService.stop()])
  }
}
