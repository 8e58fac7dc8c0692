import { InvalidInputError } from './errors.ts'

/** Where an object belongs. `path` is its place inside the release; `version` is absent where the template has none. */
export type ReleasePath = { model: string; version?: string; path: string }

const quoteRegExp = (text: string): string => text.replaceAll(/[\\^$.*+?()[\]{}|]/g, '\\$&')

const refuse = (template: string, reason: string): never => {
  throw new InvalidInputError(
    `release path template: found "${template}", allowed: segments of {model}, {version} and plain text between slashes, ended by **; ${reason}`,
  )
}

const segmentPattern = (template: string, segment: string, seen: Set<string>): string => {
  const pieces = segment.split(/(\{[^{}]*\})/)
  return pieces
    .map((piece) => {
      const name = /^\{(.*)\}$/.exec(piece)?.[1]
      if (name === undefined) {
        if (/[*{}]/.test(piece)) return refuse(template, `"${piece}" has a wildcard or a brace in the wrong place`)
        return quoteRegExp(piece)
      }
      if (name !== 'model' && name !== 'version') return refuse(template, `{${name}} is neither {model} nor {version}`)
      if (seen.has(name)) return refuse(template, `{${name}} appears twice`)
      seen.add(name)
      return `(?<${name}>[^/]+?)`
    })
    .join('')
}

/** The prefix of the keys that a template takes for a release; a version that the template does not have is left out. */
export const prefixOfRelease = (
  template: string,
  prefix: string,
  release: { model: string; version: string },
): string =>
  prefix +
  template
    .replace(/\*\*$/, '')
    .replace('{model}', () => release.model)
    .replace('{version}', () => release.version)

/**
 * Compiles a path template such as `{model}/{version}/**`. {model} and {version} each match inside one segment and never
 * the empty string; ** matches the rest, one byte or more. The result is undefined for a key outside of the
 * prefix or of the template. Throws InvalidInputError for a template that is not of this form.
 */
export const compilePath = (template: string): ((key: string, prefix: string) => ReleasePath | undefined) => {
  const segments = template.split('/')
  if (segments.pop() !== '**') return refuse(template, 'it does not end with /**')
  if (segments.includes('')) return refuse(template, 'it has an empty segment')
  const seen = new Set<string>()
  const pattern = segments.map((segment) => segmentPattern(template, segment, seen)).join('/')
  if (!seen.has('model')) return refuse(template, '{model} is missing')
  const whole = new RegExp(`^${pattern}/(?<path>.+)$`, 's')
  return (key, prefix) => {
    if (!key.startsWith(prefix)) return undefined
    const groups = whole.exec(key.slice(prefix.length))?.groups
    const { model, version, path } = groups ?? {}
    if (model === undefined || path === undefined) return undefined
    return version === undefined ? { model, path } : { model, version, path }
  }
}
