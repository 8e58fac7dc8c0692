import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { createGcsBlobStore } from '../../shared/clouds/gcp/blob-store.ts'
import { createKeylessAuth, type KeylessOptions } from '../../shared/clouds/gcp/keyless.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { type FakeLogin, startFakeLogin } from '../support/fake-google-login.ts'
import { signatureProblem } from '../support/sigv4.ts'

const audience = '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'
const role = 'arn:aws:sts::111122223333:assumed-role/lifeboat-dev-planObject/lifeboat-dev-planObject'
const otherRole = 'arn:aws:sts::111122223333:assumed-role/other/session'
const account = 'lifeboat-writer@example-project.iam.gserviceaccount.com'
const lambda = { accessKeyId: 'ASIAEXAMPLE', secretAccessKey: 'secret/of+the=role', sessionToken: 'token/of+session==' }

let google: FakeLogin
beforeEach(async () => {
  google = await startFakeLogin({
    audience,
    region: 'eu-west-1',
    people: {
      ASIAEXAMPLE: { secretAccessKey: lambda.secretAccessKey, sessionToken: lambda.sessionToken, role },
      AKIAUSER: { secretAccessKey: 'secret', role },
      ASIAOTHER: { secretAccessKey: 'secret', sessionToken: 'other', role: otherRole },
      ASIASTRANGER: {
        secretAccessKey: 'secret',
        sessionToken: 's',
        role: 'arn:aws:sts::999999999999:assumed-role/x/y',
      },
    },
    takes: (caller) => caller.startsWith('arn:aws:sts::111122223333:'),
    mayActAs: { [role]: account },
  })
})
afterEach(async () => {
  vi.useRealTimers()
  await google.close()
})

const ofUser = async () => ({ accessKeyId: 'AKIAUSER', secretAccessKey: 'secret' })
const other = (accessKeyId: string, sessionToken: string) => async () => ({
  accessKeyId,
  secretAccessKey: 'secret',
  sessionToken,
})

const fail = async (): Promise<never> => {
  throw new Error('the role is gone')
}

const login = (change: Partial<KeylessOptions> = {}) =>
  createKeylessAuth({
    audience,
    serviceAccount: account,
    region: 'eu-west-1',
    credentials: async () => lambda,
    endpoints: { sts: google.url, iamCredentials: google.url },
    ...change,
  })

const failure = async (change: Partial<KeylessOptions>): Promise<Error> => {
  const error: unknown = await login(change)
    .getRequestHeaders()
    .catch((thrown: unknown) => thrown)
  if (!(error instanceof Error)) throw new Error('the login succeeded')
  return error
}

it('the signature check of the fake takes what AWS publishes as right, and nothing else', () => {
  // https://github.com/boto/botocore/tree/develop/tests/unit/auth/aws4_testsuite (get-vanilla-query-order-key-case)
  const headers = new Map([
    ['host', 'example.amazonaws.com'],
    ['x-amz-date', '20150830T123600Z'],
    [
      'authorization',
      'AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, Signature=b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500',
    ],
  ])
  const request = { method: 'GET', url: 'https://example.amazonaws.com/?Param2=value2&Param1=value1', headers }
  const secret = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
  expect(signatureProblem(request, secret)).toBeUndefined()
  expect(signatureProblem(request, `${secret}x`)).toContain('another request or secret')
  expect(signatureProblem({ ...request, url: `${request.url}&x=1` }, secret)).toContain('another request or secret')
})

describe('a function logs in at Google without a key', () => {
  it("with the credentials of a Lambda's role, its session token included", async () => {
    const headers = await login().getRequestHeaders()
    expect(google.refusals).toEqual([])
    expect(headers.get('authorization')).toBe('Bearer lifeboat-writer-2')
    expect(google.paths).toEqual(['/v1/token', `/v1/projects/-/serviceAccounts/${account}:generateAccessToken`])
  })

  it('and with those of a user, which have no session token', async () => {
    expect((await login({ credentials: ofUser }).getRequestHeaders()).get('authorization')).toMatch(
      /^Bearer lifeboat-writer-/,
    )
  })

  it('once for many calls at the same time, and again before the token expires, with what the role has then', async () => {
    vi.useFakeTimers({ toFake: ['Date'] })
    let current = lambda
    const auth = login({ credentials: async () => current })
    const token = async (): Promise<string | null> => (await auth.getRequestHeaders()).get('authorization')
    const first = await Promise.all(Array.from({ length: 20 }, token))
    expect(new Set(first).size).toBe(1)
    vi.setSystemTime(Date.now() + 54 * 60_000)
    expect(await token()).toBe(first[0])
    expect(google.paths.length).toBe(2)
    current = { accessKeyId: 'ASIAOTHER', secretAccessKey: 'secret', sessionToken: 'other' }
    vi.setSystemTime(Date.now() + 2 * 60_000)
    // The signature is made with the credentials of this moment: another role may not act as the account.
    await expect(token()).rejects.toThrow(DeniedError)
    current = lambda
    expect(await token()).not.toBe(first[0])
    expect(google.paths.length).toBe(6)
  })
})

describe('a login that is refused says what to do', () => {
  it.each<[string, Partial<KeylessOptions>, RegExp, RegExp]>([
    [
      'another audience',
      { audience: audience.replace('lifeboat', 'elsewhere') },
      /^invalid_target/,
      /there is no provider .*elsewhere.*gcpWifAudience.*wif_audience/,
    ],
    [
      'another region',
      { region: 'us-east-1' },
      /the host is sts\.us-east-1/,
      /GetCallerIdentity in us-east-1.*the region/,
    ],
    [
      'a role of another AWS account',
      { credentials: other('ASIASTRANGER', 's') },
      /^unauthorized_client/,
      /does not take this AWS account or role/,
    ],
    [
      'a role that may not act as the service account',
      { credentials: other('ASIAOTHER', 'other') },
      /^PERMISSION_DENIED/,
      /may not act as lifeboat-writer@.*workloadIdentityUser/,
    ],
    [
      'a service account of another function',
      { serviceAccount: account.replace('writer', 'committer') },
      /^PERMISSION_DENIED/,
      /may not act as lifeboat-committer@/,
    ],
    [
      'a wrong secret',
      { credentials: async () => ({ ...lambda, secretAccessKey: 'x' }) },
      /another request or secret/,
      /AWS did not confirm/,
    ],
    [
      'no session token',
      { credentials: async () => ({ accessKeyId: lambda.accessKeyId, secretAccessKey: lambda.secretAccessKey }) },
      /another session token/,
      /AWS did not confirm/,
    ],
  ])('%s', async (_title, change, why, advice) => {
    const error = await failure(change)
    expect(error).toBeInstanceOf(DeniedError)
    expect(error.message).toMatch(advice)
    expect(google.refusals).toEqual([expect.stringMatching(why)])
  })

  it('a token service that is down is unavailable, after some tries', async () => {
    google.failNext(503, 503, 503, 503, 503, 503)
    expect(await failure({})).toBeInstanceOf(UnavailableError)
    await google.close()
    const error = await failure({})
    expect(error).toBeInstanceOf(UnavailableError)
    expect(error.message).toMatch(/ECONNREFUSED/)
  }, 60_000)

  it('credentials of AWS that cannot be had are passed on as they are', async () => {
    expect((await failure({ credentials: fail })).message).toContain('the role is gone')
  })
})

const startStorage = async () => {
  const seen: string[] = []
  const server = createServer((request, response) => {
    seen.push(`${request.method} ${request.headers.authorization}`)
    response.writeHead(404, { 'content-type': 'application/json' })
    response.end('{"error":{"code":404,"message":"No such object: b/x"}}')
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return { seen, endpoint, close: () => void server.close() }
}

describe('Cloud Storage', () => {
  it('is asked with the token of the service account, by its client and by ours', async () => {
    const { seen, endpoint, close } = await startStorage()
    try {
      const storage = createStorage({ projectId: 'p', endpoint, authClient: login() })
      const store = createGcsBlobStore({ storage, bucket: 'b' })
      expect(await store.stat('x')).toBeUndefined()
      expect(await store.read('x')).toBeUndefined()
      expect(seen).toEqual(['GET Bearer lifeboat-writer-2', 'GET Bearer lifeboat-writer-2'])
    } finally {
      close()
    }
  })

  it('is not asked where the login is refused, and what to do arrives', async () => {
    const { seen, endpoint, close } = await startStorage()
    try {
      const authClient = login({ serviceAccount: account.replace('writer', 'committer') })
      const store = createGcsBlobStore({
        storage: createStorage({ projectId: 'p', endpoint, authClient }),
        bucket: 'b',
      })
      for (const work of [store.stat('x'), store.read('x'), store.create('x', new Uint8Array(1))])
        await expect(work).rejects.toThrow(/may not act as lifeboat-committer@/)
      await expect(store.stat('x')).rejects.toThrow(DeniedError)
      expect(seen).toEqual([])
    } finally {
      close()
    }
  })
})
