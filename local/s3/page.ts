/** Where a listing goes on: at the first key >= `key`; with `past`, within `key` itself, past the row of that rank. */
export type Position = { key: Buffer; past?: number }

type Keyed = { key: Uint8Array; rank: number }
export type Page<Row> = {
  rows: Row[]
  prefixes: string[]
  /** The last row or common prefix of the page, and where the next page begins; absent when there is no more. */
  next?: { last: Row | string; position: Position }
}

const batchRows = 1000

/** The first key that follows every key beginning with `prefix`: no byte of UTF-8 is 0xff, so the last one can grow. */
export const afterPrefix = (prefix: Buffer): Buffer => {
  if (prefix.length === 0) return Buffer.from([0xff])
  const end = Buffer.from(prefix)
  end[end.length - 1] = (end.at(-1) ?? 0) + 1
  return end
}

/** The smallest key that is greater than `key`. */
export const afterKey = (key: Uint8Array): Buffer => Buffer.concat([key, Buffer.of(0)])

const commonPrefix = (key: Buffer, prefix: Buffer, delimiter: Buffer): Buffer | undefined => {
  if (delimiter.length === 0) return undefined
  const at = key.indexOf(delimiter, prefix.length)
  return at < 0 ? undefined : key.subarray(0, at + delimiter.length)
}

/** A key to list after; one that is a common prefix of this listing stands for all the keys below it. */
export const afterMarker = (marker: string, prefix: string, delimiter: string): Position => {
  const key = Buffer.from(marker)
  const common = commonPrefix(key, Buffer.from(prefix), Buffer.from(delimiter))
  const isCommon = marker.startsWith(prefix) && common?.length === key.length
  return { key: isCommon ? afterPrefix(key) : afterKey(key) }
}

/**
 * Collects up to `max` rows and common prefixes. `fetch` answers rows in order from a position on, below `end`; the
 * keys under a common prefix are skipped, not read.
 */
export const collectPage = <Row extends Keyed>(options: {
  prefix: string
  delimiter: string
  max: number
  from: Position
  fetch: (from: Position, end: Buffer, limit: number) => Row[]
}): Page<Row> => {
  const prefix = Buffer.from(options.prefix)
  const delimiter = Buffer.from(options.delimiter)
  const end = afterPrefix(prefix)
  const page: Page<Row> = { rows: [], prefixes: [] }
  let position = Buffer.compare(options.from.key, prefix) < 0 ? { key: prefix } : options.from
  let last: Row | string | undefined
  for (;;) {
    const limit = Math.min(batchRows, options.max - page.rows.length - page.prefixes.length + 1)
    const rows = options.fetch(position, end, limit)
    let skipped = false
    for (const row of rows) {
      if (page.rows.length + page.prefixes.length >= options.max)
        return last === undefined ? page : { ...page, next: { last, position } }
      const common = commonPrefix(Buffer.from(row.key), prefix, delimiter)
      if (common) {
        last = common.toString()
        page.prefixes.push(last)
        position = { key: afterPrefix(common) }
        skipped = true
        break
      }
      last = row
      page.rows.push(row)
      position = { key: Buffer.from(row.key), past: row.rank }
    }
    if (!skipped && rows.length < limit) return page
  }
}
