import { InvalidInputError } from '../errors.ts'

/** What one page took, by which the next one is paced. */
export type PageDone = { items: number; bytes: number; readUnits: number; isLast: boolean }

/** A cursor as `parse` reads it; undefined at the start. Throws InvalidInputError on one of another kind of page. */
export const cursorOf = <T>(parse: (value: unknown) => T | undefined, value: unknown): T | undefined => {
  if (value === null) return undefined
  const cursor = parse(value)
  if (cursor === undefined) throw new InvalidInputError(`not a cursor: ${JSON.stringify(value).slice(0, 200)}`)
  return cursor
}
