import { lstat } from 'node:fs/promises'
import { printable } from '../../cli/output.ts'
import { LifeboatError, InvalidInputError } from '../../shared/errors.ts'
import { itemToJson, parseValue } from '../../shared/features/attribute-json.ts'
import { encodeValue, type Item } from '../../shared/features/attribute-value.ts'
import { encodeRowKey, type KeyValue } from '../../shared/features/row-key.ts'
import { itemBytes } from '../dynamodb/attribute-values.ts'
import type { KeyAttribute, TableKeys } from '../source-tables.ts'
import { type Line, linesOf } from './row-lines.ts'

/** The user's own items: a file with one item a line, in DynamoDB's JSON, in which every number is text. */

/** The name of a key attribute; `sort` undefined: `sk` where every item has it, false: none. */
export type KeyOptions = { partition: string; sort: string | false | undefined }

const itemBytesMax = 400 * 1024
const usualSort = 'sk'
const advice = `every value is in DynamoDB's JSON, such as {"S": "text"} or {"N": "1.5"}`

const cut = (text: string): string => printable(text.length > 60 ? `${text.slice(0, 60)}…` : text)
const shown = (value: unknown): string => cut(JSON.stringify(value) ?? String(value))
const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

const typeOf = (value: object): string => Object.keys(value)[0] ?? ''

const parseLine = (file: string, { number, text }: Line): Item => {
  const refuse = (message: string, cause?: unknown): never => {
    throw new InvalidInputError(`${file}:${number}: ${message}`, { cause })
  }
  const parse = (): unknown => {
    try {
      return JSON.parse(text, (name, value: unknown) =>
        name === '__proto__' ? refuse('found an attribute __proto__, which the SDK cannot write: rename it') : value,
      )
    } catch (error) {
      if (error instanceof LifeboatError) throw error
      return refuse(`found ${cut(text)}, which is not JSON (${messageOf(error)}): write one item on each line`, error)
    }
  }
  const parsed = parse()
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    return refuse(`found ${shown(parsed)}, expected an item such as {"pk": {"S": "a"}}`)
  const attribute = (name: string, input: unknown): Item[string] => {
    const value = (() => {
      try {
        return parseValue(input, name)
      } catch (error) {
        return refuse(`${messageOf(error)}; found ${shown(input)}: ${advice}`, error)
      }
    })()
    try {
      encodeValue(value)
      return value
    } catch (error) {
      return refuse(`${name}: ${messageOf(error)}; found ${shown(input)}: DynamoDB refuses it`, error)
    }
  }
  const item = Object.fromEntries(Object.entries(parsed).map(([name, input]) => [name, attribute(name, input)]))
  const bytes = itemBytes(itemToJson(item))
  if (bytes > itemBytesMax)
    return refuse(
      `found an item of ${bytes} bytes, and DynamoDB takes ${itemBytesMax}: leave it out or make it smaller`,
    )
  return item
}

type Part = 'partition' | 'sort'

/** The value of a key attribute, of the type that the first item has. */
const checkKey = (
  where: string,
  item: Item,
  part: Part,
  name: string,
  first: KeyAttribute | undefined,
): KeyAttribute => {
  const value = item[name]
  if (value === undefined) {
    const names = Object.keys(item).slice(0, 10).join(', ')
    throw new InvalidInputError(
      `${where}: ${name}: not there, and it is the ${part} key; found ${names || 'no attribute'}: add it, or name another by --${part}-key`,
    )
  }
  const type = typeOf(value)
  if (type !== 'S' && type !== 'N' && type !== 'B')
    throw new InvalidInputError(
      `${where}: ${name}: found type ${type}, and the ${part} key is S, N or B: name another attribute by --${part}-key`,
    )
  if (first && first.type !== type)
    throw new InvalidInputError(
      `${where}: ${name}: found type ${type}, and the ${part} key of the first item is ${first.type}: keys of a table have one type`,
    )
  const key = value as KeyValue
  try {
    encodeRowKey(part === 'partition' ? { partition: key } : { partition: { S: 'a' }, sort: key })
  } catch (error) {
    throw new InvalidInputError(`${where}: ${name}: ${messageOf(error)}`, { cause: error })
  }
  return { name, type }
}

/** Looks for `sk` in every item; what is wrong with one counts only where all have it. */
const createUsualSort = () => {
  let isEverywhere = true
  let first: KeyAttribute | undefined
  let problem: unknown
  return {
    see: (where: string, item: Item): void => {
      isEverywhere &&= Object.hasOwn(item, usualSort)
      if (!isEverywhere || problem !== undefined) return
      try {
        first ??= checkKey(where, item, 'sort', usualSort, first)
        checkKey(where, item, 'sort', usualSort, first)
      } catch (error) {
        problem = error
      }
    },
    result: (): KeyAttribute | undefined => {
      if (isEverywhere && problem !== undefined) throw problem
      return isEverywhere ? first : undefined
    },
  }
}

/** Reads all of the file and answers what its table's keys are. Throws InvalidInputError on the first line that is wrong. */
export const checkRowsFile = async (file: string, options: KeyOptions): Promise<TableKeys> => {
  const stat = await lstat(file).catch(() => undefined)
  if (!stat?.isFile())
    throw new InvalidInputError(
      `--rows ${file}: ${stat ? 'not a file (links are not followed)' : 'there is no such file'}`,
    )
  const usual = createUsualSort()
  let partition: KeyAttribute | undefined
  let sort: KeyAttribute | undefined
  for await (const line of linesOf(file)) {
    const where = `${file}:${line.number}`
    const item = parseLine(file, line)
    partition = checkKey(where, item, 'partition', options.partition, partition)
    if (options.sort === undefined) usual.see(where, item)
    else if (options.sort !== false) sort = checkKey(where, item, 'sort', options.sort, sort)
  }
  if (!partition) throw new InvalidInputError(`--rows ${file}: there is no item in it`)
  sort ??= options.sort === undefined && options.partition !== usualSort ? usual.result() : undefined
  if (sort?.name === partition.name)
    throw new InvalidInputError(`--sort-key ${sort.name}: it is the partition key: name another`)
  return { partition, ...(sort ? { sort } : {}) }
}

/** The items of a file that was checked. */
export async function* readRowsFile(file: string): AsyncGenerator<{ put: Item; where: string }> {
  for await (const line of linesOf(file)) yield { put: parseLine(file, line), where: `${file}:${line.number}` }
}
