import {
  type sendUnaryData,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServerWritableStream,
} from '@grpc/grpc-js'
import { execFileSync } from 'node:child_process'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { loadProtocol } from '../../local/bigtable/protocol.ts'
import { createKeylessAuth } from '../../shared/clouds/gcp/keyless.ts'
import { type BigtableRowStore, createBigtableRowStore } from '../../shared/clouds/gcp/row-store.ts'
import { DeniedError } from '../../shared/errors.ts'
import { type FakeLogin, startFakeLogin } from '../support/fake-google-login.ts'

/**
 * Credentials go over an encrypted connection alone, so that this server has a certificate (made by openssl); gRPC reads
 * whom it trusts when it is loaded.
 */
const dir = vi.hoisted(() => {
  const fs = process.getBuiltinModule('node:fs')
  const folder = fs.mkdtempSync(`${process.getBuiltinModule('node:os').tmpdir()}/lifeboat-keyless-`)
  process.env['GRPC_DEFAULT_SSL_ROOTS_FILE_PATH'] = `${folder}/certificate.pem`
  return folder
})

const audience = '//iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/lifeboat/providers/aws'
const role = 'arn:aws:sts::111122223333:assumed-role/lifeboat-dev-applyChanges/lifeboat-dev-applyChanges'
const serviceAccount = 'lifeboat-rows@example-project.iam.gserviceaccount.com'
const credentials = async () => ({ accessKeyId: 'ASIA', secretAccessKey: 'secret', sessionToken: 'token' })

let google: FakeLogin
let grpc: Server
let endpoint: string
let seen: string[] = []

const note = (call: { metadata: { get(name: string): unknown[] } }): void =>
  void seen.push(String(call.metadata.get('authorization')))

beforeAll(async () => {
  const [key, certificate] = [join(dir, 'key.pem'), join(dir, 'certificate.pem')]
  const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
  const files = ['-keyout', key, '-out', certificate]
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject, ...files], {
    stdio: 'pipe',
  })
  grpc = new Server()
  grpc.addService(loadProtocol().services.data, {
    CheckAndMutateRow: (call: ServerUnaryCall<object, object>, answer: sendUnaryData<object>) => {
      note(call)
      answer(null, { predicateMatched: false })
    },
    ReadRows: (call: ServerWritableStream<object, object>) => {
      note(call)
      call.end()
    },
    MutateRows: (call: ServerWritableStream<object, object>) => {
      note(call)
      call.write({ entries: [{ index: '0', status: { code: 0 } }] })
      call.end()
    },
  })
  const pair = { private_key: readFileSync(key), cert_chain: readFileSync(certificate) }
  const port = await promisify(grpc.bindAsync.bind(grpc))('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]))
  endpoint = `https://localhost:${port}`
  const person = { secretAccessKey: 'secret', sessionToken: 'token', role }
  const world = { audience, region: 'eu-west-1', people: { ASIA: person }, takes: () => true }
  google = await startFakeLogin({ ...world, mayActAs: { [role]: serviceAccount } })
})
afterAll(async () => {
  grpc.forceShutdown()
  await google.close()
  rmSync(dir, { recursive: true, force: true })
})

const open = (account: string): BigtableRowStore =>
  createBigtableRowStore({
    projectId: 'p',
    instanceId: 'i',
    endpoint,
    retriesMax: 0,
    authClient: createKeylessAuth({
      audience,
      serviceAccount: account,
      region: 'eu-west-1',
      credentials,
      endpoints: { sts: google.url, iamCredentials: google.url },
    }),
  })

const key = Buffer.from('a')
const row = { key, cells: new Map(), marker: { version: '1', time: 1, tombstone: false } }
const entry = { key, version: '1', time: 1, before: 'absent' as const }

it('Bigtable gets the token of the service account with every call', async () => {
  const rows = open(serviceAccount)
  seen = []
  try {
    await rows.read('rows', [key])
    await rows.applyIfNewer('rows', row)
    await rows.history.append('rows', [entry])
  } finally {
    await rows.close()
  }
  expect(seen).toEqual(Array.from({ length: 3 }, () => 'Bearer lifeboat-rows-2'))
})

it('Bigtable is not called where the login is refused: denied, with what to do', async () => {
  const rows = open(serviceAccount.replace('rows', 'committer'))
  seen = []
  try {
    for (const work of [
      () => rows.read('rows', [key]),
      () => rows.applyIfNewer('rows', row),
      () => rows.history.append('rows', [entry]),
    ]) {
      const error: unknown = await work().catch((thrown: unknown) => thrown)
      expect(error).toBeInstanceOf(DeniedError)
      expect(String(error)).toMatch(/may not act as lifeboat-committer@.*workloadIdentityUser/)
    }
  } finally {
    await rows.close()
  }
  expect(seen).toEqual([])
})
