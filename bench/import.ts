import { execFile } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Template } from '../local/lambda/template.ts'
import { packageStack } from '../local/lambda/package.ts'
import { stage } from '../local/stack.ts'
import { cacheDir, withFolder, writeConfig } from './local-stack.ts'
import { judged, median, type Section } from './report.ts'

/** What a cold start pays before the handler: starting Node and importing the bundle, with its clients built. */

const rounds = 7
const objectMsMax = 400
const rowMsMax = 600
const rowFunctions = new Set(['apply-changes', 'redrive'])

/** What the template sets for any function, as it is where it is text, and what the runtime adds; nothing is called. */
const environment = (template: Template, configFile: string): NodeJS.ProcessEnv => {
  const found = Object.values(template.Resources).flatMap(({ Type, Properties }) =>
    Type === 'AWS::Lambda::Function'
      ? Object.entries((Properties as { Environment?: { Variables?: object } }).Environment?.Variables ?? {})
      : [],
  )
  return {
    PATH: process.env['PATH'],
    ...Object.fromEntries(
      found.map(([name, value]) => [name, typeof value === 'string' ? value : 'http://127.0.0.1/none']),
    ),
    LIFEBOAT_CONFIG: configFile,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'none',
    AWS_SECRET_ACCESS_KEY: 'none',
  }
}

const timer = `const t=performance.now();if(process.argv[1])await import(process.argv[1]);console.log(performance.now()-t);process.exit(0)`

/** Milliseconds: of the whole process, and of the import alone. */
const run = async (env: NodeJS.ProcessEnv, module?: string): Promise<{ processMs: number; importMs: number }> => {
  const args = ['--input-type=module', '-e', timer, ...(module === undefined ? [] : [module])]
  const startedAt = performance.now()
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  return { processMs: performance.now() - startedAt, importMs: Number(stdout.trim().split('\n').at(-1)) }
}

const measure = async (env: NodeJS.ProcessEnv, module?: string): Promise<{ processMs: number; importMs: number }> => {
  const runs: { processMs: number; importMs: number }[] = []
  for (let round = 0; round < rounds; round += 1) runs.push(await run(env, module))
  return {
    processMs: median(runs.map(({ processMs }) => processMs)),
    importMs: median(runs.map(({ importMs }) => importMs)),
  }
}

export const benchImport = (): Promise<Section[]> =>
  withFolder(async (dir) => {
    const configFile = await writeConfig(dir)
    const { template, buildDir } = await packageStack({ configFile, stage, cacheDir })
    const env = environment(template, configFile)
    const bare = await measure(env)
    const rows = [['node alone', '-', '-', bare.processMs.toFixed(0), '-']]
    const slow: string[] = []
    const names = (await readdir(buildDir, { withFileTypes: true })).filter((entry) => entry.isDirectory())
    for (const { name } of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const module = join(buildDir, name, 'functions', `${name}.mjs`)
      const { processMs, importMs } = await measure(env, module)
      if (importMs > (rowFunctions.has(name) ? rowMsMax : objectMsMax)) slow.push(name)
      rows.push([
        name,
        ((await readFile(module)).length / 1024).toFixed(0),
        ((await stat(join(buildDir, `${name}.zip`))).size / 1024).toFixed(0),
        processMs.toFixed(0),
        importMs.toFixed(0),
      ])
    }
    return [
      {
        id: 'import',
        title: 'Import of the functions',
        head: ['function', 'bundle KiB', 'zip KiB', 'process ms', 'import ms'],
        rows,
        notes: [
          `Median of ${rounds} processes; the import builds the clients too.`,
          judged(
            `Target, at most ${objectMsMax} ms for functions of objects and ${rowMsMax} ms for those of rows${slow.length > 0 ? ` (${slow.join(', ')})` : ''}`,
            slow.length === 0,
          ),
        ],
      },
    ]
  })
