import { isNode, LineCounter, parseDocument, type Document } from 'yaml'
import * as z from 'zod'
import { crossProblems, fieldName, schemaProblems, type Problem } from './config-problems.ts'
import { type Config, configSchema, stagePattern } from './config-schema.ts'
import { InvalidInputError } from './errors.ts'

export type { Config } from './config-schema.ts'
export { compilePath, type ReleasePath } from './path-template.ts'

type JsonSchema = z.core.JSONSchema.BaseSchema

const bodySchema: JsonSchema = z.toJSONSchema(configSchema, { io: 'input' })

/** An override names only what differs: nothing in it is required, except inside of lists, which it replaces whole. */
const overrideOf = (schema: JsonSchema): JsonSchema => {
  const { required: _required, default: _default, ...rest } = schema
  if (!schema.properties) return rest
  const properties = Object.entries(schema.properties).map(([key, value]) => [key, overrideOf(value as JsonSchema)])
  return { ...rest, properties: Object.fromEntries(properties) }
}

/** The JSON Schema of lifeboat.yml, published as docs/lifeboat.schema.json. */
export const configJsonSchema = (): JsonSchema => {
  const { $schema, ...body } = bodySchema
  return {
    $schema: $schema ?? 'https://json-schema.org/draft/2020-12/schema',
    title: 'lifeboat.yml',
    ...body,
    properties: {
      ...body.properties,
      stages: {
        type: 'object',
        propertyNames: { pattern: stagePattern.source },
        additionalProperties: overrideOf(body),
      },
    },
  }
}

const isMap = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value)

/** Maps merge field by field; anything else is replaced. */
const merge = (base: unknown, override: unknown): unknown => {
  if (!isMap(base) || !isMap(override)) return override
  const merged: Record<string, unknown> = { ...base }
  for (const [key, value] of Object.entries(override))
    Object.defineProperty(merged, key, {
      value: merge(merged[key], value),
      enumerable: true,
      writable: true,
      configurable: true,
    })
  return merged
}

type Checked = { config?: Config; problems: Problem[] }

const check = (raw: unknown): Checked => {
  const result = configSchema.safeParse(raw)
  if (!result.success) return { problems: schemaProblems(raw, result.error.issues, fileSchema) }
  return { config: result.data, problems: crossProblems(result.data) }
}
const fileSchema: JsonSchema = { ...bodySchema, properties: { ...bodySchema.properties, stages: {} } }

const lineOf = (document: Document, lines: LineCounter, path: readonly PropertyKey[]): number | undefined => {
  for (let length = path.length; length > 0; length -= 1) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
  }
  return undefined
}

/** Problems of the file alone, then those that the overrides of each stage add, placed where they are written. */
const checkStages = (body: unknown, stages: unknown): Problem[] => {
  if (stages === undefined) return []
  if (!isMap(stages)) return [{ path: ['stages'], text: 'found no map, allowed: a map from stage to overrides' }]
  return Object.entries(stages).flatMap(([stage, override]) => {
    if (!stagePattern.test(stage))
      return [
        { path: ['stages', stage], text: 'found a name that is no stage, allowed: up to 20 of a-z, 0-9 and dash' },
      ]
    if (override === null) return []
    if (!isMap(override)) return [{ path: ['stages', stage], text: 'found no map, allowed: fields to override' }]
    return check(merge(body, override)).problems.map((problem) => ({
      ...problem,
      path: ['stages', stage, ...problem.path],
    }))
  })
}

/**
 * Reads lifeboat.yml (YAML or JSON) as one stage sees it. Throws InvalidInputError that lists every problem of the
 * file and of all stages, one a line, as `field.path (line N): found "value", allowed: ...`.
 */
export const parseConfig = (text: string, options: { stage: string; file: string }): Config => {
  const { stage, file } = options
  if (!stagePattern.test(stage))
    throw new InvalidInputError(`stage: found "${stage}", allowed: up to 20 of a-z, 0-9 and dash, a letter first`)
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: true })
  const [broken] = document.errors
  if (broken) throw new InvalidInputError(`${file} is not YAML: ${broken.message}`, { cause: broken })
  const raw: unknown = document.toJS()
  if (!isMap(raw)) throw new InvalidInputError(`${file}: found no fields, allowed: what docs/lifeboat.schema.json says`)
  const { stages, ...body } = raw
  const base = check(body)
  const known = new Set(base.problems.map((problem) => `${fieldName(problem.path)}: ${problem.text}`))
  const added = checkStages(body, stages).filter(
    (problem) => !known.has(`${fieldName(problem.path.slice(2))}: ${problem.text}`),
  )
  const problems = [...base.problems, ...added]
  if (problems.length > 0) {
    const list = problems.map((problem) => {
      const line = lineOf(document, lines, problem.path)
      return `  ${fieldName(problem.path)}${line === undefined ? '' : ` (line ${line})`}: ${problem.text}`
    })
    throw new InvalidInputError(
      `${file}: ${list.length} ${list.length === 1 ? 'problem' : 'problems'}\n${list.join('\n')}`,
    )
  }
  const override = isMap(stages) ? stages[stage] : undefined
  const merged = isMap(override) ? check(merge(body, override)).config : base.config
  if (!merged) throw new InvalidInputError(`${file}: stage ${stage} is not valid`)
  return merged
}
