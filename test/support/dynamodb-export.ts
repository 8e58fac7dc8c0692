import { createHash } from 'node:crypto'
import { gzipSync } from 'node:zlib'
import { itemToJson } from '../../shared/features/attribute-json.ts'
import type { Item } from '../../shared/features/item.ts'

/**
 * Writes what DynamoDB's export to S3 writes: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/S3DataExport.Output.html
 * `put` answers the ETag that S3 gives the object.
 */
export type ExportedTable = {
  tableArn: string
  bucket: string
  id: string
  files: number
  put: (key: string, body: Buffer) => Promise<string>
}

/** What an item became; `item` is undefined where it is gone. */
export type ExportedChange = { key: Item; item: Item | undefined; before?: Item }

const md5 = (bytes: Buffer): string => createHash('md5').update(bytes).digest('base64')
const iso = (ms: number): string => new Date(ms).toISOString()

const writeManifests = async (
  { tableArn, bucket, id, put }: ExportedTable,
  about: Record<string, unknown>,
  files: readonly { itemCount: number; md5Checksum: string; etag: string; dataFileS3Key: string }[],
): Promise<string> => {
  const folder = `AWSDynamoDB/${id}`
  const manifest = async (name: string, text: string): Promise<void> => {
    const body = Buffer.from(text)
    await put(`${folder}/${name}.json`, body)
    await put(`${folder}/${name}.checksum`, Buffer.from(md5(body)))
  }
  await put(`${folder}/_started`, Buffer.alloc(0))
  await manifest('manifest-files', `${files.map((file) => JSON.stringify(file)).join('\n')}\n`)
  const summary = {
    exportArn: `${tableArn}/export/${id}`,
    startTime: iso(Date.UTC(2026, 0, 1)),
    endTime: iso(Date.UTC(2026, 0, 1, 1)),
    tableArn,
    tableId: '12345a12-abcd-123a-ab12-1234abc12345',
    s3Bucket: bucket,
    s3Prefix: null,
    s3SseAlgorithm: 'AES256',
    s3SseKmsKeyId: null,
    manifestFilesS3Key: `${folder}/manifest-files.json`,
    billedSizeBytes: 1000,
    itemCount: files.reduce((sum, { itemCount }) => sum + itemCount, 0),
    outputFormat: 'DYNAMODB_JSON',
    ...about,
  }
  await manifest('manifest-summary', JSON.stringify(summary))
  return `s3://${bucket}/${folder}`
}

const writeFiles = async ({ id, files, put }: ExportedTable, lines: readonly string[]) => {
  const written = []
  for (let file = 0; file < files; file += 1) {
    const own = lines.filter((_, index) => index % files === file)
    const body = gzipSync(own.map((line) => `${line}\n`).join(''))
    const dataFileS3Key = `AWSDynamoDB/${id}/data/file${file}.json.gz`
    const etag = await put(dataFileS3Key, body)
    written.push({ itemCount: own.length, md5Checksum: md5(body), etag, dataFileS3Key })
  }
  return written
}

/** Answers the export's URL. */
export const writeFullExport = async (target: ExportedTable, items: readonly Item[], atMs: number): Promise<string> => {
  const files = await writeFiles(
    target,
    items.map((item) => JSON.stringify({ Item: itemToJson(item) })),
  )
  return writeManifests(target, { version: '2020-06-30', exportTime: iso(atMs) }, files)
}

export const writeIncrementalExport = async (
  target: ExportedTable,
  changes: readonly ExportedChange[],
  { fromMs, toMs }: { fromMs: number; toMs: number },
): Promise<string> => {
  const lines = changes.map(({ key, item, before }) =>
    JSON.stringify({
      Metadata: { WriteTimestampMicros: { N: String(fromMs * 1000) } },
      Keys: itemToJson(key),
      ...(item ? { NewImage: itemToJson(item) } : {}),
      ...(before ? { OldImage: itemToJson(before) } : {}),
    }),
  )
  const about = {
    version: '2023-08-01',
    exportFromTime: iso(fromMs),
    exportToTime: iso(toMs),
    outputView: 'NEW_AND_OLD_IMAGES',
    exportType: 'INCREMENTAL_EXPORT',
  }
  return writeManifests(target, about, await writeFiles(target, lines))
}
