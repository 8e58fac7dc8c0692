import { createReadStream, openSync } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { createGunzip } from 'node:zlib'
import { sendJson } from '../http.ts'
import { ApiError } from './api-error.ts'
import { etagOf, requireBucket, requireObject, toResource, type Call } from './call.ts'
import type { ObjectMeta } from './metadata-store.ts'
import { checkPreconditions } from './preconditions.ts'

const READ_BYTES = 2 ** 20

/** First and last byte, or undefined where the header asks for nothing that can be answered in part. */
const parseRange = (header: string | undefined, size: number): { start: number; end: number } | undefined => {
  const parts = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  if (!parts || (parts[1] === '' && parts[2] === '')) return undefined
  const start = parts[1] === '' ? Math.max(0, size - Number(parts[2])) : Number(parts[1])
  const end = parts[1] === '' || parts[2] === '' ? size - 1 : Math.min(Number(parts[2]), size - 1)
  if (start >= size || end < start)
    throw new ApiError(416, 'requestedRangeNotSatisfiable', 'Request range not satisfiable')
  return { start, end }
}

const mediaHeaders = (meta: ObjectMeta): Record<string, string> => ({
  'content-type': meta.contentType ?? 'application/octet-stream',
  etag: etagOf(meta),
  'accept-ranges': 'bytes',
  'x-goog-generation': meta.generation,
  'x-goog-metageneration': meta.metageneration,
  'x-goog-hash': `crc32c=${meta.crc32c}${meta.md5Hash === undefined ? '' : `,md5=${meta.md5Hash}`}`,
  'x-goog-stored-content-length': meta.size,
  'x-goog-stored-content-encoding': meta.contentEncoding ?? 'identity',
  'x-goog-storage-class': String(meta['storageClass']),
  'last-modified': new Date(String(meta['updated'])).toUTCString(),
})

const isUnzipped = (call: Call, meta: ObjectMeta): boolean =>
  meta.contentEncoding === 'gzip' &&
  !/\bgzip\b/.test(call.request.headers['accept-encoding'] ?? '') &&
  !/no-transform/.test(meta.cacheControl ?? '')

const sendMedia = async (call: Call, meta: ObjectMeta, file: string): Promise<void> => {
  const { request, response, gcs } = call
  const size = Number(meta.size)
  const unzipped = isUnzipped(call, meta)
  const range = unzipped ? undefined : parseRange(request.headers.range, size)
  const { start, end } = range ?? { start: 0, end: size - 1 }
  const headers = mediaHeaders(meta)
  if (meta.contentEncoding !== undefined && !unzipped) headers['content-encoding'] = meta.contentEncoding
  if (range) headers['content-range'] = `bytes ${start}-${end}/${size}`
  if (!unzipped) headers['content-length'] = String(end - start + 1)
  if (size === 0) {
    response.writeHead(200, headers).end()
    return
  }
  // Opened before any wait, so that a delete from here on cannot take the file away.
  const fd = openSync(gcs.bodies.path(file), 'r')
  const body = createReadStream('', { fd, start, end, highWaterMark: READ_BYTES })
  body.on('data', (bytes) => gcs.stats.served(bytes.length))
  response.writeHead(range ? 206 : 200, headers)
  await (unzipped ? pipeline(body, createGunzip(), response) : pipeline(body, response)).catch((error: unknown) => {
    if (!response.destroyed) throw error
  })
}

/** GET of an object: its metadata, or its bytes (`alt=media`, or under /download). */
export const getObject = async (call: Call, bucket: string, name: string, download: boolean): Promise<void> => {
  requireBucket(call.gcs, bucket)
  call.caller.need('storage.objects.get')
  const { meta, file } = requireObject(call, bucket, name, call.query.get('generation'))
  checkPreconditions(call.query, meta, { read: true })
  if (download || call.query.get('alt') === 'media') return sendMedia(call, meta, file)
  sendJson(call.response, 200, toResource(call.base, meta))
}
