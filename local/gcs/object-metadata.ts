import { invalid, notImplemented } from './api-error.ts'
import type { Json, ObjectMeta } from './metadata-store.ts'

const TEXT_FIELDS = [
  'cacheControl',
  'contentDisposition',
  'contentEncoding',
  'contentLanguage',
  'contentType',
  'customTime',
  'storageClass',
]

const refuseHolds = (given: Json): void => {
  for (const field of ['temporaryHold', 'eventBasedHold'])
    if (given[field] === true) throw notImplemented(`object holds (${field})`)
}

const userMetadata = (given: unknown): Record<string, string | null> => {
  if (typeof given !== 'object' || given === null) throw invalid('Invalid value for: metadata')
  for (const [key, value] of Object.entries(given))
    if (value !== null && typeof value !== 'string') throw invalid(`Invalid value for metadata.${key}: not a string`)
  return given as Record<string, string | null>
}

const withoutNulls = (fields: Record<string, string | null>): Record<string, string> =>
  Object.fromEntries(Object.entries(fields).filter((entry): entry is [string, string] => entry[1] !== null))

/** The fields of `given` that a client may set, without retention; unknown and output-only ones are dropped as GCS does. */
export const writableFields = (given: Json): Json => {
  refuseHolds(given)
  const fields: Json = {}
  for (const field of TEXT_FIELDS) {
    const value = given[field]
    if (value === undefined || value === null) continue
    if (typeof value !== 'string') throw invalid(`Invalid value for: ${field}`)
    fields[field] = value
  }
  if (given['metadata']) fields['metadata'] = withoutNulls(userMetadata(given['metadata']))
  return fields
}

/** `current` with a patch applied: null removes a field, or a key of `metadata`; what is not named stays. */
export const patchFields = (current: ObjectMeta, given: Json): ObjectMeta => {
  const next: ObjectMeta = { ...current }
  Object.assign(next, writableFields({ ...given, metadata: undefined }))
  for (const field of TEXT_FIELDS) if (given[field] === null) delete next[field]
  if (given['metadata'] === null) delete next.metadata
  else if (given['metadata'] !== undefined) {
    const merged = withoutNulls({ ...current.metadata, ...userMetadata(given['metadata']) })
    if (Object.keys(merged).length > 0) next.metadata = merged
    else delete next.metadata
  }
  return next
}

/** `current` with every writable field replaced by `given`'s, as an update does. */
export const replaceFields = (current: ObjectMeta, given: Json): ObjectMeta => {
  const next: ObjectMeta = { ...current }
  for (const field of [...TEXT_FIELDS, 'metadata']) if (field !== 'storageClass') delete next[field]
  return Object.assign(next, writableFields(given))
}

const NAME_BYTES_MAX = 1024

/** https://cloud.google.com/storage/docs/objects#naming */
export const checkObjectName = (name: unknown): string => {
  if (typeof name !== 'string' || name === '') throw invalid('Required object name')
  if (Buffer.byteLength(name) > NAME_BYTES_MAX || /[\r\n]/.test(name) || name === '.' || name === '..')
    throw invalid(`Invalid object name: ${name}`)
  return name
}
