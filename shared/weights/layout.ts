import type { Refusal, Tensor } from './safetensors.ts'

/** Where the tensors of a file lie: [0, dataStart) is its header, and `tensors` tile the rest in order of start. */
export type Layout = { ok: true; cutter: string; dataStart: number; tensors: Tensor[] }

/** The bytes [start, end) of the file, which has them. */
export type ReadRange = (start: number, end: number) => Promise<Uint8Array>

/** What lies between tensors (padding, headers of a container's own) and has no elements. */
export const opaqueDtype = 'opaque'

const gap = (start: number, end: number): Tensor => ({
  name: '',
  dtype: opaqueDtype,
  shape: [end - start],
  start,
  end,
})

/** Fills what lies between tensors; refused where two overlap or one ends after the file. */
export const laidOut = (
  cutter: string,
  dataStart: number,
  tensors: readonly Tensor[],
  size: number,
): Layout | Refusal => {
  if (!(Number.isSafeInteger(dataStart) && dataStart >= 0 && dataStart <= size))
    return { ok: false, reason: `its data would begin at byte ${dataStart} of ${size}` }
  const tiles: Tensor[] = []
  let covered = dataStart
  for (const tensor of tensors.toSorted((a, b) => a.start - b.start || a.end - b.end)) {
    const { name, start, end } = tensor
    if (!(Number.isSafeInteger(start) && Number.isSafeInteger(end) && start >= covered && end >= start))
      return { ok: false, reason: `the tensor ${JSON.stringify(name)} at byte ${start} overlaps what is before it` }
    if (start > covered) tiles.push(gap(covered, start))
    tiles.push(tensor)
    covered = end
  }
  if (!(covered <= size))
    return { ok: false, reason: `the tensors end at byte ${covered}, the file at ${size}: it is cut short` }
  if (covered < size) tiles.push(gap(covered, size))
  return { ok: true, cutter, dataStart, tensors: tiles }
}
