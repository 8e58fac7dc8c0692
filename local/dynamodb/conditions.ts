/**
 * Condition and filter expressions, from dynalite's parse of them. Its own evaluation finds no two maps or lists equal,
 * takes "" and false for missing in IN, BETWEEN, size and attribute_type, and two missing attributes for equal.
 */
import { sameItem } from './attribute-values.ts'
import type { AttributeValue, Item } from './wire.ts'

type Path = (string | number)[]
type Operand = Path | { type: 'function'; name: 'size'; args: Operand[] } | AttributeValue
type Comparator = '=' | '<>' | '<' | '<=' | '>' | '>=' | 'between' | 'in'
export type Expression =
  | { type: 'and'; args: Expression[] }
  | { type: 'or'; args: Expression[] }
  | { type: 'not'; args: Expression[] }
  | { type: 'function'; name: string; args: Operand[] }
  | { type: Comparator; args: Operand[] }
type Value = AttributeValue | undefined

/** What takes the place of an expression for dynalite, which then finds it fulfilled and leaves it to us. */
export const fulfilled: Expression = { type: 'function', name: 'attribute_exists', args: [{ BOOL: true }] }

const typeOf = (value: AttributeValue): string | undefined => Object.keys(value)[0]

const follow = (path: Path, item: Item): Value => {
  let value: Value = { M: item }
  for (const step of path) value = typeof step === 'number' ? value?.L?.[step] : value?.M?.[step]
  return value
}

const sizeOf = (value: Value): Value => {
  if (!value) return undefined
  const members = value.SS ?? value.NS ?? value.BS ?? value.L ?? (value.M && Object.keys(value.M))
  const size =
    members?.length ?? value.S?.length ?? (value.B === undefined ? undefined : Buffer.byteLength(value.B, 'base64'))
  return size === undefined ? undefined : { N: String(size) }
}

const resolve = (operand: Operand, item: Item): Value => {
  if (Array.isArray(operand)) return follow(operand, item)
  if ('type' in operand) return sizeOf(operand.args[0] && resolve(operand.args[0], item))
  return operand
}

const isEqual = (left: Value, right: Value): boolean =>
  left !== undefined && right !== undefined && sameItem({ value: left }, { value: right })

const fractionDigits = (number: string): number => number.split('.')[1]?.length ?? 0

const scaled = (number: string, digits: number): bigint => {
  const [whole = '', fraction = ''] = number.split('.')
  return BigInt(whole + fraction.padEnd(digits, '0'))
}

/** Negative, 0 or positive as `left` is less, equal or more; undefined where the two have no order. */
const order = (left: Value, right: Value): number | undefined => {
  if (left?.N !== undefined && right?.N !== undefined) {
    const digits = Math.max(fractionDigits(left.N), fractionDigits(right.N))
    const [a, b] = [scaled(left.N, digits), scaled(right.N, digits)]
    return a < b ? -1 : a > b ? 1 : 0
  }
  if (left?.S !== undefined && right?.S !== undefined) return Buffer.compare(Buffer.from(left.S), Buffer.from(right.S))
  if (left?.B !== undefined && right?.B !== undefined)
    return Buffer.compare(Buffer.from(left.B, 'base64'), Buffer.from(right.B, 'base64'))
  return undefined
}

const holds = (left: Value, right: Value, test: (order: number) => boolean): boolean => {
  const found = order(left, right)
  return found !== undefined && test(found)
}

const beginsWith = (value: Value, prefix: Value): boolean => {
  if (value?.S !== undefined && prefix?.S !== undefined) return value.S.startsWith(prefix.S)
  if (value?.B === undefined || prefix?.B === undefined) return false
  const bytes = Buffer.from(prefix.B, 'base64')
  return Buffer.from(value.B, 'base64').subarray(0, bytes.length).equals(bytes)
}

const contains = (value: Value, member: Value): boolean => {
  if (!value || !member) return false
  if (value.L) return value.L.some((one) => isEqual(one, member))
  if (member.S !== undefined) return (value.S ?? value.SS ?? []).includes(member.S)
  if (member.N !== undefined) return (value.NS ?? []).includes(member.N)
  if (member.B === undefined) return false
  if (value.B !== undefined) return Buffer.from(value.B, 'base64').includes(Buffer.from(member.B, 'base64'))
  return (value.BS ?? []).includes(member.B)
}

const applies = (name: string, value: Value, argument: Value): boolean => {
  switch (name) {
    case 'attribute_exists':
      return value !== undefined
    case 'attribute_not_exists':
      return value === undefined
    case 'attribute_type':
      return value !== undefined && typeOf(value) === argument?.S
    case 'begins_with':
      return beginsWith(value, argument)
    case 'contains':
      return contains(value, argument)
    default:
      throw new Error(`a condition with the unknown function ${name}`)
  }
}

const comparators: Record<Comparator, (value: Value, others: Value[]) => boolean> = {
  '=': (value, [other]) => isEqual(value, other),
  '<>': (value, [other]) => !isEqual(value, other),
  '<': (value, [other]) => holds(value, other, (found) => found < 0),
  '<=': (value, [other]) => holds(value, other, (found) => found <= 0),
  '>': (value, [other]) => holds(value, other, (found) => found > 0),
  '>=': (value, [other]) => holds(value, other, (found) => found >= 0),
  between: (value, [low, high]) =>
    holds(value, low, (found) => found >= 0) && holds(value, high, (found) => found <= 0),
  in: (value, others) => others.some((other) => isEqual(value, other)),
}

/** Whether the item, {} where there is none, fulfils the expression. */
export const matches = (item: Item, expression: Expression): boolean => {
  if (expression.type === 'and') return expression.args.every((part) => matches(item, part))
  if (expression.type === 'or') return expression.args.some((part) => matches(item, part))
  if (expression.type === 'not') return !expression.args.some((part) => matches(item, part))
  const [value, ...others] = expression.args.map((operand) => resolve(operand, item))
  if (expression.type === 'function') return applies(expression.name, value, others[0])
  return comparators[expression.type](value, others)
}
