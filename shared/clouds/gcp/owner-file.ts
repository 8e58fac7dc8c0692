import type { OwnerStore } from '../../owner.ts'
import { type BodyPlace, createBlob, readBlob } from './blob-bodies.ts'
import { staticToken } from './static-token.ts'

/**
 * What an owner check asks of the bucket, without the client of Cloud Storage: the functions of rows carry none. An
 * `endpoint` is an emulator's, which takes `token`.
 */
export const createOwnerFile = (options: {
  bucket: string
  prefix: string
  access: { auth: BodyPlace['auth'] } | { endpoint: string; token: string }
  /** Tries after the first, of what passes. */
  retriesMax?: number
}): OwnerStore => {
  const { bucket, prefix, access, retriesMax = 5 } = options
  const place: BodyPlace = {
    auth: 'auth' in access ? access.auth : staticToken(access.token),
    apiEndpoint: 'auth' in access ? 'https://storage.googleapis.com' : access.endpoint,
    retriesMax,
    bucketName: bucket,
    prefix,
    at: (name) => `gs://${bucket}/${prefix}${name}`,
  }
  return {
    create: (name, body, created) => createBlob(place, name, body, created),
    read: (name, wanted) => readBlob(place, name, wanted),
  }
}
