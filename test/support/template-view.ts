import type { Template } from '../../local/lambda/template.ts'

/** A compiled template as it is deployed under some answers to its conditions. */

export type Properties = Record<string, unknown>
export type Viewed = { name: string; type: string; properties: Properties; deletionPolicy: string | undefined }

const noValue = Symbol('AWS::NoValue')

const choose = (value: unknown, answers: Readonly<Record<string, boolean>>): unknown => {
  if (Array.isArray(value)) return value.map((one) => choose(one, answers)).filter((one) => one !== noValue)
  if (value === null || typeof value !== 'object') return value
  const { 'Fn::If': branches, Ref } = value as { 'Fn::If'?: [string, unknown, unknown]; Ref?: string }
  if (Ref === 'AWS::NoValue') return noValue
  if (branches) {
    const answer = answers[branches[0]]
    if (answer === undefined) throw new Error(`nobody answers the condition ${branches[0]}`)
    return choose(answer ? branches[1] : branches[2], answers)
  }
  const entries = Object.entries(value).map(([key, one]) => [key, choose(one, answers)] as const)
  return Object.fromEntries(entries.filter(([, one]) => one !== noValue))
}

/** Every resource that there is, with the branches of Fn::If that are taken; other intrinsic functions stay as they are. */
export const viewTemplate = (template: Template, answers: Readonly<Record<string, boolean>>): Viewed[] =>
  Object.entries(template.Resources)
    .filter(([, { Condition }]) => Condition === undefined || answers[Condition] === true)
    .map(([name, resource]) => ({
      name,
      type: resource.Type,
      properties: choose(resource.Properties, answers) as Properties,
      deletionPolicy: (resource as { DeletionPolicy?: string }).DeletionPolicy,
    }))

export const ofType = (resources: readonly Viewed[], type: string): Viewed[] =>
  resources.filter((resource) => resource.type === type)

/** Whether `value` names the resource by Ref, Fn::GetAtt or Fn::Sub. */
export const names = (value: unknown, resource: string): boolean => {
  const text = JSON.stringify(value) ?? ''
  return text.includes(`"${resource}"`) || text.includes(`\${${resource}}`) || text.includes(`\${${resource}.`)
}

export const listOf = <T>(value: T | readonly T[] | undefined): T[] =>
  value === undefined ? [] : Array.isArray(value) ? [...(value as T[])] : [value as T]
