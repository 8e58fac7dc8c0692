import { InvalidInputError } from '../../shared/errors.ts'
import { parseItem, parseValue } from '../../shared/features/attribute-json.ts'
import { normalizeNumber } from '../../shared/features/number.ts'
import { encodeRowKey, type ItemKey, type KeyValue, type RowKey } from '../../shared/features/row-key.ts'
import { valueText } from './show.ts'

/** One way to read what a user gave as a key: its attributes in the order in which they were written. */
export type KeyReading = readonly { name: string; value: KeyValue }[]

/** Printed with the help of every command that takes a key. */
export const keyHelp = `A KEY is partition key and sort key, as NAME=VALUE,NAME=VALUE or in DynamoDB JSON:
  user=alice,at=17                           whatever type is found: S, or N where it is a number
  user=S:alice,at=N:17                       with types: S:, N: or B: (base64); a text that begins so is S:S:...
  '{"user":{"S":"a,b"},"at":{"N":"17"}}'     the way to give a text with a comma
The row of a key follows from its values; the names are compared with the item that is found.`

const isKeyValue = (value: object): value is KeyValue => 'S' in value || 'N' in value || 'B' in value

const isNumber = (text: string): boolean => {
  try {
    normalizeNumber(text)
    return true
  } catch {
    return false
  }
}

const valuesOf = (text: string, name: string): KeyValue[] => {
  const [, type, content] = /^([SNB]):(.*)$/s.exec(text) ?? []
  if (type !== undefined) return [parseValue({ [type]: content }, name) as KeyValue]
  const asText: KeyValue = { S: text }
  return isNumber(text) ? [asText, { N: normalizeNumber(text) }] : [asText]
}

const readJson = (text: string): KeyReading => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new InvalidInputError(`KEY is not JSON: ${cause instanceof Error ? cause.message : String(cause)}`, { cause })
  }
  return Object.entries(parseItem(json, 'KEY')).map(([name, value]) => {
    if (!isKeyValue(value)) throw new InvalidInputError(`KEY.${name}: a key is S, N or B, not ${Object.keys(value)[0]}`)
    return { name, value }
  })
}

/** Every reading, those of the first attribute's types outermost. */
const readPairs = (text: string): KeyReading[] => {
  const attributes = text.split(',').map((part) => {
    const at = part.indexOf('=')
    if (at < 1)
      throw new InvalidInputError(`KEY: found "${part}", expected NAME=VALUE; a value with a comma needs DynamoDB JSON`)
    const name = part.slice(0, at)
    return valuesOf(part.slice(at + 1), name).map((value) => ({ name, value }))
  })
  return attributes.reduce<KeyReading[]>(
    (readings, choices) => readings.flatMap((reading) => choices.map((choice) => [...reading, choice])),
    [[]],
  )
}

/** What a KEY may mean, at most four readings. Throws InvalidInputError on anything that is no key. */
export const parseKeyText = (text: string, attributesMax: 1 | 2): KeyReading[] => {
  const readings = text.trimStart().startsWith('{') ? [readJson(text)] : readPairs(text)
  const names = readings[0]?.map(({ name }) => name) ?? []
  if (names.length < 1 || names.length > attributesMax)
    throw new InvalidInputError(
      attributesMax === 1
        ? `--partition takes the partition key alone, found ${names.length} attributes`
        : `a key has one or two attributes, found ${names.length} (a value with a comma needs DynamoDB JSON)`,
    )
  if (new Set(names).size < names.length) throw new InvalidInputError(`KEY: attribute "${names[0]}" is there twice`)
  return readings
}

export const itemKeyOfReading = ([partition, sort]: KeyReading): ItemKey => {
  if (!partition) throw new InvalidInputError('a key has one or two attributes')
  return sort ? { partition: partition.value, sort: sort.value } : { partition: partition.value }
}

export const rowKeyOfReading = (reading: KeyReading): RowKey => encodeRowKey(itemKeyOfReading(reading))

/** With types, as KEY takes it, unless a value has a comma. */
export const readingText = (reading: KeyReading): string =>
  reading.map(({ name, value }) => `${name}=${valueText(value)}`).join(',')
