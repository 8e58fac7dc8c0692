/** `family` is the number that the table gave it when it was made; `qualifier` is latin1, so that strings order as bytes. */
export type Cell = { family: number; qualifier: string; timestamp: bigint; value: Buffer; labels?: string[] }

/** Families in the order in which they were made, then qualifiers by bytes, then the newest cell first. */
export const compareCells = (a: Cell, b: Cell): number => {
  if (a.family !== b.family) return a.family - b.family
  if (a.qualifier !== b.qualifier) return a.qualifier < b.qualifier ? -1 : 1
  if (a.timestamp === b.timestamp) return 0
  return a.timestamp > b.timestamp ? -1 : 1
}

export const isSameColumn = (a: Cell, b: Cell): boolean => a.family === b.family && a.qualifier === b.qualifier

const headerBytes = 2 + 4 + 8 + 4

/** Each cell as family (u16), length and bytes of its qualifier, timestamp (i64), length (u32) and bytes of its value. */
export const encodeCells = (cells: readonly Cell[]): Buffer => {
  let size = 0
  for (const { qualifier, value } of cells) size += headerBytes + qualifier.length + value.length
  const bytes = Buffer.allocUnsafe(size)
  let at = 0
  for (const { family, qualifier, timestamp, value } of cells) {
    at = bytes.writeUInt16LE(family, at)
    at = bytes.writeUInt32LE(qualifier.length, at)
    at += bytes.write(qualifier, at, 'latin1')
    at = bytes.writeBigInt64LE(timestamp, at)
    at = bytes.writeUInt32LE(value.length, at)
    at += value.copy(bytes, at)
  }
  return bytes
}

/** The cells of the families in `families`; those of a dropped one stay unread. Values are views of `bytes`. */
export const decodeCells = (bytes: Buffer, families: { has(family: number): boolean }): Cell[] => {
  const cells: Cell[] = []
  let at = 0
  while (at < bytes.length) {
    const family = bytes.readUInt16LE(at)
    const qualifierEnd = at + 6 + bytes.readUInt32LE(at + 2)
    const valueStart = qualifierEnd + 12
    const valueEnd = valueStart + bytes.readUInt32LE(qualifierEnd + 8)
    if (families.has(family))
      cells.push({
        family,
        qualifier: bytes.toString('latin1', at + 6, qualifierEnd),
        timestamp: bytes.readBigInt64LE(qualifierEnd),
        value: bytes.subarray(valueStart, valueEnd),
      })
    at = valueEnd
  }
  return cells
}
