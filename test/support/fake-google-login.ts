import { once } from 'node:events'
import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import { signatureProblem } from './sigv4.ts'

/**
 * The token service and the credentials service of Google over HTTP, as far as a login by AWS uses them. They check all that
 * is sent, and AWS's part, who signed, is played by `people`. Requests and answers are of the vendors' documentation:
 * https://cloud.google.com/iam/docs/reference/sts/rest/v1/TopLevel/token,
 * https://cloud.google.com/iam/docs/reference/credentials/rest/v1/projects.serviceAccounts/generateAccessToken.
 */

/** Someone whom AWS knows: `role` is the ARN that GetCallerIdentity answers with. */
export type Person = { secretAccessKey: string; sessionToken?: string; role: string }

export type FakeLogin = {
  url: string
  /** What each login was refused for, oldest first. */
  refusals: string[]
  /** Paths that were asked for. */
  paths: string[]
  /** Answered instead of what is right, once for each. */
  failNext(...statuses: number[]): void
  close(): Promise<void>
}

type World = {
  audience: string
  region: string
  /** By access key id. */
  people: Readonly<Record<string, Person>>
  /** What the provider's attribute condition takes. */
  takes: (role: string) => boolean
  /** Role -> the service account that it may act as. */
  mayActAs: Readonly<Record<string, string>>
}

const lifetimeSeconds = 3600

type Refusal = { status: number; body: object; why: string }

const oauth = (error: string, error_description: string): Refusal => ({
  status: 400,
  body: { error, error_description },
  why: `${error}: ${error_description}`,
})

const signedRequestOf = (subjectToken: string) => {
  const { url, method, headers } = JSON.parse(decodeURIComponent(subjectToken)) as {
    url: string
    method: string
    headers: { key: string; value: string }[]
  }
  return { url, method, headers: new Map(headers.map(({ key, value }) => [key.toLowerCase(), value])) }
}

/** As AWS answers GetCallerIdentity: the role, or why not. */
const whoSigned = (world: World, request: ReturnType<typeof signedRequestOf>): { role: string } | { why: string } => {
  const { host, pathname, searchParams } = new URL(request.url)
  if (host !== `sts.${world.region}.amazonaws.com` || request.headers.get('host') !== host)
    return { why: `the host is ${host}, not that of ${world.region}` }
  if (pathname !== '/' || searchParams.get('Action') !== 'GetCallerIdentity' || request.method !== 'POST')
    return { why: 'not GetCallerIdentity' }
  const [, id = '', region] =
    /Credential=([^/]+)\/\d{8}\/([^/]+)\/sts\//.exec(request.headers.get('authorization') ?? '') ?? []
  const person = world.people[id]
  if (!person || region !== world.region) return { why: `credentials of nobody, or for ${region}` }
  if (request.headers.get('x-amz-security-token') !== person.sessionToken) return { why: 'another session token' }
  const problem = signatureProblem(request, person.secretAccessKey)
  return problem === undefined ? { role: person.role } : { why: problem }
}

const exchange = (world: World, form: URLSearchParams): { role: string } | Refusal => {
  const expected = {
    grant_type: 'urn:ietf:params:oauth:grant-type:token-exchange',
    requested_token_type: 'urn:ietf:params:oauth:token-type:access_token',
    subject_token_type: 'urn:ietf:params:aws:token-type:aws4_request',
    scope: 'https://www.googleapis.com/auth/cloud-platform',
  }
  for (const [name, value] of Object.entries(expected))
    if (form.get(name) !== value) return oauth('invalid_request', `Invalid ${name}: ${form.get(name)}`)
  if (form.get('audience') !== world.audience)
    return oauth('invalid_target', 'The target service indicated by the "audience" parameters is invalid.')
  const request = signedRequestOf(form.get('subject_token') ?? '')
  if (request.headers.get('x-goog-cloud-target-resource') !== world.audience)
    return oauth('invalid_grant', 'The x-goog-cloud-target-resource header does not match the audience.')
  const signer = whoSigned(world, request)
  if ('why' in signer) return oauth('invalid_grant', `Received invalid AWS response: ${signer.why}`)
  if (!world.takes(signer.role))
    return oauth('unauthorized_client', 'The given credential is rejected by the attribute condition.')
  return signer
}

const apiError = (status: number, code: string, message: string): Refusal => ({
  status,
  body: { error: { code: status, message, status: code } },
  why: `${code}: ${message}`,
})

const impersonate = (world: World, role: string | undefined, account: string, body: string): Refusal | undefined => {
  if (role === undefined) return apiError(401, 'UNAUTHENTICATED', 'Request had invalid authentication credentials.')
  const { scope, lifetime } = JSON.parse(body) as { scope?: string[]; lifetime?: string }
  if (scope?.join() !== 'https://www.googleapis.com/auth/cloud-platform' || lifetime !== '3600s')
    return apiError(400, 'INVALID_ARGUMENT', `scope ${scope?.join()}, lifetime ${lifetime}`)
  if (world.mayActAs[role] !== account)
    return apiError(
      403,
      'PERMISSION_DENIED',
      "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).",
    )
  return undefined
}

export const startFakeLogin = async (world: World): Promise<FakeLogin> => {
  const refusals: string[] = []
  const paths: string[] = []
  const failures: number[] = []
  /** Federated token -> role. */
  const federated = new Map<string, string>()
  let given = 0
  const answer = async (request: IncomingMessage): Promise<{ status: number; body: object }> => {
    const body = await text(request)
    const path = request.url ?? ''
    paths.push(path)
    const failure = failures.shift()
    if (failure !== undefined) return { status: failure, body: { error: 'server_error' } }
    if (path === '/v1/token') {
      const outcome = exchange(world, new URLSearchParams(body))
      if ('why' in outcome) return refuse(outcome)
      const access_token = `federated-${(given += 1)}`
      federated.set(access_token, outcome.role)
      return { status: 200, body: { access_token, expires_in: lifetimeSeconds, token_type: 'Bearer' } }
    }
    const account = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(path)?.[1]
    if (account === undefined) return { status: 404, body: {} }
    const token = /^Bearer (.+)$/.exec(request.headers.authorization ?? '')?.[1] ?? ''
    const refusal = impersonate(world, federated.get(token), account, body)
    if (refusal) return refuse(refusal)
    const expireTime = new Date(Date.now() + lifetimeSeconds * 1000).toISOString()
    return { status: 200, body: { accessToken: `${account.split('@')[0]}-${(given += 1)}`, expireTime } }
  }
  const refuse = ({ why, ...rest }: Refusal): Omit<Refusal, 'why'> => {
    refusals.push(why)
    return rest
  }
  const server = createServer((request, response) => {
    const respond = async (): Promise<void> => {
      const { status, body } = await answer(request)
      response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
    }
    void respond()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    refusals,
    paths,
    failNext: (...statuses) => void failures.push(...statuses),
    close: async () => {
      if (!server.listening) return
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
}
