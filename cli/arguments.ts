import { InvalidArgumentError } from 'commander'
import { InvalidInputError } from '../shared/errors.ts'

/** Values of options, as a user writes them. */

export const parseLimit = (text: string): number => {
  const limit = Number(text)
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError('expected a whole number from 1.')
  return limit
}

/** `2026-05-01T12:00:00Z`, of a second since 1970. */
export const formatSecond = (second: number): string => new Date(second * 1000).toISOString().replace('.000Z', 'Z')

const rfc3339 = /^(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)?$/

/**
 * The second since 1970 of an RFC 3339 time, a fraction left out. Throws InvalidInputError without a zone, for a day or an
 * hour that does not exist, and for a second that is not over at `nowMs`.
 */
export const parsePastSecond = (text: string, nowMs: number): number => {
  const refuse = (reason: string): never => {
    throw new InvalidInputError(`--at: found "${text}", ${reason}`)
  }
  const [, day = '', clock = '', zone] = rfc3339.exec(text) ?? []
  if (day === '') return refuse('expected a time of RFC 3339, such as 2026-05-01T12:00:00Z')
  if (zone === undefined) return refuse(`expected a zone: ${day}T${clock}Z, or +02:00 in place of Z`)
  const local = Date.parse(`${day}T${clock}Z`)
  // JavaScript takes the 30th of February for the 2nd of March.
  const exists = !Number.isNaN(local) && new Date(local).toISOString().startsWith(`${day}T${clock}`)
  const atMs = Date.parse(`${day}T${clock}${zone.toUpperCase()}`)
  if (!exists || Number.isNaN(atMs)) return refuse('which is no time of any day')
  const second = atMs / 1000
  const nowSecond = Math.floor(nowMs / 1000)
  if (second > nowSecond) return refuse(`which is in the future: it is ${formatSecond(nowSecond)}`)
  if (second === nowSecond) return refuse('a second that is not over yet: without --at it is what is there now')
  return second
}
