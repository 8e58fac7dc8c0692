import { randomBytes } from 'node:crypto'
import { type AwsCredentials, createKeylessAuth } from './clouds/gcp/keyless.ts'
import type { BaseEnv } from './env.ts'
import { createOwnerCheck, deploymentOf, type OwnerCheck, type OwnerStore } from './owner.ts'
import type { Clock, Random } from './ports.ts'

/** What the functions of objects and those of rows are both built with. */

/** Attempts and timeouts of every AWS client: a call that hangs must not eat the function's time. */
export const awsClient = {
  maxAttempts: 5,
  requestHandler: {
    connectionTimeout: 3000,
    requestTimeout: 30_000,
    // Without it the client only warns.
    throwOnRequestTimeout: true,
    // A body that stops coming; requestTimeout ends with the head of the answer.
    socketTimeout: 30_000,
    httpsAgent: { maxSockets: 200 },
    httpAgent: { maxSockets: 200 },
  },
}

export const openOwnerCheck = ({ config, stage }: BaseEnv, store: OwnerStore): OwnerCheck => {
  const { bucket, prefix } = config.replica
  const place = `gs://${bucket}/${prefix}`
  return createOwnerCheck({ store, deployment: deploymentOf(config, stage), place, clock: systemClock })
}

export const openGoogleAuth = (env: BaseEnv, credentials: () => Promise<AwsCredentials>) =>
  createKeylessAuth({
    audience: env.wifAudience,
    serviceAccount: env.serviceAccount,
    region: env.region,
    credentials,
  })

export const systemClock: Clock = { now: () => Date.now() }
export const systemRandom: Random = {
  next: () => Math.random(),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
}
