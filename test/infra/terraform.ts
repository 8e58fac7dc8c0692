import { spawn } from 'node:child_process'
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findTool } from '../support/tools.ts'
import { startOfflineProvider } from './offline-provider.ts'

/** Deep tier: infra/gcp as the real Terraform checks and evaluates it, with nothing but the provider's schema. */

const root = join(import.meta.dirname, '../..')

export type Resource = { address: string; type: string; name: string; index?: string; values: Record<string, unknown> }
/** What a configuration comes to: everything that Terraform would make, or why it refuses. */
export type Evaluated = { resources: Resource[]; outputs: Record<string, unknown>; refusals: string[] }
export type Case = { config: string; variables: Record<string, unknown> }

type Ended = { code: number | null; stdout: string; stderr: string }
type Diagnostic = { severity: string; summary: string; detail?: string }
type Line = {
  type: string
  '@testfile'?: string
  diagnostic?: Diagnostic
  test_state?: { root_module?: { resources?: Resource[] }; outputs?: Record<string, { value: unknown }> }
}

/** What a provider would make up: all of it is random but the number of the project. */
const mock =
  'mock_provider "google" {\n  mock_data "google_project" {\n    defaults = { number = "111111111111" }\n  }\n}\n'

const assignments = (variables: Record<string, unknown>): string =>
  // JSON is HCL's notation of values, too, but for what a string may interpolate.
  Object.entries(variables)
    .map(([name, value]) => `    ${name} = ${JSON.stringify(value)}\n`)
    .join('')

const words = ({ summary, detail = '' }: Diagnostic): string => `${summary}: ${detail}`

const toEvaluated = (lines: Line[]): Evaluated => {
  const state = lines.find(({ test_state }) => test_state)?.test_state
  return {
    resources: state?.root_module?.resources ?? [],
    outputs: Object.fromEntries(Object.entries(state?.outputs ?? {}).map(([name, { value }]) => [name, value])),
    refusals: lines.flatMap(({ diagnostic }) => (diagnostic?.severity === 'error' ? [words(diagnostic)] : [])),
  }
}

export type Terraform = {
  run(args: string[], folder?: string): Promise<Ended>
  /** A copy of infra/, which Terraform writes beside. */
  dir: string
  evaluate(cases: Record<string, Case>): Promise<Record<string, Evaluated>>
  close(): Promise<void>
}

/** A copy of infra/gcp that is initialized, or undefined where there is no Terraform. */
export const openTerraform = async (): Promise<Terraform | undefined> => {
  const tool = findTool('terraform')
  if (tool === undefined) return undefined
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-terraform-'))
  const gcp = join(dir, 'infra/gcp')
  await cp(join(root, 'infra/gcp'), gcp, { recursive: true, filter: (path) => !path.includes('.terraform') })
  const provider = await startOfflineProvider()
  const run = (args: string[], folder = gcp): Promise<Ended> =>
    new Promise((resolve, reject) => {
      const child = spawn(tool, args, {
        cwd: folder,
        env: { PATH: process.env['PATH'], HOME: dir, CHECKPOINT_DISABLE: '1', ...provider.env },
      })
      const texts = { stdout: '', stderr: '' }
      child.stdout.on('data', (part) => (texts.stdout += String(part)))
      child.stderr.on('data', (part) => (texts.stderr += String(part)))
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, ...texts }))
    })
  const evaluate = async (cases: Record<string, Case>): Promise<Record<string, Evaluated>> => {
    const tests = join(gcp, 'tests')
    await rm(tests, { recursive: true, force: true })
    await mkdir(tests)
    for (const [name, { config, variables }] of Object.entries(cases)) {
      const file = join(dir, `${name}.yml`)
      await writeFile(file, config)
      const all = assignments({ config: file, ...variables })
      await writeFile(join(tests, `${name}.tftest.hcl`), `${mock}run "it" {\n  variables {\n${all}  }\n}\n`)
    }
    const { stdout, stderr } = await run(['test', '-json', '-verbose'])
    const lines = stdout.split('\n').flatMap((line) => (line.startsWith('{') ? [JSON.parse(line) as Line] : []))
    if (!lines.some(({ type }) => type === 'test_summary')) throw new Error(`terraform test said ${stdout}${stderr}`)
    return Object.fromEntries(
      Object.keys(cases).map((name) => [
        name,
        toEvaluated(lines.filter((line) => line['@testfile'] === `tests/${name}.tftest.hcl`)),
      ]),
    )
  }
  const close = async (): Promise<void> => {
    await provider.close()
    await rm(dir, { recursive: true, force: true })
  }
  const init = await run(['init', '-no-color'])
  if (init.code !== 0) {
    await close()
    throw new Error(`terraform init: ${init.stdout}${init.stderr}`)
  }
  return { run, dir, evaluate, close }
}
