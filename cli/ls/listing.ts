import type { BlobStore } from '../../shared/ports.ts'
import { AnsweredError, exitCodes } from '../exit-codes.ts'
import type { Squeeze } from '../fit.ts'

/** What a listing may use: `width` is that of the terminal, `limit` what the user gave. */
export type View = { store: BlobStore; nowMs: number; width: number | undefined; limit: number | undefined }

/** The result, for `--json` and for people; `damaged` are records that may belong to it and cannot be read. */
export type Listing = { json: Record<string, unknown>; text: string; damaged?: readonly string[] }

const namesShownMax = 5

/** Ends the command where what it has printed lacks something that is damaged. */
export const failIfDamaged = ({ damaged = [] }: Listing): void => {
  if (damaged.length === 0) return
  const names = damaged.slice(0, namesShownMax).join(', ')
  const more = damaged.length > namesShownMax ? ` and ${damaged.length - namesShownMax} more` : ''
  throw new AnsweredError(exitCodes.corrupt, `not all is told, this cannot be read: ${names}${more}`)
}

/** Records that are read at most, of each kind, unless the user says otherwise. */
export const recordsMaxDefault = 1000
/** Names that are looked at, unless the user says otherwise: some 100 pages, a minute at most. */
export const namesMaxDefault = 100_000

/** A version id is long and its beginning is enough to name it. */
export const versionSqueeze = (column: string): Squeeze => ({ column, to: 'end', charactersMin: 9 })
export const noteSqueeze = (column: string, charactersMin = 16): Squeeze => ({ column, to: 'wrap', charactersMin })
export const keySqueeze = (column: string, charactersMin = 32): Squeeze => ({ column, to: 'middle', charactersMin })
