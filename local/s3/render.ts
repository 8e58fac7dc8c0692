import type { Call } from './call.ts'
import type { Algorithm, ChecksumType } from './checksums.ts'
import { invalidArgument } from './errors.ts'
import { element, optional, type Xml, type XmlContent } from './xml.ts'

/** S3 knows times to the second and writes them with `.000`. */
export const isoSeconds = (ms: number): string => new Date(Math.floor(ms / 1000) * 1000).toISOString()

export const checksumElement = (algorithm: Algorithm | null, value: string | null): Xml | undefined =>
  algorithm && value ? element(`Checksum${algorithm}`, value) : undefined

export const checksumElements = (row: {
  algorithm: Algorithm | null
  checksumType: ChecksumType | null
  checksum: string | null
}): XmlContent[] => [checksumElement(row.algorithm, row.checksum), optional('ChecksumType', row.checksumType)]

/** The one account that owns everything here. */
export const ownerElement = (call: Call, name = 'Owner'): Xml =>
  element(name, element('ID', call.s3.account.padStart(64, '0')), element('DisplayName', 'lifeboat'))

/** Percent-encodes as S3 does in listings and notifications: a space is '+', and `/ - _ . *` stay. */
export const encodeKey = (key: string): string =>
  encodeURIComponent(key)
    .replace(/[!'()~]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll('%2F', '/')
    .replaceAll('%20', '+')

/** How a listing writes keys: plain, or percent-encoded with encoding-type=url. */
export const keyEncoder = (call: Call): ((key: string) => string) => {
  const type = call.query.get('encoding-type')
  if (type !== null && type !== 'url')
    throw invalidArgument('encoding-type', type, 'Invalid Encoding Method specified in Request')
  return type === 'url' ? encodeKey : (key) => key
}

/** A count of a query or header, at most 1,000 as S3 answers no more at once. */
export const readCount = (name: string, text: string | null | undefined): number => {
  if (text === null || text === undefined || text === '') return 1000
  if (!/^\d{1,10}$/.test(text) || Number(text) > 2_147_483_647)
    throw invalidArgument(name, text, `Provided ${name} not an integer or within integer range`)
  return Math.min(Number(text), 1000)
}
