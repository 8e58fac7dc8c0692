import { Parser } from 'pickleparser'

/** One storage of a PyTorch file: the bytes of the entry `data/<key>`, and the first tensor that is made of them. */
export type Storage = { dtype: string | undefined; tensor: string; shape: number[] }

const storageDtypes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    FloatStorage: 'F32',
    DoubleStorage: 'F64',
    HalfStorage: 'F16',
    BFloat16Storage: 'BF16',
    ByteStorage: 'U8',
    CharStorage: 'I8',
    ShortStorage: 'I16',
    IntStorage: 'I32',
    LongStorage: 'I64',
    BoolStorage: 'BOOL',
    ComplexFloatStorage: 'C64',
  }),
)
/** As `_rebuild_tensor_v3` names them, for storages without a type of their own. */
const torchDtypes: ReadonlyMap<string, string> = new Map(
  Object.entries({
    float8_e4m3fn: 'F8_E4M3',
    float8_e5m2: 'F8_E5M2',
    uint16: 'U16',
    uint32: 'U32',
    uint64: 'U64',
  }),
)
/** What a tree of parameters never comes near. */
const valuesMax = 2_000_000

class Named {
  readonly module: string
  readonly name: string
  constructor(module: string, name: string) {
    this.module = module
    this.name = name
  }
}
class StorageRef {
  readonly key: string
  readonly dtype: string | undefined
  constructor(key: string, dtype: string | undefined) {
    this.key = key
    this.dtype = dtype
  }
}
class TensorRef {
  readonly storage: StorageRef
  readonly shape: number[]
  readonly dtype: string | undefined
  constructor(storage: StorageRef, shape: number[], dtype: string | undefined) {
    this.storage = storage
    this.shape = shape
    this.dtype = dtype
  }
}

const named = new WeakMap<object, Named>()
const numbers = (value: unknown): number[] =>
  Array.isArray(value) && value.every((one) => Number.isSafeInteger(one)) ? (value as number[]) : []

/** torch._utils._rebuild_tensor_v2(storage, offset, size, ...) and _v3(..., dtype at 6, ...). */
const rebuild = (...args: unknown[]): unknown => {
  const [storage, , size] = args
  const dtype = typeof args[6] === 'function' ? torchDtypes.get(named.get(args[6])?.name ?? '') : undefined
  return storage instanceof StorageRef ? new TensorRef(storage, numbers(size), dtype) : undefined
}

/** Nothing that a pickle names is run: what is known builds plain values, the rest builds empty ones. */
const resolve = (module: string, name: string): ((...args: unknown[]) => unknown) => {
  const full = `${module}.${name}`
  if (full === 'torch._utils._rebuild_tensor_v2' || full === 'torch._utils._rebuild_tensor_v3') return rebuild
  if (full === 'torch._utils._rebuild_parameter') return (data) => data
  if (full === 'collections.OrderedDict') return () => new Map()
  // One function for each name: a pickle may construct it, which an arrow function refuses.
  const inert = function (): object {
    return { module, name }
  }
  named.set(inert, new Named(module, name))
  return inert
}

/** ('storage', type, key, location, elements) */
const storageOf = (id: unknown): unknown => {
  if (!Array.isArray(id) || id[0] !== 'storage' || typeof id[2] !== 'string') return undefined
  const type = typeof id[1] === 'function' ? named.get(id[1])?.name : undefined
  return new StorageRef(id[2], storageDtypes.get(type ?? ''))
}

const children = (value: unknown): [string, unknown][] => {
  if (value instanceof Map)
    return [...(value as Map<unknown, unknown>)].map(([key, child]) => [
      typeof key === 'string' || typeof key === 'number' ? String(key) : '?',
      child,
    ])
  if (Array.isArray(value)) return value.map((child: unknown, at) => [String(at), child])
  return typeof value === 'object' && value !== null && !(value instanceof StorageRef) ? Object.entries(value) : []
}

/** Throws, with whatever message, for bytes that are not the pickle of a tree. */
export const storagesOf = (pickle: Uint8Array): Map<string, Storage> => {
  const parser = new Parser({
    nameResolver: { resolve },
    persistentResolver: { resolve: storageOf },
    unpicklingTypeOfDictionary: 'Map',
  })
  const storages = new Map<string, Storage>()
  const seen = new Set<object>()
  const left: [string, unknown][] = [['', parser.parse<unknown>(pickle)]]
  let count = 0
  for (let next = left.pop(); next; next = left.pop()) {
    count += 1
    if (count > valuesMax) throw new RangeError(`the pickle has more than ${valuesMax} values`)
    const [path, value] = next
    if (value instanceof TensorRef) {
      const { storage, shape, dtype } = value
      if (!storages.has(storage.key)) storages.set(storage.key, { dtype: dtype ?? storage.dtype, tensor: path, shape })
      continue
    }
    if (typeof value !== 'object' || value === null || seen.has(value)) continue
    seen.add(value)
    for (const [key, child] of children(value).toReversed()) left.push([path === '' ? key : `${path}.${key}`, child])
  }
  return storages
}
