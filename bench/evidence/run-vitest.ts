import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { z } from 'zod'

const program = fileURLToPath(new URL('../../node_modules/vitest/vitest.mjs', import.meta.url))
const root = fileURLToPath(new URL('../..', import.meta.url))

const reportSchema = z.object({
  numPassedTests: z.number(),
  numPendingTests: z.number(),
  testResults: z.array(
    z.object({ assertionResults: z.array(z.object({ fullName: z.string(), failureMessages: z.array(z.string()) })) }),
  ),
})

const judge = (json: string): string[] => {
  const report = reportSchema.parse(JSON.parse(json))
  const failed = report.testResults.flatMap(({ assertionResults }) =>
    assertionResults
      .filter(({ failureMessages }) => failureMessages.length > 0)
      .map(({ fullName, failureMessages }) => `${fullName}: ${failureMessages.join(' ').slice(0, 1500)}`),
  )
  if (failed.length > 0) return failed
  return report.numPendingTests > 0 || report.numPassedTests === 0
    ? [`${report.numPendingTests} tests did not run on this machine`]
    : []
}

/** Runs one test file with an environment; what did not run is a problem as well as what failed. */
export const runVitest = async (file: string, env: Record<string, string>): Promise<{ problems: string[] }> => {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-vitest-'))
  const report = join(folder, 'report.json')
  try {
    const child = spawn(process.execPath, [program, 'run', file, '--reporter=json', `--outputFile=${report}`], {
      cwd: root,
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const [[code], out, err] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
    const json = await readFile(report, 'utf8').catch(() => undefined)
    const problems = json === undefined ? [] : judge(json)
    if (problems.length === 0 && (code !== 0 || json === undefined))
      problems.push(`${file} ended with ${String(code)}: ${(err || out).slice(-2000)}`)
    return { problems }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}
