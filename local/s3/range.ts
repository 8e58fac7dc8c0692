import { S3Error } from './errors.ts'

/** Bytes [start, end). */
export type Slice = { start: number; end: number }

const notSatisfiable = (range: string, size: number): S3Error =>
  new S3Error(416, 'InvalidRange', 'The requested range is not satisfiable', {
    headers: { 'content-range': `bytes */${size}` },
    details: { RangeRequested: range, ActualObjectSize: size },
  })

/** The slice that a Range header asks for; undefined where S3 ignores it: another unit, several ranges, nonsense. */
export const parseRange = (range: string | undefined, size: number): Slice | undefined => {
  const match = /^bytes=(\d*)-(\d*)$/.exec(range?.trim() ?? '')
  if (!range || !match || (match[1] === '' && match[2] === '')) return undefined
  const [first, last] = [match[1] ?? '', match[2] ?? '']
  if (first === '') {
    const length = Math.min(Number(last), size)
    if (length === 0) throw notSatisfiable(range, size)
    return { start: size - length, end: size }
  }
  if (last !== '' && Number(last) < Number(first)) return undefined
  if (Number(first) >= size) throw notSatisfiable(range, size)
  return { start: Number(first), end: last === '' ? size : Math.min(Number(last) + 1, size) }
}
