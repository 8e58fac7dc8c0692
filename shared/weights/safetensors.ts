/** Offsets are absolute in the file: the tensor is the bytes [start, end). */
export type Tensor = { name: string; dtype: string; shape: number[]; start: number; end: number }
export type Refusal = { ok: false; reason: string }
export type SafetensorsHeader = { ok: true; dataStart: number; tensors: Tensor[]; metadata: Record<string, string> }

export const headerBytesMax = 32 * 2 ** 20

const lengthBytes = 8
/** NumPy and PyTorch stop at 64. */
const dimensionsMax = 64
const bitsOf: ReadonlyMap<string, number> = new Map([
  ...['F4'].map((dtype) => [dtype, 4] as const),
  ...['F6_E2M3', 'F6_E3M2'].map((dtype) => [dtype, 6] as const),
  ...['BOOL', 'U8', 'I8', 'F8_E4M3', 'F8_E5M2', 'F8_E8M0', 'F8_E4M3FNUZ', 'F8_E5M2FNUZ'].map(
    (dtype) => [dtype, 8] as const,
  ),
  ...['U16', 'I16', 'F16', 'BF16'].map((dtype) => [dtype, 16] as const),
  ...['U32', 'I32', 'F32'].map((dtype) => [dtype, 32] as const),
  ...['U64', 'I64', 'F64', 'C64'].map((dtype) => [dtype, 64] as const),
])

/** Carries a reason out of the parser; never leaves this file. */
class Refused extends Error {}
const refuse = (reason: string): never => {
  throw new Refused(reason)
}

const shown = (name: string): string => JSON.stringify(name.length > 80 ? `${name.slice(0, 80)}…` : name)
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

/** Bytes of the JSON alone, from the u64 that begins the file; the header is these and the 8 of the u64. */
export const headerLength = (first8: Uint8Array, fileSize: number): { ok: true; bytes: number } | Refusal => {
  if (fileSize < lengthBytes || first8.length < lengthBytes)
    return { ok: false, reason: `the file ends inside the ${lengthBytes}-byte header length` }
  const claimed = new DataView(first8.buffer, first8.byteOffset, lengthBytes).getBigUint64(0, true)
  if (claimed > BigInt(headerBytesMax))
    return { ok: false, reason: `the header claims ${claimed} bytes, more than the limit of ${headerBytesMax}` }
  const bytes = Number(claimed)
  if (lengthBytes + bytes > fileSize)
    return { ok: false, reason: `the header claims ${bytes} bytes, past the end of a file of ${fileSize}` }
  return { ok: true, bytes }
}

/** The keys of the outermost object of valid JSON, as written, so that JSON.parse cannot hide a repeated one. */
function* topLevelKeys(json: string): Generator<string> {
  let depth = 0
  let keyNext = false
  for (let at = 0; at < json.length; at += 1) {
    const character = json[at]
    if (character === '"') {
      const begin = at
      for (at += 1; json[at] !== '"'; at += 1) if (json[at] === '\\') at += 1
      if (depth === 1 && keyNext) yield String(JSON.parse(json.slice(begin, at + 1)))
      keyNext = false
    } else if (character === '{' || character === '[') {
      depth += 1
      keyNext = depth === 1
    } else if (character === '}' || character === ']') depth -= 1
    else if (character === ',') keyNext = depth === 1
  }
}

const readJson = (bytes: Uint8Array): Record<string, unknown> => {
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return refuse('the header is not UTF-8')
  }
  if (!text.startsWith('{')) return refuse('the header does not begin with {')
  let parsed: unknown
  try {
    parsed = JSON.parse(text)
  } catch (error) {
    return refuse(`the header is not valid JSON: ${error instanceof Error ? error.message : String(error)}`)
  }
  if (!isRecord(parsed)) return refuse('the header is not a JSON object')
  const seen = new Set<string>()
  for (const key of topLevelKeys(text)) {
    if (seen.has(key)) return refuse(`the name ${shown(key)} appears twice in the header`)
    seen.add(key)
  }
  return parsed
}

const readMetadata = (value: unknown): Record<string, string> => {
  if (value === undefined) return {}
  if (!isRecord(value)) return refuse('__metadata__ is not an object')
  const entries = Object.entries(value).map(([key, text]): [string, string] =>
    typeof text === 'string' ? [key, text] : refuse(`__metadata__ ${shown(key)} is not a string`),
  )
  return Object.fromEntries(entries)
}

/** Refuses a product that a float would round, which is never a real tensor. */
const elementsOf = (name: string, shape: readonly number[]): number => {
  if (shape.includes(0)) return 0
  let elements = 1
  for (const size of shape) elements *= size
  return Number.isSafeInteger(elements) ? elements : refuse(`tensor ${shown(name)}: its shape has too many elements`)
}

const readTensor = (name: string, value: unknown, dataStart: number, dataBytes: number): Tensor => {
  const bad = (what: string): never => refuse(`tensor ${shown(name)}: ${what}`)
  if (!isRecord(value)) return bad('is not an object')
  const { dtype, shape, data_offsets: offsets } = value
  if (typeof dtype !== 'string' || dtype === '') return bad('dtype is not a name')
  // A part of the tensor index must stay of a size that its readers accept.
  if (Array.isArray(shape) && shape.length > dimensionsMax)
    return bad(`shape has more than ${dimensionsMax} dimensions`)
  if (!Array.isArray(shape) || !shape.every(isCount)) return bad('shape is not a list of whole numbers from 0')
  if (!Array.isArray(offsets) || offsets.length !== 2) return bad('data_offsets is not a pair')
  const [begin, end]: unknown[] = offsets
  if (!isCount(begin) || !isCount(end)) return bad('data_offsets are not whole numbers from 0')
  if (begin > end) return bad(`data_offsets begin at ${begin}, after their end ${end}`)
  if (end > dataBytes) return bad(`data_offsets end at ${end}, past the ${dataBytes} bytes of data`)
  const elements = elementsOf(name, shape)
  const bits = bitsOf.get(dtype)
  if (bits !== undefined && elements * bits !== (end - begin) * 8)
    return bad(`${end - begin} bytes of data do not hold ${elements} elements of ${dtype.slice(0, 16)}`)
  return { name, dtype, shape, start: dataStart + begin, end: dataStart + end }
}

const byStart = (a: Tensor, b: Tensor): number => a.start - b.start || a.end - b.end || (a.name < b.name ? -1 : 1)

const requireTiling = (tensors: readonly Tensor[], dataStart: number, fileSize: number): void => {
  let covered = dataStart
  for (const tensor of tensors) {
    if (tensor.start < covered) refuse(`tensor ${shown(tensor.name)} overlaps the tensor before it`)
    if (tensor.start > covered)
      refuse(`a hole of ${tensor.start - covered} bytes lies before tensor ${shown(tensor.name)}`)
    covered = tensor.end
  }
  if (covered !== fileSize) refuse(`the tensors end at byte ${covered}, the file at ${fileSize}`)
}

const parse = (header: Uint8Array, fileSize: number): SafetensorsHeader | Refusal => {
  const length = headerLength(header, fileSize)
  if (!length.ok) return length
  const dataStart = lengthBytes + length.bytes
  if (header.length < dataStart) return refuse(`the header is truncated: ${header.length} of ${dataStart} bytes`)
  const { __metadata__: metadata, ...entries } = readJson(header.subarray(lengthBytes, dataStart))
  const tensors = Object.entries(entries).map(([name, value]) =>
    readTensor(name, value, dataStart, fileSize - dataStart),
  )
  tensors.sort(byStart)
  requireTiling(tensors, dataStart, fileSize)
  return { ok: true, dataStart, tensors, metadata: readMetadata(metadata) }
}

/**
 * Reads a safetensors header; `header` begins with the 8 length bytes and may run on into the data.
 * Never throws: a file that is not whole and tiled by its tensors is refused with a reason. A dtype that is not known
 * here is taken as opaque. Tensors come in order of `start`.
 */
export const parseSafetensors = (header: Uint8Array, fileSize: number): SafetensorsHeader | Refusal => {
  try {
    return parse(header, fileSize)
  } catch (error) {
    if (error instanceof Refused) return { ok: false, reason: error.message }
    return { ok: false, reason: `the header cannot be read: ${error instanceof Error ? error.message : String(error)}` }
  }
}
