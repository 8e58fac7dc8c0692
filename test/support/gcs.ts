import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Bucket, File, Storage } from '@google-cloud/storage'
import { afterAll, beforeAll } from 'vitest'
import { startGcs, type GcsServer } from '../../local/gcs/server.ts'
import { createStorage } from '../../shared/clouds/gcp/storage-client.ts'
import { crcNumber } from '../../shared/weights/checksums.ts'

export const ADMIN = 'lifeboat-admin'
export const KIB = 1024

export type Init = { method?: string; headers?: Record<string, string>; body?: RequestInit['body']; duplex?: 'half' }
type BucketOptions = { versioning?: { enabled: boolean }; enableObjectRetention?: boolean }

/** An embedded Cloud Storage for one test file; `call` speaks plain HTTP as the admin or as another principal. */
export type GcsFixture = {
  server: () => GcsServer
  storage: () => Storage
  restart: () => Promise<void>
  setClock: (now: () => number) => void
  newBucket: (options?: BucketOptions) => Promise<Bucket>
  call: (path: string, init?: Init, principal?: string) => Promise<Response>
  insert: (
    bucket: string,
    name: string,
    body: Init['body'],
    query?: string,
    headers?: Init['headers'],
  ) => Promise<Response>
}

export const gcsFixture = (): GcsFixture => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-gcs-'))
  let clock = Date.now
  let gcs: GcsServer
  let storage: Storage
  let buckets = 0
  const open = async (): Promise<void> => {
    gcs = await startGcs({ dir, now: () => clock() })
    storage = createStorage({ projectId: 'p', endpoint: gcs.url, token: ADMIN })
  }
  beforeAll(open)
  afterAll(async () => {
    await gcs.close()
    rmSync(dir, { recursive: true })
  })
  const call: GcsFixture['call'] = (path, init = {}, principal = ADMIN) => {
    const headers = { authorization: `Bearer ${principal}`, ...init.headers }
    return fetch(gcs.url + path, { ...init, headers } as RequestInit)
  }
  return {
    server: () => gcs,
    storage: () => storage,
    restart: async () => {
      await gcs.close()
      await open()
    },
    setClock: (now) => {
      clock = now
    },
    newBucket: async (options = {}) => {
      const [bucket] = await storage.createBucket(`bucket-${(buckets += 1)}`, options)
      return bucket
    },
    call,
    insert: (bucket, name, body, query = '', headers = {}) =>
      call(`/upload/storage/v1/b/${bucket}/o?uploadType=media&name=${encodeURIComponent(name)}${query}`, {
        method: 'POST',
        body,
        headers,
      }),
  }
}

/** The package forgets authentication in resumable uploads to a custom endpoint. */
export const withToken = (file: File): File => {
  file.interceptors.push({
    request: (options) =>
      ({ ...options, headers: { Authorization: `Bearer ${ADMIN}` } }) as typeof options & { uri: string },
  })
  return file
}

export const base64Crc = (body: Uint8Array): string => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(crcNumber('CRC32C', body))
  return bytes.toString('base64')
}

export const md5 = (body: Uint8Array): string => createHash('md5').update(body).digest('base64')

/** The status that the package's error carries. */
export const codeOf = async (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'allowed',
    (error: { code?: unknown }) => Number(error.code),
  )
