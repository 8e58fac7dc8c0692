import { z } from 'zod'

/** The parts of a CloudFormation template that run here. */
export type Resource = { Type: string; Condition?: string | undefined; Properties: Record<string, unknown> }
export type Template = {
  Parameters: Record<string, { Type: string; Default?: string | number | undefined }>
  Conditions: Record<string, unknown>
  Resources: Record<string, Resource>
}

const templateSchema = z.object({
  Parameters: z
    .record(z.string(), z.object({ Type: z.string(), Default: z.union([z.string(), z.number()]).optional() }))
    .default({}),
  Conditions: z.record(z.string(), z.unknown()).default({}),
  Resources: z.record(
    z.string(),
    z.object({
      Type: z.string(),
      Condition: z.string().optional(),
      Properties: z.record(z.string(), z.unknown()).default({}),
    }),
  ),
})

/** Throws with the path of what is not a template. */
export const parseTemplate = (value: unknown): Template => {
  const result = templateSchema.safeParse(value)
  if (result.success) return result.data
  throw new Error(`not a CloudFormation template: ${z.prettifyError(result.error)}`)
}

/** What Ref and Fn::GetAtt answer for one resource. */
export type Physical = { ref: string; attributes: Record<string, string> }
export type Resolver = {
  /** The value with every intrinsic function replaced; `AWS::NoValue` drops the field or list entry. */
  resolve: (value: unknown) => unknown
  condition: (name: string) => boolean
}

const noValue = Symbol('AWS::NoValue')
const asList = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value])
const asText = (value: unknown): string => {
  if (typeof value === 'string') return value
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  throw new Error(`expected text, found ${JSON.stringify(value)}`)
}

type Lookup = { reference(name: string): unknown; attribute(name: string, field: string): string }
type ResolverOptions = {
  template: Template
  account: string
  region: string
  stackName: string
  physical: ReadonlyMap<string, Physical>
}

const createLookup = ({ template, account, region, stackName, physical }: ResolverOptions): Lookup => {
  const pseudo: Record<string, string | symbol> = {
    'AWS::AccountId': account,
    'AWS::Region': region,
    'AWS::Partition': 'aws',
    'AWS::URLSuffix': 'amazonaws.com',
    'AWS::StackName': stackName,
    'AWS::NoValue': noValue,
  }
  return {
    reference: (name) => {
      if (Object.hasOwn(pseudo, name)) return pseudo[name]
      const parameter = template.Parameters[name]
      if (parameter) {
        const value = parameter.Default ?? ''
        return parameter.Type.includes('List') ? asText(value).split(',') : value
      }
      const found = physical.get(name)
      if (!found) throw new Error(`Ref ${name}: no such resource runs here`)
      return found.ref
    },
    attribute: (name, field) => {
      const value = physical.get(name)?.attributes[field]
      if (value === undefined) throw new Error(`Fn::GetAtt ${name}.${field}: no such resource or attribute runs here`)
      return value
    },
  }
}

type Intrinsic = (argument: unknown) => unknown

const createIntrinsics = (lookup: Lookup, { resolve, condition }: Resolver): Record<string, Intrinsic> => ({
  Ref: (argument) => lookup.reference(asText(argument)),
  Condition: (argument) => condition(asText(argument)),
  'Fn::GetAtt': (argument) => {
    const [name = '', ...field] = typeof argument === 'string' ? argument.split('.') : asList(argument).map(asText)
    return lookup.attribute(name, field.join('.'))
  },
  'Fn::Sub': (argument) => {
    const [text, variables] = asList(argument) as [string, Record<string, unknown>?]
    return text.replaceAll(/\$\{(!?)([^}]*)\}/g, (_, literal: string, name: string) => {
      if (literal) return `\${${name}}`
      if (variables && Object.hasOwn(variables, name)) return asText(resolve(variables[name]))
      const [logical = '', ...field] = name.split('.')
      return field.length > 0 ? lookup.attribute(logical, field.join('.')) : asText(lookup.reference(name))
    })
  },
  'Fn::Join': (argument) => {
    const [separator, parts] = asList(argument)
    return asList(resolve(parts)).map(asText).join(asText(separator))
  },
  'Fn::Split': (argument) => {
    const [separator, text] = asList(argument)
    return asText(resolve(text)).split(asText(separator))
  },
  'Fn::Select': (argument) => {
    const [index, list] = asList(argument)
    return asList(resolve(list))[Number(index)]
  },
  'Fn::If': (argument) => {
    const [name, yes, no] = asList(argument)
    return resolve(condition(asText(name)) ? yes : no)
  },
  'Fn::Equals': (argument) => {
    const [left, right] = asList(argument).map((side) => resolve(side))
    return left === right
  },
  'Fn::Not': (argument) => asList(argument).every((side) => resolve(side) !== true),
  'Fn::And': (argument) => asList(argument).every((side) => resolve(side) === true),
  'Fn::Or': (argument) => asList(argument).some((side) => resolve(side) === true),
})

/**
 * Answers the intrinsic functions Ref, GetAtt, Sub, Join, Select, Split, If, Equals, And, Or, Not and Condition.
 * Any other function, and a resource that is not in `physical`, throws: nothing is guessed.
 */
export const createResolver = (options: ResolverOptions): Resolver => {
  const { Conditions } = options.template
  const condition = (name: string): boolean => {
    if (!Object.hasOwn(Conditions, name)) throw new Error(`there is no condition ${name}`)
    return resolve(Conditions[name]) === true
  }
  const resolve = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map((entry) => resolve(entry)).filter((entry) => entry !== noValue)
    if (value === null || typeof value !== 'object') return value
    const entries = Object.entries(value)
    const [first] = entries
    if (entries.length === 1 && first) {
      const [name, argument] = first
      const answer = intrinsics[name]
      // A policy has a field Condition too, with a map.
      if (answer && (name !== 'Condition' || typeof argument === 'string')) return answer(argument)
      if (name.startsWith('Fn::')) throw new Error(`${name} does not run here`)
    }
    return Object.fromEntries(
      entries.map(([key, entry]) => [key, resolve(entry)] as const).filter(([, entry]) => entry !== noValue),
    )
  }
  const resolver = { resolve, condition }
  const intrinsics = createIntrinsics(createLookup(options), resolver)
  return resolver
}
