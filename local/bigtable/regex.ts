import { invalid, notImplemented } from './api-error.ts'

/**
 * RE2 patterns over bytes, matched whole, as JavaScript's over latin1. What RE2 lacks (lookaround, backreferences) is
 * refused as it refuses it; what only RE2 has and is not translated (\p, \Q, flags in the middle) is not implemented.
 * https://github.com/google/re2/wiki/Syntax
 */
const escapes: Record<string, string> = {
  C: '[\\s\\S]',
  A: '^',
  z: '$',
  a: '\\x07',
  // JavaScript's \s knows the no-break space, which is a byte of its own here.
  s: '[\\t\\n\\f\\r ]',
  S: '[^\\t\\n\\f\\r ]',
}
const classes: Record<string, string> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  ascii: '\\x00-\\x7f',
  blank: '\\t ',
  cntrl: '\\x00-\\x1f\\x7f',
  digit: '0-9',
  graph: '!-~',
  lower: 'a-z',
  print: ' -~',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\t\\n\\v\\f\\r ',
  upper: 'A-Z',
  word: '0-9A-Za-z_',
  xdigit: '0-9A-Fa-f',
}

const translateEscape = (source: string, at: number, inClass: boolean): [string, number] => {
  const [letter = ''] = source.slice(at + 1)
  if (letter === '') throw invalid(`Error in regex ${source}: trailing backslash`)
  if (/[pPQE]/.test(letter)) throw notImplemented(`\\${letter} in the regex ${source}`)
  if (/[1-9kZBuc]/.test(letter) && !(letter === 'B' && !inClass))
    throw invalid(`Error in regex ${source}: invalid escape sequence \\${letter}`)
  const braced = /^\\x\{([0-9a-fA-F]{1,2})\}/.exec(source.slice(at))
  if (braced) return [`\\x${(braced[1] ?? '').padStart(2, '0')}`, at + braced[0].length]
  if (inClass && letter === 's') return ['\\t\\n\\f\\r ', at + 2]
  if (inClass && /[SCAz]/.test(letter)) throw notImplemented(`\\${letter} in a class of the regex ${source}`)
  return [escapes[letter] ?? `\\${letter}`, at + 2]
}

/** From a `[` to behind its `]`. */
const translateClass = (source: string, start: number): [string, number] => {
  let at = start + 1
  let out = '['
  if (source[at] === '^') {
    out += '^'
    at += 1
  }
  let isFirst = true
  while (at < source.length && (source[at] !== ']' || isFirst)) {
    isFirst = false
    const posix = /^\[:(\^?)([a-z]+):\]/.exec(source.slice(at))
    if (posix) {
      const members = classes[posix[2] ?? '']
      if (members === undefined) throw invalid(`Error in regex ${source}: invalid character class ${posix[0]}`)
      if (posix[1] === '^') throw notImplemented(`${posix[0]} in the regex ${source}`)
      out += members
      at += posix[0].length
    } else if (source[at] === '\\') {
      const [text, next] = translateEscape(source, at, true)
      out += text
      at = next
    } else {
      out += source[at] === '[' || source[at] === ']' ? `\\${source[at]}` : source[at]
      at += 1
    }
  }
  if (at >= source.length) throw invalid(`Error in regex ${source}: missing closing ]`)
  return [`${out}]`, at + 1]
}

const translateGroup = (source: string, at: number): [string, number] => {
  const rest = source.slice(at)
  if (rest.startsWith('(?:')) return ['(?:', at + 3]
  const named = /^\(\?P?<(\w+)>/.exec(rest)
  if (named) return [`(?<${named[1]}>`, at + named[0].length]
  if (/^\(\?<?[=!]/.test(rest)) throw invalid(`Error in regex ${source}: invalid perl operator ${rest.slice(0, 3)}`)
  if (rest.startsWith('(?')) throw notImplemented(`${rest.slice(0, 4)} in the regex ${source}`)
  return ['(', at + 1]
}

const translate = (source: string, dotAll: boolean): string => {
  let out = ''
  let at = 0
  while (at < source.length) {
    const character = source[at] ?? ''
    let text = character
    let next = at + 1
    if (character === '\\') [text, next] = translateEscape(source, at, false)
    else if (character === '[') [text, next] = translateClass(source, at)
    else if (character === '(') [text, next] = translateGroup(source, at)
    else if (character === '.') text = dotAll ? '[\\s\\S]' : '[^\\n]'
    out += text
    at = next
  }
  return out
}

const compiled = new Map<string, RegExp>()
const compiledMax = 1000

/** Throws INVALID_ARGUMENT for a pattern that RE2 refuses. `source` is latin1. */
export const compileRegex = (source: string): RegExp => {
  const known = compiled.get(source)
  if (known) return known
  const flags = /^\(\?([is]+)\)/.exec(source)
  const body = source.slice(flags?.[0].length ?? 0)
  const pattern = translate(body, flags?.[1]?.includes('s') === true)
  let regex: RegExp
  try {
    regex = new RegExp(`^(?:${pattern})$`, flags?.[1]?.includes('i') ? 'i' : '')
  } catch (error) {
    throw invalid(`Error in regex ${source}: ${(error as Error).message}`)
  }
  if (compiled.size >= compiledMax) compiled.clear()
  compiled.set(source, regex)
  return regex
}
