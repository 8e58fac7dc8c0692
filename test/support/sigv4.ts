import { createHash, createHmac } from 'node:crypto'

/** A signed request as it is presented, with header names in lower case. */
export type SignedRequest = { method: string; url: string; headers: ReadonlyMap<string, string>; body?: string }

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/**
 * What is wrong with a signature of version 4, recomputed by its specification; undefined where it is right.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/create-signed-request.html
 */
export const signatureProblem = (request: SignedRequest, secretAccessKey: string): string | undefined => {
  const { method, url, headers, body = '' } = request
  const pattern =
    /^AWS4-HMAC-SHA256 Credential=([^/]+)\/(\d{8})\/([^/]+)\/([^/]+)\/aws4_request, ?SignedHeaders=([^,]+), ?Signature=([0-9a-f]{64})$/
  const [, , date = '', region = '', service = '', signed = '', signature] =
    pattern.exec(headers.get('authorization') ?? '') ?? []
  if (signature === undefined) return 'no authorization of version 4'
  const at = headers.get('x-amz-date') ?? ''
  if (!at.startsWith(date)) return 'another day than x-amz-date'
  const names = signed.split(';')
  if (!names.includes('host') || !names.includes('x-amz-date')) return 'host or x-amz-date is not signed'
  if (headers.has('x-amz-security-token') && !names.includes('x-amz-security-token')) return 'the token is not signed'
  const { pathname, searchParams } = new URL(url)
  const query = [...searchParams].map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
  const lines = names.map((name) => `${name}:${(headers.get(name) ?? '').trim()}\n`).join('')
  const canonical = [method, pathname, query.sort().join('&'), lines, signed, sha256(body)].join('\n')
  const scope = `${date}/${region}/${service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', at, scope, sha256(canonical)].join('\n')
  const key = [date, region, service, 'aws4_request'].reduce<string | Buffer>(hmac, `AWS4${secretAccessKey}`)
  return hmac(key, toSign).toString('hex') === signature ? undefined : 'the signature is of another request or secret'
}
