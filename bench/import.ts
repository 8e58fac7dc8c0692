import { execFile } from 'node:child_process'
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { packageStack } from '../local/lambda/package.ts'
import { stage } from '../local/stack.ts'
import { cacheDir, withFolder, writeConfig } from './local-stack.ts'
import { judged, median, type Section } from './report.ts'

/** What a cold start pays before the handler: starting Node and importing the bundle, with its clients built. */

const rounds = 7
const objectMsMax = 400
const rowMsMax = 600
const rowFunctions = new Set(['apply-changes'])

/** All that the functions read at import; nothing is called. */
const environment = (configFile: string): NodeJS.ProcessEnv => ({
  PATH: process.env['PATH'],
  STAGE: stage,
  LIFEBOAT_CONFIG: configFile,
  LEDGER_TABLE: 'none',
  OBJECTS_QUEUE_URL: 'http://127.0.0.1/none',
  SEGMENTS_QUEUE_URL: 'http://127.0.0.1/none',
  GCP_SERVICE_ACCOUNT: 'lifeboat-writer',
  GCS_ENDPOINT: 'http://127.0.0.1:9',
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'none',
  AWS_SECRET_ACCESS_KEY: 'none',
})

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
    const nodeOptions = nodeOptionsOf(JSON.stringify(template))
    const env = { ...environment(configFile), ...(nodeOptions === undefined ? {} : { NODE_OPTIONS: nodeOptions }) }
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

/** Node's options as the template sets them for the functions. */
const nodeOptionsOf = (template: string): string | undefined => /"NODE_OPTIONS":"([^"]*)"/.exec(template)?.[1]
