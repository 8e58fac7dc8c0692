import { createHash } from 'node:crypto'
import { InvalidInputError } from '../errors.ts'

/**
 * Names in the replica, below its prefix. Each is an injective function of what it names and legal in GCS
 * (https://cloud.google.com/storage/docs/objects#naming); a `parse` function answers undefined for any other name.
 */

/** GCS allows 1,024 bytes; the rest is for the replica's prefix. */
export const nameBytesMax = 900

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

// ------------------------------------------------------------------- encoding

const percent = (text: string): string =>
  Array.from(Buffer.from(text), (byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`).join('')

/** Everything but `A-Za-z0-9._-` as %XX; `.` and `..` whole, since some tools take them for folders. */
const encodeSegment = (text: string): string => {
  if (text === '.' || text === '..') return text.replaceAll('.', '%2E')
  if (!text.isWellFormed()) throw new InvalidInputError(`not a text in UTF-8: ${JSON.stringify(text)}`)
  return encodeURIComponent(text).replace(/[!~*'()]/g, percent)
}

/**
 * An object key with its slashes, as far as they divide it into segments that are not empty: `a/b c` is `a/b%20c`,
 * `/a//b/` is `%2Fa/%2Fb%2F`. Throws InvalidInputError where the key is not UTF-8 (a lone surrogate).
 */
export const encodeKey = (key: string): string => {
  const segments = key.split('/').map(encodeSegment)
  return segments.reduce((encoded, segment, index) => {
    const isLast = index === segments.length - 1
    const divides = segments[index - 1] !== '' && !(isLast && segment === '')
    return `${encoded}${divides ? '/' : '%2F'}${segment}`
  })
}

/** The key of `encodeKey`. Throws InvalidInputError on what that never makes. */
export const decodeKey = (encoded: string): string => {
  const key = decodeText(encoded)
  if (key === undefined || encodeKey(key) !== encoded)
    throw new InvalidInputError(`not an encoded key: ${JSON.stringify(encoded)}`)
  return key
}

const decodeText = (encoded: string): string | undefined => {
  try {
    return decodeURIComponent(encoded)
  } catch {
    return undefined
  }
}

// --------------------------------------------------------------------- checks

const matching =
  (what: string, pattern: RegExp) =>
  (text: string): string => {
    if (!pattern.test(text)) throw new InvalidInputError(`not a ${what}: ${JSON.stringify(text)}`)
    return text
  }
const digest = matching('SHA-256 in hex', /^[0-9a-f]{64}$/)
const nonce = matching('nonce in hex', /^[0-9a-f]{1,64}$/)
const token = matching('name of letters, digits, - and _', /^[A-Za-z0-9_-]{1,64}$/)
const bucketName = matching('bucket name', /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,255}$/)
const filled = (what: string, text: string): string => {
  if (text === '') throw new InvalidInputError(`${what} is empty`)
  return text
}

// ------------------------------------------------- content-addressed bodies

const fanned = (folder: string, id: string): string => `${folder}/${digest(id).slice(0, 2)}/${id}`

export const chunkName = (idHex: string): string => fanned('chunks', idHex)
/** Where the true body goes when a wrong one has the chunk's own name. */
export const alternateChunkName = (idHex: string, nonceHex: string): string => `${chunkName(idHex)}~${nonce(nonceHex)}`
export const partName = (idHex: string): string => fanned('parts', idHex)
export const alternatePartName = (idHex: string, nonceHex: string): string => `${partName(idHex)}~${nonce(nonceHex)}`
/** The delta of a chunk against a base, both named by their plain bytes. */
export const deltaName = (idHex: string, baseHex: string): string => `${fanned('deltas', idHex)}.${digest(baseHex)}`

export const alternateDeltaName = (idHex: string, baseHex: string, nonceHex: string): string =>
  `${deltaName(idHex, baseHex)}~${nonce(nonceHex)}`

/** What a name under `chunks/`, `parts/` or `deltas/` holds. */
export type BodyName =
  | { kind: 'chunk' | 'part'; id: string; nonce?: string }
  | { kind: 'delta'; id: string; base: string; nonce?: string }

export const parseBodyName = (name: string): BodyName | undefined => {
  const match =
    /^(chunk|part|delta)s\/([0-9a-f]{2})\/(\2[0-9a-f]{62})(?:\.([0-9a-f]{64}))?(?:~([0-9a-f]{1,64}))?$/.exec(name)
  const [, kind, , id, base, alternate] = match ?? []
  if (!id || (kind === 'delta') !== (base !== undefined)) return undefined
  const beside = alternate === undefined ? {} : { nonce: alternate }
  if (base !== undefined) return { kind: 'delta', id, base, ...beside }
  return { kind: kind === 'part' ? 'part' : 'chunk', id, ...beside }
}

// -------------------------------------------------------------------- records

/** A field of a name: the text, or its SHA-256 where it was too long. */
export type NameField = { text: string } | { sha256: string }

/** `~` is encoded in every text, so that the two can never be confused. */
const hashed = (text: string): string => `~${sha256(text)}`

/** Hashes the fields, the first one first, until the name fits. */
const fitted = (
  fields: readonly [text: string, encoded: string][],
  build: (...encoded: string[]) => string,
): string => {
  const encoded = fields.map((field) => field[1])
  for (const [index, [text]] of fields.entries()) {
    if (build(...encoded).length <= nameBytesMax) break
    encoded[index] = hashed(text)
  }
  return build(...encoded)
}

const keyField = (key: string): [string, string] => [filled('the key', key), encodeKey(key)]
const textField = (what: string, text: string): [string, string] => [filled(what, text), encodeSegment(text)]

const parseField = (encoded: string | undefined, encode: (text: string) => string): NameField | undefined => {
  if (encoded === undefined) return undefined
  const digested = /^~([0-9a-f]{64})$/.exec(encoded)?.[1]
  if (digested !== undefined) return { sha256: digested }
  const text = decodeText(encoded)
  return text !== undefined && text !== '' && encode(text) === encoded ? { text } : undefined
}
const parseKey = (encoded: string | undefined): NameField | undefined => parseField(encoded, encodeKey)
const parseText = (encoded: string | undefined): NameField | undefined => parseField(encoded, encodeSegment)

/** The sealed manifest of one object version, by one plan. */
export const objectManifestName = (bucket: string, key: string, version: string, planId: string): string =>
  fitted(
    [keyField(key), textField('the version', version)],
    (encodedKey, encodedVersion) =>
      `objects/${bucketName(bucket)}/${encodedKey}/${encodedVersion}.${token(planId)}.json`,
  )

export const parseObjectManifestName = (
  name: string,
): { bucket: string; key: NameField; version: NameField; planId: string } | undefined => {
  const match = /^objects\/(?!\.{1,2}\/)([A-Za-z0-9._-]{1,255})\/(.+)\/([^/]+)\.([A-Za-z0-9_-]{1,64})\.json$/.exec(name)
  const key = parseKey(match?.[2])
  const version = parseText(match?.[3])
  if (!match?.[1] || !key || !version || !match[4]) return undefined
  return { bucket: match[1], key, version, planId: match[4] }
}

/** A plan that is not sealed yet; `planId` must itself depend on bucket and key. */
export const pendingName = (version: string, planId: string): string =>
  fitted([textField('the version', version)], (encoded) => `pending/${encoded}.${token(planId)}.json`)

export const parsePendingName = (name: string): { version: NameField; planId: string } | undefined => {
  const match = /^pending\/([^/]+)\.([A-Za-z0-9_-]{1,64})\.json$/.exec(name)
  const version = parseText(match?.[1])
  return version && match?.[2] ? { version, planId: match[2] } : undefined
}

const modelRecord = (folder: string, model: string, version: string, id: string): string =>
  fitted(
    [textField('the model', model), textField('the version', version)],
    (encodedModel, encodedVersion) => `${folder}/${encodedModel}/${encodedVersion}.${token(id)}.json`,
  )

/** The manifest of one release of a model. */
export const releaseName = (model: string, version: string, releaseId: string): string =>
  modelRecord('releases', model, version, releaseId)
/** Why a release is not sealed yet. */
export const waitingName = (model: string, version: string, id: string): string =>
  modelRecord('waiting', model, version, id)

const parseModelRecord =
  (folder: string) =>
  (name: string): { model: NameField; version: NameField; id: string } | undefined => {
    const match = /^([a-z]+)\/([^/]+)\/([^/]+)\.([A-Za-z0-9_-]{1,64})\.json$/.exec(name)
    const model = parseText(match?.[2])
    const version = parseText(match?.[3])
    return match?.[1] === folder && model && version && match[4] ? { model, version, id: match[4] } : undefined
  }
export const parseReleaseName = parseModelRecord('releases')
export const parseWaitingName = parseModelRecord('waiting')

/** Why an object was refused, quarantined or superseded. */
export const failedName = (state: string, traceId: string): string => `failed/${token(state)}/${token(traceId)}.json`

export const parseFailedName = (name: string): { state: string; traceId: string } | undefined => {
  const [, state, traceId] = /^failed\/([A-Za-z0-9_-]{1,64})\/([A-Za-z0-9_-]{1,64})\.json$/.exec(name) ?? []
  return state !== undefined && traceId !== undefined ? { state, traceId } : undefined
}

/** That the source deleted a key; `id` tells one deletion of it from another. */
export const deletedName = (bucket: string, key: string, id: string): string =>
  fitted(
    [keyField(key), textField('the id', id)],
    (encodedKey, encodedId) => `deleted/${bucketName(bucket)}/${encodedKey}/${encodedId}.json`,
  )

export const parseDeletedName = (name: string): { bucket: string; key: NameField; id: NameField } | undefined => {
  const match = /^deleted\/(?!\.{1,2}\/)([A-Za-z0-9._-]{1,255})\/(.+)\/([^/]+)\.json$/.exec(name)
  const key = parseKey(match?.[2])
  const id = parseText(match?.[3])
  return match?.[1] && key && id ? { bucket: match[1], key, id } : undefined
}
