import type { z } from 'zod'
import { type Config, targetAllowed, targetPattern } from './config-schema.ts'
import { compilePath } from './path-template.ts'

/** One thing wrong with the file: where, what was found and what is allowed. */
export type Problem = { path: PropertyKey[]; text: string }

export const fieldName = (path: readonly PropertyKey[]): string =>
  path.reduce<string>((name, part) => {
    if (typeof part === 'number') return `${name}[${part}]`
    return name === '' ? String(part) : `${name}.${String(part)}`
  }, '') || 'the file'

const found = (value: unknown): string => {
  if (value === undefined) return 'nothing'
  if (value !== null && typeof value === 'object') return Array.isArray(value) ? 'a list' : 'a map'
  return typeof value === 'string'
    ? `"${value}"`
    : `${JSON.stringify(value)}${value === null ? '' : ` (a ${typeof value})`}`
}

const valueAt = (raw: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((value, part) => (value as Record<PropertyKey, unknown> | undefined)?.[part], raw)

/** How many single letters differ, are missing, extra or swapped with a neighbour. */
const distance = (a: string, b: string): number => {
  const rows = [Array.from({ length: b.length + 1 }, (_, column) => column)]
  const at = (row: number, column: number): number => rows[row]?.[column] ?? Infinity
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    rows.push(row)
    for (let j = 1; j <= b.length; j += 1) {
      const change = a[i - 1] === b[j - 1] ? 0 : 1
      const swap = a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? at(i - 2, j - 2) + 1 : Infinity
      row.push(Math.min(at(i - 1, j) + 1, at(i, j - 1) + 1, at(i - 1, j - 1) + change, swap))
    }
  }
  return at(a.length, b.length)
}

const plain = (text: string): string => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '')

/** The known name that was probably meant, or undefined. */
export const didYouMean = (name: string, known: readonly string[]): string | undefined => {
  const ranked = known
    .map((candidate) => ({ candidate, far: distance(plain(name), plain(candidate)) }))
    .sort((a, b) => a.far - b.far)
  const best = ranked[0]
  return best && best.far <= Math.max(1, Math.floor(name.length / 3)) ? best.candidate : undefined
}

type Schema = z.core.JSONSchema.BaseSchema

const knownFields = (schema: Schema, path: readonly PropertyKey[]): string[] => {
  const target = path.reduce<Schema | undefined>((node, part) => {
    const next = typeof part === 'number' ? node?.items : node?.properties?.[String(part)]
    return typeof next === 'object' && !Array.isArray(next) ? next : undefined
  }, schema)
  return Object.keys(target?.properties ?? {})
}

/** What the schema found, one problem per field, unknown fields with the name that was probably meant. */
export const schemaProblems = (raw: unknown, issues: readonly z.core.$ZodIssue[], schema: Schema): Problem[] =>
  issues.flatMap((issue): Problem[] => {
    if (issue.code !== 'unrecognized_keys') {
      const value = valueAt(raw, issue.path)
      const allowed = issue.message.startsWith('Invalid input') ? 'a map of fields' : issue.message
      return [{ path: issue.path, text: `found ${found(value)}, allowed: ${allowed}` }]
    }
    const known = knownFields(schema, issue.path)
    return issue.keys.map((key) => {
      const meant = didYouMean(key, known)
      const hint = meant ? `did you mean "${meant}"?` : `allowed: ${known.join(', ')}`
      return { path: [...issue.path, key], text: `found an unknown field, ${hint}` }
    })
  })

const historyOf = (target: string): string => `${target}-history`

/** Two tables of the source in one of Bigtable, or in the history of another, would overwrite each other's rows. */
const targetProblems = (config: Config, index: number): Problem[] => {
  const targets = config.tables.map(({ name, target = name }) => target)
  const target = targets[index] ?? ''
  const path = ['tables', index, config.tables[index]?.target === undefined ? 'name' : 'target']
  if (!targetPattern.test(target))
    return [{ path, text: `found "${target}" and no target, allowed: ${targetAllowed}, as target` }]
  const rival = targets.find(
    (other, at) =>
      (at < index && other === target && config.tables[at]?.name !== config.tables[index]?.name) ||
      historyOf(other) === target,
  )
  if (rival === undefined) return []
  const text = `found "${target}", allowed: a name that no other table has as target, nor its history ("${historyOf(rival)}")`
  return [{ path, text }]
}

const tableProblems = (config: Config): Problem[] =>
  config.tables.flatMap((table, index): Problem[] => {
    const problems: Problem[] = []
    const add = (path: PropertyKey[], text: string): number => problems.push({ path: ['tables', index, ...path], text })
    if (config.tables.findIndex((other) => other.name === table.name) !== index)
      add(['name'], `found "${table.name}" twice, allowed: every table once`)
    problems.push(...targetProblems(config, index))
    table.streams.forEach((stream, at) => {
      const expected = `:${config.source.region}:${config.source.account}:table/${table.name}/stream/`
      if (!stream.arn.includes(expected))
        add(
          ['streams', at, 'arn'],
          `found "${stream.arn}", allowed: a stream of this table, region and account (...${expected}...)`,
        )
      const before = table.streams[at - 1]
      if (before && before.epoch >= stream.epoch)
        add(
          ['streams', at, 'epoch'],
          `found ${stream.epoch} after ${before.epoch}, allowed: epochs that grow from stream to stream`,
        )
    })
    return problems
  })

/** A canary among the objects of a release would hold it up, or become a part of it. */
const canaryProblems = ({ prefix, canary, release }: Config['buckets'][number], index: number): Problem[] => {
  if (canary === undefined || compilePath(release.path)(prefix + canary, prefix) === undefined) return []
  const text = `found "${canary}", allowed: a key that release.path ("${release.path}") does not take for a release's, such as "lifeboat-canary"`
  return [{ path: ['buckets', index, 'canary'], text }]
}

const bucketProblems = (config: Config): Problem[] =>
  config.buckets.flatMap((bucket, index): Problem[] => {
    const problems = canaryProblems(bucket, index)
    const rival = config.buckets
      .slice(0, index)
      .find(
        (other) =>
          other.name === bucket.name &&
          (other.prefix.startsWith(bucket.prefix) || bucket.prefix.startsWith(other.prefix)),
      )
    if (!rival) return problems
    const text = `found "${bucket.prefix}" beside "${rival.prefix}" of the same bucket, allowed: prefixes of which none begins with another`
    return [...problems, { path: ['buckets', index, 'prefix'], text }]
  })

/** What is wrong between fields that are right on their own. */
export const crossProblems = (config: Config): Problem[] => {
  const problems = [...bucketProblems(config), ...tableProblems(config)]
  if (config.buckets.length + config.tables.length === 0)
    problems.push({ path: ['buckets'], text: 'found nothing to replicate, allowed: at least one bucket or table' })
  if (config.tables.length > 0 && config.replica.bigtableInstance === undefined)
    problems.push({
      path: ['replica', 'bigtableInstance'],
      text: 'found nothing, allowed: a Bigtable instance id, since there are tables',
    })
  return problems
}
