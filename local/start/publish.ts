import {
  CompleteMultipartUploadCommand,
  type CompletedPart,
  CreateMultipartUploadCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { lstat, open, readdir, readFile } from 'node:fs/promises'
import { basename, join, posix, relative, sep } from 'node:path'
import { mapInOrder } from '../../shared/bounded.ts'
import { InvalidInputError } from '../../shared/errors.ts'

/** Publishes a file or folder to S3 as a serving team would: the files, then a marker. */

const multipartFrom = 64 * 2 ** 20
const partBytesMin = 16 * 2 ** 20
const partsMax = 10_000
const partsInFlight = 3

export type LocalFile = { path: string; file: string; size: number }

/** The regular files at `path` (a file or a folder, all levels). Throws InvalidInputError for anything else. */
export const filesAt = async (path: string): Promise<LocalFile[]> => {
  const stat = await lstat(path).catch(() => undefined)
  if (!stat) throw new InvalidInputError(`--model ${path}: there is no such file or folder`)
  if (stat.isFile()) return [{ path: basename(path), file: path, size: stat.size }]
  if (!stat.isDirectory())
    throw new InvalidInputError(`--model ${path}: neither a file nor a folder (links are not followed)`)
  const entries = await readdir(path, { recursive: true, withFileTypes: true })
  const odd = entries.find((entry) => !entry.isFile() && !entry.isDirectory())
  if (odd)
    throw new InvalidInputError(
      `--model ${path}: ${join(odd.parentPath, odd.name)} is neither a file nor a folder (links are not followed)`,
    )
  const files = await Promise.all(
    entries
      .filter((entry) => entry.isFile())
      .map(async (entry) => {
        const file = join(entry.parentPath, entry.name)
        return { path: relative(path, file).split(sep).join(posix.sep), file, size: (await lstat(file)).size }
      }),
  )
  if (files.length === 0) throw new InvalidInputError(`--model ${path}: there is no file in it`)
  return files.toSorted((a, b) => (a.path < b.path ? -1 : 1))
}

const uploadParts = async (
  s3: S3Client,
  target: { Bucket: string; Key: string; UploadId: string },
  { file, size }: LocalFile,
): Promise<CompletedPart[]> => {
  const partBytes = Math.max(partBytesMin, Math.ceil(size / partsMax))
  const count = Math.ceil(size / partBytes)
  const handle = await open(file)
  try {
    const numbers = Array.from({ length: count }, (_, index) => index + 1)
    const parts: CompletedPart[] = []
    const upload = async (PartNumber: number): Promise<CompletedPart> => {
      const start = (PartNumber - 1) * partBytes
      const Body = Buffer.alloc(Math.min(partBytes, size - start))
      await handle.read(Body, 0, Body.length, start)
      const { ETag, ChecksumCRC32 } = await s3.send(
        new UploadPartCommand({ ...target, PartNumber, Body, ChecksumAlgorithm: 'CRC32' }),
      )
      return { PartNumber, ETag, ChecksumCRC32 }
    }
    for await (const part of mapInOrder(numbers, partsInFlight, upload)) parts.push(part)
    return parts
  } finally {
    await handle.close()
  }
}

/** Uploads one file as clients do: in parts where it is large. Resolves with its version id. */
export const uploadFile = async (
  s3: S3Client,
  bucket: string,
  key: string,
  local: LocalFile,
): Promise<string | undefined> => {
  const target = { Bucket: bucket, Key: key }
  if (local.size < multipartFrom) {
    return (await s3.send(new PutObjectCommand({ ...target, Body: await readFile(local.file) }))).VersionId
  }
  const { UploadId = '' } = await s3.send(new CreateMultipartUploadCommand({ ...target, ChecksumAlgorithm: 'CRC32' }))
  const Parts = await uploadParts(s3, { ...target, UploadId }, local)
  return (await s3.send(new CompleteMultipartUploadCommand({ ...target, UploadId, MultipartUpload: { Parts } })))
    .VersionId
}

/**
 * Uploads the files, then the marker that completes the release: `list` names every version exactly, `success` is the
 * empty `_SUCCESS` of batch jobs. Resolves with the time at which the marker was accepted.
 */
export const publish = async (
  s3: S3Client,
  bucket: string,
  prefix: string,
  files: readonly LocalFile[],
  marker: 'list' | 'success',
): Promise<number> => {
  const listed: { key: string; size: number; versionId: string | undefined }[] = []
  for (const local of files) {
    const versionId = await uploadFile(s3, bucket, prefix + local.path, local)
    listed.push({ key: local.path, size: local.size, versionId })
  }
  const [name, text] =
    marker === 'list' ? ['_PUBLISH.json', JSON.stringify({ files: listed }, undefined, 1)] : ['_SUCCESS', '']
  // As bytes: the SDK warns of an empty text, of which it does not know the length.
  await s3.send(new PutObjectCommand({ Bucket: bucket, Key: prefix + name, Body: Buffer.from(text) }))
  return Date.now()
}
