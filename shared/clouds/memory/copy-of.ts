/** A row as the table would give it back: of its own, and without fields that are undefined. Faster than structuredClone. */
export const copyOf = <T>(row: T): T => (row === undefined ? row : (JSON.parse(JSON.stringify(row)) as T))
