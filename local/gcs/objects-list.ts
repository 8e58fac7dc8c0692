import { sendJson } from '../http.ts'
import { invalid, notImplemented } from './api-error.ts'
import { flag, requireBucket, toResource, type Call } from './call.ts'
import type { Cursor, Json, ObjectRow } from './metadata-store.ts'

const PAGE_MAX = 1000

/** `group` is the common prefix that the page before ended with: its other names are not told again. */
type PageToken = Cursor & { group?: string }

const parseToken = (text: string): PageToken => {
  try {
    return JSON.parse(String(Buffer.from(text, 'base64url'))) as PageToken
  } catch {
    throw invalid('Invalid page token')
  }
}

const utf8Less = (a: string, b: string): boolean => Buffer.compare(Buffer.from(a), Buffer.from(b)) < 0

type Question = {
  prefix: string
  delimiter: string
  trailing: boolean
  endOffset: string
  versions: boolean
  max: number
}

const parseQuestion = (query: URLSearchParams): Question => {
  for (const unsupported of ['matchGlob', 'filter']) if (query.has(unsupported)) throw notImplemented(unsupported)
  if (flag(query, 'softDeleted')) throw notImplemented('soft deletion')
  const max = Number(query.get('maxResults') ?? PAGE_MAX)
  if (!Number.isInteger(max) || max < 1) throw invalid('Invalid value for maxResults')
  return {
    prefix: query.get('prefix') ?? '',
    delimiter: query.get('delimiter') ?? '',
    trailing: flag(query, 'includeTrailingDelimiter'),
    endOffset: query.get('endOffset') ?? '',
    versions: flag(query, 'versions'),
    max: Math.min(max, PAGE_MAX),
  }
}

const startOf = (query: URLSearchParams, prefix: string): PageToken => {
  const token = query.get('pageToken')
  if (token) return parseToken(token)
  const offset = query.get('startOffset') ?? ''
  return { name: utf8Less(prefix, offset) ? offset : prefix, generation: -1 }
}

const groupOf = (name: string, { prefix, delimiter }: Question): string | undefined => {
  const at = delimiter === '' ? -1 : name.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : name.slice(0, at + delimiter.length)
}

type Page = { rows: ObjectRow[]; groups: string[]; next?: PageToken }

const collect = (call: Call, bucket: string, question: Question): Page => {
  const page: Page = { rows: [], groups: [] }
  let place = startOf(call.query, question.prefix)
  for (let jumped = true; jumped;) {
    jumped = false
    for (const row of call.gcs.store.list(bucket, place, question.versions)) {
      const { name } = row.meta
      if (!name.startsWith(question.prefix)) return page
      if (question.endOffset !== '' && !utf8Less(name, question.endOffset)) return page
      const group = groupOf(name, question)
      const item = group === undefined || (question.trailing && name === group)
      const full = (): boolean => page.rows.length + page.groups.length >= question.max
      if (group !== undefined && group !== place.group) {
        if (full()) return { ...page, next: place }
        page.groups.push(group)
        place = { name, generation: row.generation - 1, group }
      }
      if (item) {
        if (full()) return { ...page, next: place }
        page.rows.push(row)
      }
      place = { name, generation: row.generation, ...(group === undefined ? {} : { group }) }
      if (group !== undefined && !item) {
        // Past all but the names of a group that hold the very last code point, which the test above then skips.
        place = { name: `${group}\u{10FFFF}`, generation: 0, group }
        jumped = true
        break
      }
    }
  }
  return page
}

/** GET /b/BUCKET/o in UTF-8 byte order. */
export const listObjects = (call: Call, bucket: string): void => {
  requireBucket(call.gcs, bucket)
  call.caller.need('storage.objects.list')
  const { rows, groups, next } = collect(call, bucket, parseQuestion(call.query))
  const answer: Json = {
    kind: 'storage#objects',
    ...(next ? { nextPageToken: Buffer.from(JSON.stringify(next)).toString('base64url') } : {}),
    ...(groups.length > 0 ? { prefixes: groups } : {}),
    ...(rows.length > 0 ? { items: rows.map((row) => toResource(call.base, row.meta)) } : {}),
  }
  sendJson(call.response, 200, answer)
}
