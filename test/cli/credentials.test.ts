import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { translateError } from '../../shared/clouds/gcp/errors.ts'

const bin = fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url))
const closedPort = 'http://127.0.0.1:9'

let dir: string
let servers: Server[] = []
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-credentials-'))
})
afterEach(() => {
  for (const server of servers) server.close()
  servers = []
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** A metadata server; resolves with its host and the paths that were asked for. */
const startMetadata = async (answer: (path: string) => { status: number; body: string }) => {
  const paths: string[] = []
  const server = createServer((request, response) => {
    const path = request.url ?? '/'
    paths.push(path)
    const { status, body } = answer(path)
    response.writeHead(status, { 'metadata-flavor': 'Google', 'content-type': 'application/json' })
    response.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  servers.push(server)
  return { host: `127.0.0.1:${(server.address() as AddressInfo).port}`, paths }
}

/** A machine whose only way out is a proxy that is not there, so that nothing leaves this one. */
const run = async (env: Record<string, string>, ...args: string[]) => {
  const child = spawn(process.execPath, [bin, 'ls', '--replica', 'gs://some-replica', ...args], {
    cwd: dir,
    env: {
      PATH: process.env['PATH'],
      HOME: dir,
      HTTPS_PROXY: closedPort,
      https_proxy: closedPort,
      NO_PROXY: '127.0.0.1',
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'exit'), text(child.stdout), text(child.stderr)])
  return { code: Number(code), stdout, stderr }
}

describe('Google credentials', () => {
  test.each([404, 403, 500])('none, and a metadata server that answers %i: what to do, in one line', async (status) => {
    const { host, paths } = await startMetadata(() => ({ status, body: '{}' }))
    const { code, stdout, stderr } = await run({ GCE_METADATA_HOST: host })
    expect(stderr).toBe(
      'lifeboat: no Google credentials: run "gcloud auth application-default login", or set GOOGLE_APPLICATION_CREDENTIALS to a credentials file\n',
    )
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
    expect(paths.length).toBeGreaterThan(0)
  })

  test("those of Google's own machines are taken, and an unreachable Cloud Storage is one short line", async () => {
    const token = JSON.stringify({ access_token: 'from-the-metadata-server', expires_in: 3600, token_type: 'Bearer' })
    const { host, paths } = await startMetadata((path) => ({
      status: 200,
      body: path.includes('/token') ? token : '{}',
    }))
    const { code, stdout, stderr } = await run({ GCE_METADATA_HOST: host })
    expect(paths.some((path) => path.includes('/service-accounts/default/token'))).toBe(true)
    expect(stderr).toBe(
      'lifeboat: cannot reach storage.googleapis.com (ECONNREFUSED) to list gs://some-replica/config/\n',
    )
    expect({ code, stdout }).toEqual({ code: 3, stdout: '' })
  })

  test('a file of a user whose token server cannot be reached, and a file that is not there', async () => {
    const file = join(dir, 'user.json')
    const user = { type: 'authorized_user', client_id: 'c', client_secret: 's', refresh_token: 'r' }
    await writeFile(file, JSON.stringify(user))
    expect(await run({ GOOGLE_APPLICATION_CREDENTIALS: file })).toEqual({
      code: 3,
      stdout: '',
      stderr: 'lifeboat: cannot reach oauth2.googleapis.com (ECONNREFUSED) to list gs://some-replica/config/\n',
    })
    const missing = await run({ GOOGLE_APPLICATION_CREDENTIALS: join(dir, 'no.json') }, '--json')
    expect(missing.code).toBe(3)
    expect(missing.stderr).toMatch(
      /^lifeboat: no usable Google credentials: The file at .*no\.json does not exist.*: run "gcloud auth/,
    )
    expect(JSON.parse(missing.stdout)).toMatchObject({ schema: 1, error: { name: 'DeniedError', exitCode: 3 } })
  })
})

describe('errors of Cloud Storage', () => {
  const url = `https://storage.googleapis.com/storage/v1/b/x/o?prefix=releases%2F&fields=items(${'name%2C'.repeat(50)})`

  test('a request that was not answered names the host and the reason, not the URL', () => {
    const cause = Object.assign(new Error(`request to ${url} failed, reason: getaddrinfo EAI_AGAIN`), {
      code: 'EAI_AGAIN',
    })
    const error = translateError('list', 'gs://x/releases/', cause)
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error.message).toBe('cannot reach storage.googleapis.com (EAI_AGAIN) to list gs://x/releases/')
    const timeout = Object.assign(new Error('The operation was aborted'), { name: 'AbortError' })
    expect(translateError('read', 'gs://x/a', timeout).message).toBe(
      'cannot reach Google Cloud (no answer in time) to read gs://x/a',
    )
  })

  test('an answer that quotes URLs or a page stays one line', () => {
    const page = `<html>\n<title>502</title>\n${'x'.repeat(1000)}</html> see ${url}`
    const { message } = translateError('read', 'gs://x/a', { code: 502, message: page })
    expect(message).toMatch(/^read gs:\/\/x\/a: <html> <title>502<\/title> x+ \.\.\.$/)
    expect(message.length).toBeLessThan(340)
    expect(translateError('read', 'gs://x/a', { code: 404, message: `No such object: ${url}` }).message).toBe(
      'read gs://x/a: No such object: storage.googleapis.com',
    )
  })

  test('credentials that are no longer good are denied, with what to do', () => {
    const error = translateError('list', 'gs://x/', { code: '400', status: 400, message: 'invalid_grant' })
    expect(error).toBeInstanceOf(DeniedError)
    expect(error.message).toContain('log in again')
  })
})
