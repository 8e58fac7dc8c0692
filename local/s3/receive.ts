import { createHash } from 'node:crypto'
import type { BodyWriter } from './bodies.ts'
import { type Call, header } from './call.ts'
import { type Algorithm, algorithms, checksumHeader, createDigester, digestBytes, isAlgorithm } from './checksums.ts'
import { decodeChunked } from './chunked.ts'
import { invalidArgument, invalidRequest, notImplemented, S3Error } from './errors.ts'

/** `declared` is what the client gave, verified; `checksums` also has what the server computed for itself. */
export type Received = {
  size: number
  md5: Buffer
  checksums: Map<Algorithm, string>
  declared?: Algorithm
}

const prefix = 'x-amz-checksum-'
const notAlgorithms = new Set(['x-amz-checksum-mode', 'x-amz-checksum-algorithm', 'x-amz-checksum-type'])

const toAlgorithm = (name: string): Algorithm => {
  const algorithm = name.slice(prefix.length).toUpperCase()
  if (!isAlgorithm(algorithm)) throw notImplemented(name)
  return algorithm
}

/** The one checksum algorithm that the client announces, by header or trailer. */
export const declaredAlgorithm = (call: Call): Algorithm | undefined => {
  const names = Object.keys(call.request.headers).filter((name) => name.startsWith(prefix) && !notAlgorithms.has(name))
  const trailers = (header(call, 'x-amz-trailer') ?? '').split(',').map((name) => name.trim().toLowerCase())
  names.push(...trailers.filter((name) => name.startsWith(prefix)))
  if (names.length > 1)
    throw invalidRequest('Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.')
  return names[0] === undefined ? undefined : toAlgorithm(names[0])
}

export const checkFormat = (algorithm: Algorithm, value: string): void => {
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== digestBytes[algorithm] || bytes.toString('base64') !== value)
    throw invalidRequest(`Value for ${checksumHeader(algorithm)} header is invalid.`)
}

const readContentMd5 = (call: Call): string | undefined => {
  const md5 = header(call, 'content-md5')
  if (md5 !== undefined && Buffer.from(md5, 'base64').length !== 16)
    throw new S3Error(400, 'InvalidDigest', 'The Content-MD5 you specified was invalid.', {
      details: { 'Content-MD5': md5 },
    })
  return md5
}

const isChunked = (call: Call): boolean =>
  (header(call, 'x-amz-content-sha256') ?? '').startsWith('STREAMING-') ||
  (header(call, 'content-encoding') ?? '').split(',').some((coding) => coding.trim() === 'aws-chunked')

const expectedSize = (call: Call, chunked: boolean): number => {
  const length = header(call, chunked ? 'x-amz-decoded-content-length' : 'content-length')
  if (length === undefined || !/^\d{1,15}$/.test(length))
    throw new S3Error(411, 'MissingContentLength', 'You must provide the Content-Length HTTP header.')
  return Number(length)
}

const badDigest = (what: string): S3Error =>
  new S3Error(400, 'BadDigest', `The ${what} you specified did not match the calculated checksum.`)

const verifyChecksum = (call: Call, algorithm: Algorithm, computed: string, trailers: Map<string, string>): void => {
  const name = checksumHeader(algorithm)
  const given = header(call, name) ?? trailers.get(name)
  if (given === undefined)
    throw new S3Error(400, 'MalformedTrailerError', `The trailer ${name} was announced and did not come`)
  checkFormat(algorithm, given)
  if (given !== computed) throw badDigest(algorithm)
}

const contentSha256 = (call: Call): string | undefined => {
  const value = header(call, 'x-amz-content-sha256')
  if (value === undefined || value === 'UNSIGNED-PAYLOAD' || value.startsWith('STREAMING-')) return undefined
  if (!/^[0-9a-f]{64}$/.test(value))
    throw invalidArgument(
      'x-amz-content-sha256',
      value,
      'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD, or a valid sha256 value.',
    )
  return value
}

/**
 * Passes the plain bytes of a request body to `write` and checks everything the client said of them: sizes,
 * Content-MD5, payload hash, and the checksum of a header or trailer. `compute` are the algorithms wanted besides.
 */
export const receive = async (
  call: Call,
  compute: Iterable<Algorithm>,
  write: (chunk: Uint8Array) => Promise<void> | void,
): Promise<Received> => {
  const declared = declaredAlgorithm(call)
  const md5 = readContentMd5(call)
  const payloadHash = contentSha256(call)
  const chunked = isChunked(call)
  const size = expectedSize(call, chunked)
  const sha256 = payloadHash === undefined ? undefined : createHash('sha256')
  const digester = await createDigester(new Set([...compute, ...(declared ? [declared] : [])]))
  const trailers = new Map<string, string>()
  for await (const chunk of chunked ? decodeChunked(call.request, trailers) : (call.request as AsyncIterable<Buffer>)) {
    digester.update(chunk)
    sha256?.update(chunk)
    await write(chunk)
  }
  const received = digester.finish()
  if (received.size !== size)
    throw new S3Error(
      400,
      'IncompleteBody',
      'You did not provide the number of bytes specified by the Content-Length HTTP header',
    )
  if (md5 !== undefined && md5 !== received.md5.toString('base64')) throw badDigest('Content-MD5')
  if (sha256 && sha256.digest('hex') !== payloadHash)
    throw new S3Error(
      400,
      'XAmzContentSHA256Mismatch',
      "The provided 'x-amz-content-sha256' header does not match what was computed.",
    )
  if (declared) verifyChecksum(call, declared, received.checksums.get(declared) ?? '', trailers)
  return { ...received, ...(declared ? { declared } : {}) }
}

/** Streams the request body into a new body file; nothing stays of it when a check fails. */
export const receiveBody = async (
  call: Call,
  compute: Iterable<Algorithm>,
): Promise<Received & { writer: BodyWriter }> => {
  const writer = call.s3.bodies.create()
  try {
    const received = await receive(call, compute, (chunk) => writer.write(chunk))
    await writer.finish()
    call.s3.traffic.bytesWritten += received.size
    call.s3.traffic.puts += 1
    return { ...received, writer }
  } catch (error) {
    await writer.discard()
    throw error
  }
}

const documentBytesMax = 4 * 2 ** 20

/** A small XML body as text, checked like an object's. */
export const receiveText = async (call: Call): Promise<{ text: string; checked: boolean }> => {
  const parts: Uint8Array[] = []
  let size = 0
  const received = await receive(call, [], (chunk) => {
    size += chunk.length
    if (size > documentBytesMax)
      throw new S3Error(400, 'MaxMessageLengthExceeded', 'Your request was too large.', {
        details: { MaxMessageLengthBytes: documentBytesMax },
      })
    parts.push(chunk)
  })
  const checked = received.declared !== undefined || header(call, 'content-md5') !== undefined
  return { text: Buffer.concat(parts).toString('utf8'), checked }
}

/** The algorithm of `x-amz-checksum-algorithm`, the one wanted for what the server will compute. */
export const requestedAlgorithm = (call: Call): Algorithm | undefined => {
  const name = header(call, 'x-amz-checksum-algorithm')?.toUpperCase()
  if (name === undefined) return undefined
  if (!isAlgorithm(name))
    throw invalidRequest(
      `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${algorithms.join(', ')}]`,
    )
  return name
}

/** True where the object shall have no S3 checksum, like those from before 2025. */
export const wantsNoChecksum = (call: Call): boolean => header(call, 'x-lifeboat-no-checksum') === 'true'
