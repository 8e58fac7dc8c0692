import { InvalidInputError } from '../shared/errors.ts'

/** What a user names on the command line. */
export type Target =
  | { kind: 'model'; model: string; version?: string }
  /** `key` still carries `#versionId` where one was given; it may be empty or a prefix for `ls`. */
  | { kind: 'objects'; bucket: string; key: string }

/** Reads `MODEL[@VERSION]` or `s3://bucket/key[#versionId]`. Throws InvalidInputError on anything else. */
export const parseTarget = (text: string): Target => {
  if (text.includes('://')) {
    const match = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/(.*))?$/s.exec(text)
    if (!match?.[1]) throw new InvalidInputError(`found "${text}", expected s3://bucket/key`)
    return { kind: 'objects', bucket: match[1], key: match[2] ?? '' }
  }
  const at = text.lastIndexOf('@')
  const model = at > 0 ? text.slice(0, at) : text
  const version = at > 0 ? text.slice(at + 1) : undefined
  if (model === '' || version === '') throw new InvalidInputError(`found "${text}", expected MODEL or MODEL@VERSION`)
  return { kind: 'model', model, ...(version === undefined ? {} : { version }) }
}
