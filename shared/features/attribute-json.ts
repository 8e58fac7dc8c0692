import { InvalidInputError } from '../errors.ts'
import { type AttributeValue, depthMax, type Item } from './attribute-value.ts'
import { normalizeNumber } from './number.ts'

/**
 * DynamoDB's JSON at the edge: stream events and command lines have binaries in base64, the SDK as Uint8Array; both are
 * read. An `Item` has each value with exactly one member, binaries as bytes and numbers in canonical form.
 */

type Members = { [name: string]: unknown }
/** As in DynamoDB's JSON on the wire: binaries are base64. */
export type JsonValue = { [type: string]: unknown }
export type JsonItem = { [name: string]: JsonValue }

const refuse = (path: string, expected: string, cause?: unknown): never => {
  throw new InvalidInputError(`${path}: ${expected}`, { cause })
}

const isObject = (input: unknown): input is Members =>
  typeof input === 'object' && input !== null && !Array.isArray(input) && !ArrayBuffer.isView(input)

const readText = (input: unknown, path: string): string =>
  typeof input === 'string' ? input : refuse(path, 'not a text')

const readNumber = (input: unknown, path: string): string => {
  const text = readText(input, path)
  try {
    return normalizeNumber(text)
  } catch (cause) {
    return refuse(path, cause instanceof Error ? cause.message : String(cause), cause)
  }
}

const asArray = (bytes: Buffer): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const readBytes = (input: unknown, path: string): Uint8Array => {
  if (input instanceof Uint8Array) return new Uint8Array(input)
  if (typeof input !== 'string') return refuse(path, 'not a binary: neither base64 nor bytes')
  const bytes = Buffer.from(input, 'base64')
  return bytes.toString('base64') === input ? asArray(bytes) : refuse(path, 'not base64')
}

const readList = <T>(input: unknown, path: string, read: (member: unknown, path: string) => T): T[] =>
  Array.isArray(input) ? input.map((member, index) => read(member, `${path}[${index}]`)) : refuse(path, 'not a list')

const readItem = (input: unknown, path: string, depth: number): Item => {
  if (!isObject(input)) return refuse(path, 'not a map of attributes')
  let item = input as Item
  for (const name of Object.keys(input)) {
    const value = readValue(input[name], `${path}.${name.slice(0, 100)}`, depth)
    if (value === input[name]) continue
    // A copy has a property of its own for each name; in a new object, to assign to `__proto__` would be to lose it.
    if (item === input) item = { ...item }
    item[name] = value
  }
  return item
}

/** What is as it should be is not copied. */
const withMember = (input: Members, type: string, member: unknown): AttributeValue =>
  (input[type] === member ? input : { [type]: member }) as AttributeValue

const readValue = (input: unknown, path: string, depth: number): AttributeValue => {
  if (depth > depthMax) return refuse(path, `nested deeper than ${depthMax} levels`)
  const members: Members = isObject(input) ? input : {}
  const types = Object.keys(members)
  const [type = ''] = types
  const content = members[type]
  if (types.length !== 1 || content === undefined) {
    const present = Object.entries(members).filter(([, member]) => member !== undefined)
    if (present.length !== 1) return refuse(path, `${present.length} types where a value has exactly one`)
    return readValue(Object.fromEntries(present), path, depth)
  }
  switch (type) {
    case 'S':
      return withMember(members, type, readText(content, path))
    case 'N':
      return withMember(members, type, readNumber(content, path))
    case 'B':
      return { B: readBytes(content, path) }
    case 'BOOL':
      return typeof content === 'boolean'
        ? withMember(members, type, content)
        : refuse(path, 'a BOOL that is not true or false')
    case 'NULL':
      return content === true ? withMember(members, type, content) : refuse(path, 'a NULL that is not true')
    case 'M':
      return withMember(members, type, readItem(content, path, depth + 1))
    case 'L':
      return { L: readList(content, path, (member, at) => readValue(member, at, depth + 1)) }
    case 'SS':
      return { SS: readList(content, path, readText) }
    case 'NS':
      return { NS: readList(content, path, readNumber) }
    case 'BS':
      return { BS: readList(content, path, readBytes) }
    default:
      return refuse(path, `the unknown type ${JSON.stringify(type)}`)
  }
}

/** A value from an event or the SDK. `path` names it in the InvalidInputError that anything else throws. */
export const parseValue = (input: unknown, path = 'value'): AttributeValue => readValue(input, path, 0)

/** An item, or its keys, from an event or the SDK; throws InvalidInputError with the path of what is wrong. */
export const parseItem = (input: unknown, path = 'item'): Item => readItem(input, path, 0)

const base64 = (bytes: Uint8Array): string => Buffer.from(bytes).toString('base64')

/** The value as DynamoDB's JSON, binaries in base64. */
export const valueToJson = (value: AttributeValue): JsonValue => {
  if ('B' in value) return { B: base64(value.B) }
  if ('BS' in value) return { BS: value.BS.map(base64) }
  if ('L' in value) return { L: value.L.map(valueToJson) }
  if ('M' in value) return { M: itemToJson(value.M) }
  return value
}

/** The item as DynamoDB's JSON, binaries in base64. */
export const itemToJson = (item: Item): JsonItem =>
  Object.fromEntries(Object.entries(item).map(([name, value]) => [name, valueToJson(value)]))
