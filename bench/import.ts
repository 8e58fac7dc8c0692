import { execFile } from 'node:child_process'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Template } from '../local/lambda/template.ts'
import { packageStack } from '../local/lambda/package.ts'
import { stage } from '../local/stack.ts'
import { cacheDir, withFolder } from './local-stack.ts'
import { judged, median, type Section } from './report.ts'

/** What a cold start pays before the handler: starting Node and importing the bundle, with its clients built. */

const rounds = 7
const objectMsMax = 400
const rowMsMax = 600
const rowFunctions = new Set(['apply-changes', 'redrive', 'compare-rows'])

// With a table: without one the functions of rows are not there.
const configText = `formatVersion: 1
source: { account: "111122223333", region: us-east-1 }
replica: { project: lifeboat-local, bucket: replica, bigtableInstance: replica }
buckets: [{ name: models }]
tables:
  - name: features
    streams: [{ arn: "arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-01-01T00:00:00.000", epoch: 1 }]
`

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

const timer = `const t=performance.now(),c=process.cpuUsage();if(process.argv[1])await import(process.argv[1]);const d=process.cpuUsage(c);console.log(performance.now()-t,(d.user+d.system)/1000);process.exit(0)`

/** Milliseconds: of the whole process, of the import alone, and of processors in it, which other programs do not lengthen as much. */
type Run = { processMs: number; importMs: number; cpuMs: number }

const run = async (env: NodeJS.ProcessEnv, module?: string): Promise<Run> => {
  const args = ['--input-type=module', '-e', timer, ...(module === undefined ? [] : [module])]
  const startedAt = performance.now()
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  const processMs = performance.now() - startedAt
  const [importMs = NaN, cpuMs = NaN] = stdout.trim().split('\n').at(-1)!.split(' ').map(Number)
  return { processMs, importMs, cpuMs }
}

const measure = async (env: NodeJS.ProcessEnv, module?: string): Promise<Run> => {
  const runs: Run[] = []
  for (let round = 0; round < rounds; round += 1) runs.push(await run(env, module))
  return {
    processMs: median(runs.map(({ processMs }) => processMs)),
    importMs: median(runs.map(({ importMs }) => importMs)),
    cpuMs: median(runs.map(({ cpuMs }) => cpuMs)),
  }
}

export const benchImport = (): Promise<Section[]> =>
  withFolder(async (dir) => {
    const configFile = join(dir, 'lifeboat.yml')
    await writeFile(configFile, configText)
    const { template, buildDir } = await packageStack({ configFile, stage, cacheDir })
    const env = environment(template, configFile)
    const bare = await measure(env)
    const rows = [['node alone', '-', '-', bare.processMs.toFixed(0), '-', '-']]
    const slow: string[] = []
    const names = (await readdir(buildDir, { withFileTypes: true })).filter((entry) => entry.isDirectory())
    for (const { name } of names.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
      const module = join(buildDir, name, 'functions', `${name}.mjs`)
      const { processMs, importMs, cpuMs } = await measure(env, module)
      if (importMs > (rowFunctions.has(name) ? rowMsMax : objectMsMax)) slow.push(name)
      rows.push([
        name,
        ((await readFile(module)).length / 1024).toFixed(0),
        ((await stat(join(buildDir, `${name}.zip`))).size / 1024).toFixed(0),
        processMs.toFixed(0),
        importMs.toFixed(0),
        cpuMs.toFixed(0),
      ])
    }
    return [
      {
        id: 'import',
        title: 'Import of the functions',
        head: ['function', 'bundle KiB', 'zip KiB', 'process ms', 'import ms', 'import CPU ms'],
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
