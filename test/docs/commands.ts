import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import type { Command as Program } from 'commander'
import type { CliContext } from '../../cli/context.ts'
import { createProgram } from '../../cli/program.ts'
import { parseConfig } from '../../shared/config.ts'
import { unknownParameters } from '../../tools/deploy-checks.ts'
import { readHcl } from '../infra/hcl.ts'
import { type Command, readDocument, root } from './markdown.ts'

/** What is wrong with a command that a document tells people to type; undefined where nothing is. */
export type Check = (words: Command, document: string) => Promise<string | undefined> | string | undefined

const nowhere = { write: () => true }

const withoutActions = (program: Program): void => {
  for (const command of program.commands) {
    if (command.commands.length === 0) command.action(() => undefined)
    withoutActions(command)
  }
}

/** What a document leaves open: `[--option VALUE]` is given, and a number is one. */
const example = (word: string): string => word.replaceAll(/^\[|\]$/g, '').replace(/^N$/, '1')

/** The command's own parser, with nothing done. */
const lifeboat: Check = async (words) => {
  const program = createProgram({ stdout: nowhere, stderr: nowhere } as unknown as CliContext)
  withoutActions(program)
  try {
    await program.parseAsync(words.map(example), { from: 'user' })
    return undefined
  } catch (error) {
    const { code } = error as { code?: string }
    return code === 'commander.helpDisplayed' ? undefined : (error as Error).message
  }
}

const { scripts } = JSON.parse(readDocument('package.json')) as { scripts: Record<string, string> }
const npm: Check = ([verb = '', ...words]) => {
  if (verb === 'ci') return undefined
  const name = verb === 'run' ? words.find((word) => !word.startsWith('-')) : verb
  return name !== undefined && Object.hasOwn(scripts, name) ? undefined : `there is no script ${name}`
}

type Schema = { options: Record<string, unknown> }
const frameworkCommands = createRequire(import.meta.url)('serverless/lib/cli/commands-schema/aws-service.js') as Map<
  string,
  Schema
>
const config = parseConfig(readDocument('lifeboat.yml'), { stage: 'prod', file: 'lifeboat.yml' })
export const unknownNames = (names: readonly string[]): string[] => unknownParameters(config, names)

const serverless: Check = ([verb = '', ...words]) => {
  const schema = frameworkCommands.get(verb)
  if (!schema) return `there is no command ${verb}`
  const options = words.filter((word) => word.startsWith('--')).map((word) => word.slice(2).replace(/=.*$/s, ''))
  const unknown = options.filter((name) => !Object.hasOwn(schema.options, name))
  const given = words.flatMap((word) => /^(?:--param=)?(\w+)=/.exec(word)?.[1] ?? [])
  const problems = [...unknown.map((name) => `--${name}`), ...unknownNames(given.filter((name) => name !== 'name'))]
  return problems.length === 0 ? undefined : `there is no ${problems.join(', ')}`
}

const hcl = readHcl()
const outputs = new Set([...readDocument('infra/gcp/outputs.tf').matchAll(/^output "(\w+)"/gm)].map(([, name]) => name))
const addressOf = (word: string): string[] => word.replace(/\[.*$/, '').split('.')

const terraform: Check = (words, document) => {
  const verb = words.find((word) => !word.startsWith('-'))
  const known = ['init', 'plan', 'apply', 'destroy', 'output', 'import', 'state', 'fmt', 'validate', 'workspace']
  if (verb === undefined || !known.includes(verb)) return `there is no command ${verb}`
  const problems = words.flatMap((word, at) => {
    const [, option = '', value = ''] = /^-([\w-]+)=?(.*)$/.exec(word) ?? []
    if (option === 'chdir') return value === 'infra/gcp' ? [] : [word]
    if (option === 'var-file') {
      const made = document.includes(`cp stages/prod.tfvars ${value}`) || /STAGE|\.\.\./.test(value)
      return made || existsSync(join(root, 'infra/gcp', value)) ? [] : [word]
    }
    if (words[at - 1] === '-var') return Object.hasOwn(hcl.variable, word.replace(/=.*$/, '')) ? [] : [word]
    const [type = '', name = ''] = addressOf(word)
    if (type.startsWith('google_')) return hcl.resource[type]?.[name] ? [] : [word]
    return []
  })
  const output = verb === 'output' ? words.at(-1) : undefined
  if (output !== undefined && output !== 'output' && !outputs.has(output)) problems.push(output)
  return problems.length === 0 ? undefined : `there is no ${problems.join(', ')}`
}

const programs: Record<string, Check> = { lifeboat, npm, serverless, terraform }

/** The check of a command, and its words; undefined where only a tool can tell, or nobody. */
export const checkOf = ([first = '', ...words]: Command): { check: Check; words: Command } | undefined => {
  const [name = '', ...rest] = first === 'npx' ? words : [first, ...words]
  const check = Object.hasOwn(programs, name) ? programs[name] : undefined
  return check && { check, words: rest }
}
