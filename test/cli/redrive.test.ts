import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { rowsConfig } from '../support/cli-rows.ts'
import { runCli } from '../support/cli.ts'
import { functionError, type InvokeAnswer, startInvoke } from '../support/lambda-invoke.ts'

type Call = { path: string; payload: unknown }

let dir: string
let lambda: Awaited<ReturnType<typeof startInvoke>>
let answers: InvokeAnswer[]
let calls: Call[]
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-redrive-'))
  await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(rowsConfig))
  answers = []
  calls = []
  lambda = await startInvoke((payload, path) => {
    calls.push({ path, payload })
    return answers.shift() ?? { status: 400, body: { Message: 'not expected' } }
  })
})
afterEach(async () => {
  lambda.stop()
  await rm(dir, { recursive: true, force: true })
})

const cli = (...args: string[]) => runCli(['redrive', ...args], { cwd: dir })
const counts = (redriven: number, failed: string[] = [], isComplete = true): InvokeAnswer => ({
  body: {
    redriven,
    failures: failed.length,
    failed: failed.map((name) => ({ name, reason: `${name} is odd` })),
    isComplete,
  },
})
const invoke = 'POST /2015-03-31/functions/lifeboat-dev-redrive/invocations'
describe('lifeboat redrive', () => {
  test('calls again until all is done, and counts over the calls', async () => {
    answers = [counts(500, ['a'], false), counts(20, ['a'], false), counts(1)]
    const { code, stdout, stderr } = await cli()
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'redriven 521 changes\n' })
    expect(stderr).toBe(
      [
        'calling lifeboat-dev-redrive, which may take minutes',
        'call 1: 500 redriven, 1 failed so far; going on',
        'call 2: 520 redriven, 1 failed so far; going on',
        '',
      ].join('\n'),
    )
    expect(calls).toEqual(Array.from({ length: 3 }, () => ({ path: invoke, payload: { lifeboat: 'redrive' } })))
  })

  test('what remains is listed with its reason, and is 1', async () => {
    answers = [counts(2, ['quarantine/users/1.json', 'evil\u001b[2J'])]
    const { code, stdout, stderr } = await cli('--table', 'users', '--stage', 'prod', '--quiet')
    expect(code).toBe(1)
    expect(stdout).toBe(
      [
        'redriven 2 changes, 2 failed and stay',
        '',
        'change                   reason',
        'quarantine/users/1.json  quarantine/users/1.json is odd',
        'evil\\u{1b}[2J            evil\\u{1b}[2J is odd',
        '',
      ].join('\n'),
    )
    expect(stderr).toBe('lifeboat: 2 changes could not be redriven\n')
    const payload = { lifeboat: 'redrive', table: 'users' }
    expect(calls).toEqual([{ path: invoke.replace('dev', 'prod'), payload }])
  })

  test('JSON has the counts', async () => {
    answers = [counts(2, ['x'], false), counts(0, ['x'])]
    const { code, stdout } = await cli('--json')
    expect(code).toBe(1)
    expect(JSON.parse(stdout)).toEqual({
      schema: 1,
      function: 'lifeboat-dev-redrive',
      table: null,
      redriven: 2,
      failures: 1,
      failed: [{ name: 'x', reason: 'x is odd' }],
      complete: true,
      calls: 2,
    })
  })

  test('ends where a call gets nowhere', async () => {
    answers = [counts(3, ['x'], false), counts(0, ['x'], false)]
    const { code, stdout } = await cli()
    expect(code).toBe(1)
    expect(stdout).toContain('not all were tried')
    expect(calls).toHaveLength(2)
  })

  test.each([
    ['NotConfiguredError', 'no tables', 2],
    ['DeniedError', 'read: no', 3],
    ['UnavailableError', 'S3 is away', 3],
    ['Sandbox.Timedout', 'RequestId: 1 Error: Task timed out after 900.00 seconds', 3],
    ['TypeError', 'x is not a function', 70],
  ])('a function that failed with %s says so', async (errorType, errorMessage, exitCode) => {
    answers = [functionError(errorType, errorMessage)]
    const { code, stderr, stdout } = await cli('--quiet', '--json')
    expect(code).toBe(exitCode)
    expect(stderr).toContain(`lifeboat: lifeboat-dev-redrive failed: ${errorType}: ${errorMessage}`)
    expect(JSON.parse(stdout)).toMatchObject({ error: { exitCode } })
  })

  test.each([
    [403, 'AccessDeniedException', 3, 'the caller needs lambda:InvokeFunction'],
    [404, 'ResourceNotFoundException', 4, 'there is no function lifeboat-dev-redrive'],
    [429, 'TooManyRequestsException', 3, 'TooManyRequestsException'],
  ])('an answer of %i is an error that says what to do', async (status, type, exitCode, message) => {
    answers = [{ status, headers: { 'x-amzn-errortype': type }, body: { Message: 'no' } }]
    const { code, stderr } = await cli('--quiet')
    expect(code).toBe(exitCode)
    expect(stderr).toContain(message)
  })

  test('an answer that is no count, a table that is not configured, no server', async () => {
    answers = [{ body: { redriven: '1' } }]
    expect(await cli()).toMatchObject({ code: 70 })
    const unknown = await cli('--table', 'flag')
    expect(unknown).toMatchObject({ code: 4 })
    expect(unknown.stderr).toContain('did you mean "flags"?')
    expect(calls).toHaveLength(1)
    vi.stubEnv('AWS_ENDPOINT_URL_LAMBDA', 'http://127.0.0.1:9')
    const away = await cli('--quiet')
    expect(away).toMatchObject({ code: 3, stdout: '' })
    expect(away.stderr).toContain('ECONNREFUSED')
  })

  test('as a process, without credentials, it is 3 and says what is missing', async () => {
    const child = spawn(
      process.execPath,
      [fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url)), 'redrive'],
      {
        cwd: dir,
        env: {
          PATH: process.env['PATH'],
          HOME: dir,
          AWS_ENDPOINT_URL_LAMBDA: lambda.url,
          AWS_EC2_METADATA_DISABLED: 'true',
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    )
    const [[code], stderr] = await Promise.all([once(child, 'exit'), text(child.stderr)])
    expect(code).toBe(3)
    expect(stderr).toContain('no AWS credentials to invoke lifeboat-dev-redrive with')
    expect(calls).toEqual([])
  })
})
