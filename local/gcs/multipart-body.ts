import type { IncomingMessage } from 'node:http'
import { ApiError } from './api-error.ts'
import { parseJson } from './call.ts'
import type { Json } from './metadata-store.ts'

const malformed = (): ApiError => new ApiError(400, 'badContent', 'Malformed multipart body.')
const CARRIAGE_RETURN = 13
const METADATA_BYTES_MAX = 2 ** 20

/** The bytes before `delimiter`; what follows it is read and dropped. Holds back only a delimiter's length. */
async function* until(source: AsyncIterable<Uint8Array>, delimiter: Buffer): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0)
  let found = false
  for await (const bytes of source) {
    if (found) continue
    const window =
      held.length > 0 ? Buffer.concat([held, bytes]) : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
    const end = window.indexOf(delimiter)
    if (end >= 0) {
      found = true
      yield window.subarray(0, end)
      continue
    }
    const safe = Math.max(0, window.length - delimiter.length + 1)
    if (safe > 0) yield window.subarray(0, safe)
    held = Buffer.from(window.subarray(safe))
  }
  if (!found) throw malformed()
}

/** Splits a multipart/related upload: the metadata part is parsed, the media part streams. */
export const readMultipart = async (
  request: IncomingMessage,
): Promise<{ meta: Json; media: AsyncIterable<Uint8Array> }> => {
  const boundary = /boundary=(?:"([^"]+)"|'([^']+)'|([^;\s]+))/.exec(request.headers['content-type'] ?? '')
  const name = boundary?.[1] ?? boundary?.[2] ?? boundary?.[3]
  if (name === undefined) throw malformed()
  const opening = Buffer.from(`--${name}`)
  const source = request[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  let head: Buffer = Buffer.alloc(0)
  const more = async (): Promise<void> => {
    const next = await source.next()
    if (next.done || head.length > METADATA_BYTES_MAX) throw malformed()
    head = Buffer.concat([head, next.value])
  }
  const find = async (what: Buffer, from: number): Promise<number> => {
    for (;;) {
      const at = head.indexOf(what, from)
      if (at >= 0) return at
      await more()
    }
  }
  // `gcloud storage` ends its lines with a bare LF.
  const firstLine = (await find(opening, 0)) + opening.length
  const eol = head[(await find(Buffer.from('\n'), firstLine)) - 1] === CARRIAGE_RETURN ? '\r\n' : '\n'
  const headersEnd = Buffer.from(eol + eol)
  const delimiter = Buffer.from(`${eol}--${name}`)
  const metaStart = (await find(headersEnd, firstLine)) + headersEnd.length
  const second = await find(delimiter, metaStart)
  const mediaStart = (await find(headersEnd, second)) + headersEnd.length
  const contentType = /^content-type:\s*(.+?)\s*$/im.exec(String(head.subarray(second, mediaStart)))?.[1]
  const given = parseJson(String(head.subarray(metaStart, second)))
  async function* rest(): AsyncGenerator<Uint8Array> {
    yield head.subarray(mediaStart)
    for (let next = await source.next(); !next.done; next = await source.next()) yield next.value
  }
  return { meta: { ...(contentType === undefined ? {} : { contentType }), ...given }, media: until(rest(), delimiter) }
}
