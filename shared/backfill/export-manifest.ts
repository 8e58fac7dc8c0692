import { hash } from 'node:crypto'
import * as z from 'zod'
import { mapInOrder } from '../bounded.ts'
import type { Config } from '../config.ts'
import { CorruptError, InvalidInputError, NotFoundError, RefusedError } from '../errors.ts'
import type { ObjectSource } from '../ports.ts'

/**
 * What DynamoDB's export to S3 says of itself. The summary is written when everything else is there.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
 */

type Reader = Pick<ObjectSource, 'head' | 'read'>

const time = z.iso.datetime({ offset: true })
const summarySchema = z.object({
  exportArn: z.string(),
  tableArn: z.string(),
  endTime: time,
  exportTime: time.nullish(),
  exportType: z.enum(['FULL_EXPORT', 'INCREMENTAL_EXPORT']).nullish(),
  exportFromTime: time.nullish(),
  exportToTime: time.nullish(),
  s3Bucket: z.string(),
  manifestFilesS3Key: z.string(),
  billedSizeBytes: z.number().default(0),
  itemCount: z.number(),
  outputFormat: z.string(),
})
const fileSchema = z.object({
  itemCount: z.number(),
  md5Checksum: z.string(),
  etag: z.string(),
  dataFileS3Key: z.string(),
})

export type ExportFile = { bucket: string; key: string; items: number; md5: string; etag: string }
/** The state of the table as of `toMs`; of an incremental one, of what changed since `fromMs`. */
export type Export = {
  url: string
  fromMs: number | undefined
  toMs: number
  items: number
  bytes: number
  files: ExportFile[]
}

const manifestBytesMax = 256 * 2 ** 20

const urlPattern = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])\/(.*?)\/?$/

const readWhole = async (source: Reader, bucket: string, key: string): Promise<Buffer | undefined> => {
  const object = await source.head({ bucket, key })
  if (!object) return undefined
  if (object.size > manifestBytesMax)
    throw new InvalidInputError(`s3://${bucket}/${key} has ${object.size} bytes, allowed: ${manifestBytesMax}`)
  const pieces: Uint8Array[] = []
  for await (const piece of source.read(object, 0, object.size)) pieces.push(Uint8Array.from(piece))
  return Buffer.concat(pieces)
}

/** A manifest with what its checksum file says of it, where there is one. */
const readManifest = async (source: Reader, bucket: string, key: string, url: string): Promise<string> => {
  const bytes = await readWhole(source, bucket, key)
  if (!bytes)
    throw new RefusedError(`${url}: ${key} is not there: the export is not complete, or this is not the folder of one`)
  const base = key.replace(/\.json$/, '')
  for (const ending of ['checksum', 'md5']) {
    const wanted = (await readWhole(source, bucket, `${base}.${ending}`))?.toString('latin1').trim()
    if (wanted === undefined) continue
    const found = [hash('md5', bytes, 'base64'), hash('md5', bytes, 'hex')]
    if (!found.includes(wanted))
      throw new CorruptError(`${url}: ${key} is not what ${base}.${ending} says: MD5 ${found[0]}, expected ${wanted}`)
    break
  }
  return bytes.toString('utf8')
}

const parseJson = <T>(schema: z.ZodType<T>, text: string, what: string): T => {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new CorruptError(`${what} is not JSON`, { cause })
  }
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new CorruptError(`${what}: ${issue?.path.join('.') ?? ''}: ${issue?.message ?? ''}`)
}

const checkTable = (url: string, tableArn: string, table: string, { source }: Config): void => {
  const [, , , region, account, name] = tableArn.split(':')
  if (name !== `table/${table}` || account !== source.account || region !== source.region)
    throw new RefusedError(
      `${url} is an export of ${tableArn}, not of table ${table} of account ${source.account} in ${source.region}`,
    )
}

/** Every data file is there as the manifest says it. */
const checkFiles = async (source: Reader, url: string, files: readonly ExportFile[]): Promise<void> => {
  const look = async (file: ExportFile): Promise<void> => {
    const object = await source.head({ bucket: file.bucket, key: file.key })
    if (!object) throw new RefusedError(`${url}: data file ${file.key} is not there: the export is not complete`)
    if (object.etag !== file.etag.replaceAll('"', ''))
      throw new CorruptError(`${url}: ${file.key} has ETag ${object.etag}, expected ${file.etag}`)
  }
  for await (const _ of mapInOrder(files, 16, look));
}

/** Throws RefusedError on an export that is not complete or of another table, CorruptError where a checksum differs. */
export const openExport = async (
  source: Reader,
  { config, table, url, checked = false }: { config: Config; table: string; url: string; checked?: boolean },
): Promise<Export> => {
  const [, bucket, folder] = urlPattern.exec(url) ?? []
  if (bucket === undefined || !folder)
    throw new InvalidInputError(`found "${url}", expected s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID`)
  const text = await readManifest(source, bucket, `${folder}/manifest-summary.json`, url).catch((error: unknown) => {
    if (!(error instanceof NotFoundError)) throw error
    throw new RefusedError(`${url}: ${error.message}`, { cause: error })
  })
  const summary = parseJson(summarySchema, text, `${url}/manifest-summary.json`)
  checkTable(url, summary.tableArn, table, config)
  if (summary.outputFormat !== 'DYNAMODB_JSON')
    throw new RefusedError(`${url} is in the format ${summary.outputFormat}: only DYNAMODB_JSON is read`)
  const isIncremental = summary.exportType === 'INCREMENTAL_EXPORT' || typeof summary.exportFromTime === 'string'
  const to = isIncremental ? summary.exportToTime : summary.exportTime
  if (typeof to !== 'string' || (isIncremental && typeof summary.exportFromTime !== 'string'))
    throw new CorruptError(`${url}/manifest-summary.json does not say of which time it is`)
  const lines = (await readManifest(source, bucket, summary.manifestFilesS3Key, url)).split('\n').filter((line) => line)
  const files = lines.map((line, index): ExportFile => {
    const file = parseJson(fileSchema, line, `line ${index + 1} of ${summary.manifestFilesS3Key}`)
    return { bucket, key: file.dataFileS3Key, items: file.itemCount, md5: file.md5Checksum, etag: file.etag }
  })
  const items = files.reduce((sum, file) => sum + file.items, 0)
  if (items !== summary.itemCount)
    throw new CorruptError(`${url}: its files have ${items} items, and the summary says ${summary.itemCount}`)
  if (!checked) await checkFiles(source, url, files)
  return {
    url,
    fromMs: isIncremental ? Date.parse(summary.exportFromTime ?? '') : undefined,
    toMs: Date.parse(to),
    items,
    bytes: summary.billedSizeBytes,
    files,
  }
}

/**
 * One full export and incremental ones that follow it without a gap, the newest first: an item is written only where there
 * is none, so that what changed last is written first. Throws RefusedError on any other set.
 */
export const chainOf = (all: readonly Export[]): Export[] => {
  const full = all.filter(({ fromMs }) => fromMs === undefined)
  const [first] = full
  if (full.length !== 1 || !first)
    throw new RefusedError(`found ${full.length} full exports, expected one, and incremental ones that follow it`)
  const later = all.filter((one) => one !== first).toSorted((a, b) => a.toMs - b.toMs)
  let covered = first.toMs
  for (const { fromMs = 0, toMs, url } of later) {
    // Of a time before the full one, and it would be written as if it were newer.
    if (toMs <= first.toMs)
      throw new RefusedError(
        `${url} has exportToTime ${new Date(toMs).toISOString()}, expected one after ${new Date(first.toMs).toISOString()}, of which the full export ${first.url} is: leave it out, the full one has all of it`,
      )
    if (fromMs > covered)
      throw new RefusedError(
        `${url} begins at ${new Date(fromMs).toISOString()}, and those before it end at ${new Date(covered).toISOString()}: what changed between is in none`,
      )
    covered = Math.max(covered, toMs)
  }
  return [first, ...later].toReversed()
}
