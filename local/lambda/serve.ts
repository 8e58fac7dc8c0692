/**
 * The runner as a process: `node local/lambda/serve.ts OPTIONS.json`. Prints one JSON line with its url when it is
 * ready; SIGTERM and SIGINT end it after the batches that run, a closed stdin (its parent is gone) at once.
 */
import { readFileSync } from 'node:fs'
import { deployStack } from './deploy.ts'
import { type RunnerOptions, startRunner } from './runner.ts'
import type { Endpoints } from './stack.ts'
import { parseTemplate } from './template.ts'

/** `template` is a path; what packageStack answers can be written there. */
export type ServeOptions = Pick<
  RunnerOptions,
  'buildDir' | 'dir' | 'port' | 'instancesMax' | 'scheduleSpeed' | 'metricsSpeed'
> & {
  template: string
  endpoints: Endpoints
  account: string
  region: string
  extraEnv?: Record<string, string>
  visibilitySeconds?: number
}

const [file] = process.argv.slice(2)
if (file === undefined) {
  console.error('usage: node local/lambda/serve.ts OPTIONS.json')
  process.exit(2)
}
const options = JSON.parse(readFileSync(file, 'utf8')) as ServeOptions
const template = parseTemplate(JSON.parse(readFileSync(options.template, 'utf8')))
const stack = await deployStack({ ...options, template })
const runner = await startRunner({ ...options, stack })
process.stdout.write(`${JSON.stringify({ service: 'lambda', url: runner.url, port: runner.port })}\n`)

const end = async (work: Promise<void>): Promise<void> => {
  await work.catch((error: unknown) => console.error(error))
  process.exit(0)
}
process.stdin.resume().once('end', () => void end(runner.kill()))
for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => void end(runner.stop()))
