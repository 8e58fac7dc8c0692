/** Event patterns of EventBridge rules and of Lambda's event source filters. */
export type Pattern = { [field: string]: unknown }

type Matcher = (value: unknown) => boolean

const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
const lower = (text: string): string => text.toLowerCase()

/** `expected` is text, or {equals-ignore-case: text}. */
const textTest = (expected: unknown, test: (value: string, expected: string) => boolean): Matcher => {
  if (typeof expected === 'string') return (value) => typeof value === 'string' && test(value, expected)
  const folded = isMap(expected) ? expected['equals-ignore-case'] : undefined
  if (typeof folded !== 'string') throw new Error(`a pattern compares with ${JSON.stringify(expected)}`)
  return (value) => typeof value === 'string' && test(lower(value), lower(folded))
}

/** `*` is any run of characters; `\*` and `\\` are themselves. */
const wildcard = (pattern: unknown): Matcher => {
  if (typeof pattern !== 'string') throw new Error(`a wildcard pattern is ${JSON.stringify(pattern)}`)
  const source = pattern.replaceAll(
    /\\([*\\])|(\*)|([\^$.+?()[\]{}|\\])/g,
    (_, escaped?: string, star?: string, special?: string) => (star ? '.*' : `\\${escaped ?? special ?? ''}`),
  )
  const whole = new RegExp(`^${source}$`, 's')
  return (value) => typeof value === 'string' && whole.test(value)
}

const comparisons: Record<string, (value: number, bound: number) => boolean> = {
  '=': (value, bound) => value === bound,
  '<': (value, bound) => value < bound,
  '<=': (value, bound) => value <= bound,
  '>': (value, bound) => value > bound,
  '>=': (value, bound) => value >= bound,
}

const numeric = (terms: unknown): Matcher => {
  if (!Array.isArray(terms) || terms.length % 2 !== 0) throw new Error(`a numeric pattern is ${JSON.stringify(terms)}`)
  const tests = Array.from({ length: terms.length / 2 }, (_, index): ((value: number) => boolean) => {
    const compare = comparisons[String(terms[index * 2])]
    const bound: unknown = terms[index * 2 + 1]
    if (!compare || typeof bound !== 'number') throw new Error(`a numeric pattern is ${JSON.stringify(terms)}`)
    return (value) => compare(value, bound)
  })
  return (value) => typeof value === 'number' && tests.every((test) => test(value))
}

const anythingBut = (excluded: unknown): Matcher => {
  const list = Array.isArray(excluded) ? excluded : [excluded]
  // {prefix: [a, b]} excludes each of the list.
  const tests = list.flatMap((one: unknown) => {
    const [operator, argument] = isMap(one) ? (Object.entries(one)[0] ?? []) : []
    if (operator === undefined || !Array.isArray(argument)) return [matcher(one)]
    return argument.map((entry: unknown) => matcher({ [operator]: entry }))
  })
  return (value) => value !== undefined && !tests.some((test) => test(value))
}

const operators: Record<string, (argument: unknown) => Matcher> = {
  prefix: (argument) => textTest(argument, (value, expected) => value.startsWith(expected)),
  suffix: (argument) => textTest(argument, (value, expected) => value.endsWith(expected)),
  'equals-ignore-case': (argument) =>
    textTest({ 'equals-ignore-case': argument }, (value, expected) => value === expected),
  wildcard,
  numeric,
  'anything-but': anythingBut,
  exists: (argument) => (value) => (value !== undefined) === argument,
}

const matcher = (pattern: unknown): Matcher => {
  if (!isMap(pattern)) return (value) => value === pattern
  const [operator, argument] = Object.entries(pattern)[0] ?? ['', undefined]
  const make = operators[operator]
  if (!make) throw new Error(`the pattern operator "${operator}" does not run here`)
  return make(argument)
}

const matchesField = (pattern: unknown, value: unknown): boolean => {
  if (Array.isArray(pattern)) {
    const tests = pattern.map((one) => matcher(one))
    const values: unknown[] = Array.isArray(value) && value.length > 0 ? value : [value]
    return values.some((one) => tests.some((test) => test(one)))
  }
  if (!isMap(pattern)) throw new Error(`a pattern field is ${JSON.stringify(pattern)}, allowed: a list or a map`)
  const values: unknown[] = Array.isArray(value) ? value : [value]
  return values.some((one) => matchesPattern(pattern, one))
}

/** True where every field of the pattern matches; throws for an operator that is not implemented. */
export const matchesPattern = (pattern: Pattern, event: unknown): boolean =>
  Object.entries(pattern).every(([field, expected]) => {
    if (field === '$or' && Array.isArray(expected))
      return expected.some((alternative: unknown) => isMap(alternative) && matchesPattern(alternative, event))
    return matchesField(expected, isMap(event) && Object.hasOwn(event, field) ? event[field] : undefined)
  })
