import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import type { Storage } from '@google-cloud/storage'
import { createGcsBlobStore } from '../shared/clouds/gcp/blob-store.ts'
import { findDefaultCredentials } from '../shared/clouds/gcp/default-credentials.ts'
import { createStorage } from '../shared/clouds/gcp/storage-client.ts'
import { type Config, parseConfig } from '../shared/config.ts'
import { InvalidInputError, NotFoundError } from '../shared/errors.ts'
import type { ItemSource } from '../shared/features/deps.ts'
import type { RowStore } from '../shared/features/row-store.ts'
import type { BlobStore } from '../shared/ports.ts'
import type { OpenedReplica, OpenedSource } from './open-doctor.ts'

export type GlobalOptions = {
  config?: string
  stage: string
  replica?: string
  json?: boolean
  quiet?: boolean
  debug?: boolean
}

export type Output = NodeJS.WritableStream & { isTTY?: boolean; columns?: number }

/** A Bigtable instance, and the app profile to read it by. */
export type RowsPlace = { projectId: string; instanceId: string; appProfileId?: string }

export type OpenedRows = { rows: RowStore; close(): Promise<void> }

export type OpenedItems = { source: ItemSource; close(): void }

/** What a command may touch. Tests give their own streams, environment, clock and replica. */
export type CliContext = {
  stdout: Output
  stderr: Output
  /** Working folder of relative paths. */
  cwd: string
  env: Readonly<Record<string, string | undefined>>
  now(): number
  /** Aborts on an interrupt. */
  signal: AbortSignal
  /** The replica as its restorer sees it; `url` is `gs://bucket/prefix`. */
  openReplica(options: GlobalOptions): Promise<{ store: BlobStore; url: string }>
  /** The rows of a Bigtable instance as the restorer sees them. */
  openRows(place: RowsPlace): Promise<OpenedRows>
  /** The tables of the source, with AWS credentials. */
  openItems(place: { region: string }): Promise<OpenedItems>
  /** AWS as the doctor sees it. */
  openSource(config: Config): Promise<OpenedSource>
  /** Google as the doctor sees it. */
  openReplicaFacts(config: Config): Promise<OpenedReplica>
  wait(ms: number): Promise<void>
}

export const configFileDefault = 'lifeboat.yml'

export const configFile = (context: Pick<CliContext, 'cwd'>, options: GlobalOptions): string =>
  resolve(context.cwd, options.config ?? configFileDefault)

/** Reads and checks the configuration. Throws InvalidInputError with every problem, or saying that there is no file. */
export const loadConfig = async (context: Pick<CliContext, 'cwd'>, options: GlobalOptions): Promise<Config> => {
  const file = configFile(context, options)
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (cause) {
    throw new InvalidInputError(
      `cannot read ${file}: ${cause instanceof Error ? cause.message : String(cause)}; "lifeboat config init" writes one`,
      { cause },
    )
  }
  return parseConfig(text, { stage: options.stage, file })
}

type Replica = { project: string; bucket: string; prefix: string }

const parseReplicaUrl = (url: string): Replica => {
  const match = /^gs:\/\/([a-z0-9][a-z0-9._-]{1,220}[a-z0-9])(?:\/(.*))?$/.exec(url)
  if (!match?.[1]) throw new InvalidInputError(`--replica: found "${url}", expected gs://bucket or gs://bucket/prefix`)
  const prefix = (match[2] ?? '').replace(/\/+$/, '')
  return { project: 'lifeboat', bucket: match[1], prefix: prefix === '' ? '' : `${prefix}/` }
}

/** True where the configuration is not there, as opposed to wrong. */
export const isMissingFile = (error: unknown): boolean =>
  error instanceof InvalidInputError &&
  error.cause instanceof Error &&
  'code' in error.cause &&
  error.cause.code === 'ENOENT'

/** The configuration where there is one: undefined without a file that nobody asked for. */
export const findConfig = async (
  context: Pick<CliContext, 'cwd'>,
  options: GlobalOptions,
): Promise<Config | undefined> => {
  try {
    return await loadConfig(context, options)
  } catch (error) {
    if (options.config !== undefined || !isMissingFile(error)) throw error
    return undefined
  }
}

const findReplica = async (context: Pick<CliContext, 'cwd'>, options: GlobalOptions): Promise<Replica> => {
  if (options.replica !== undefined) return parseReplicaUrl(options.replica)
  try {
    return (await loadConfig(context, options)).replica
  } catch (error) {
    if (options.config !== undefined || !isMissingFile(error)) throw error
    throw new InvalidInputError(
      `which replica? give --replica gs://bucket/prefix, or a configuration by --config (there is no ${configFileDefault} here)`,
      { cause: error },
    )
  }
}

/** Few, so that a machine without a network says so within seconds; what follows has the patience of a long restore. */
const firstRetriesMax = 2

/** Storage clients by their patience, all with the same credentials. */
const storageOf = async (
  context: Pick<CliContext, 'env'>,
  projectId: string,
): Promise<(retriesMax?: number) => Storage> => {
  const endpoint = context.env['GCS_ENDPOINT']
  const access = endpoint
    ? { endpoint, token: context.env['GCS_TOKEN'] ?? 'lifeboat-restorer' }
    : { authClient: await findDefaultCredentials(projectId) }
  return (retriesMax) => createStorage({ projectId, ...access, ...(retriesMax === undefined ? {} : { retriesMax }) })
}

/** Asks for one name. A bucket that is not there is a wrong address, not an empty replica. */
const reach = async (store: BlobStore, url: string): Promise<void> => {
  try {
    for await (const _ of store.list('config/')) break
  } catch (error) {
    if (error instanceof NotFoundError)
      throw new NotFoundError(`there is no replica at ${url}: ${error.message}`, { cause: error })
    throw error
  }
}

/**
 * Opens the replica named by --replica or the configuration, and makes sure that it can be reached. Credentials are
 * Google's own (gcloud, a service account, a machine of Google's or workload identity); GCS_ENDPOINT and GCS_TOKEN name
 * an emulator and its principal.
 */
export const openGcsReplica = async (
  context: Pick<CliContext, 'cwd' | 'env'>,
  options: GlobalOptions,
): Promise<{ store: BlobStore; url: string }> => {
  const { project, bucket, prefix } = await findReplica(context, options)
  const open = await storageOf(context, project)
  const url = `gs://${bucket}/${prefix}`
  await reach(createGcsBlobStore({ storage: open(firstRetriesMax), bucket, prefix }), url)
  return { store: createGcsBlobStore({ storage: open(), bucket, prefix }), url }
}
