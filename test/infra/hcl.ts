import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

/**
 * The files of infra/gcp as data: blocks are lists under their types and labels, an expression is `${its text}`. It needs no
 * Terraform, and so runs everywhere.
 */
export type Body = { [name: string]: unknown }
export type Blocks = Record<string, Record<string, Body[]>>
export type Hcl = { resource: Blocks; data: Blocks; variable: Record<string, Body[]>; locals: Body }

type Parse = (text: string) => [Record<string, unknown> | null, unknown]
const { parseToObject } = createRequire(import.meta.url)('hcl2-parser') as { parseToObject: Parse }

const folder = join(import.meta.dirname, '../../infra/gcp')

const merge = (into: Record<string, unknown>, from: Record<string, unknown>): void => {
  for (const [key, value] of Object.entries(from)) {
    const there = into[key]
    if (there && !Array.isArray(there) && value && typeof value === 'object')
      merge(there as Record<string, unknown>, value as Record<string, unknown>)
    else if (Array.isArray(there)) there.push(...(value as unknown[]))
    else into[key] = value
  }
}

/** One file below infra/gcp; of a .tfvars the variables that it sets. */
export const parseFile = (name: string): Body => {
  const [parsed] = parseToObject(readFileSync(join(folder, name), 'utf8'))
  if (!parsed) throw new Error(`${name} is not HCL`)
  return parsed
}

export const readHcl = (): Hcl => {
  const all: Record<string, unknown> = {}
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.tf'))) {
    merge(all, parseFile(name))
  }
  const locals = Object.assign({}, ...(all['locals'] as Body[])) as Body
  return { ...(all as Omit<Hcl, 'locals'>), locals }
}
