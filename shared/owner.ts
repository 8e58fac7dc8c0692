import * as z from 'zod'
import type { Config } from './config.ts'
import { DeniedError, isRetryable } from './errors.ts'
import type { RowStore } from './features/row-store.ts'
import type { BlobStore, Clock } from './ports.ts'
import { formatVersion, parseRecord, toBytes } from './weights/manifest.ts'

/**
 * Which deployment writes into a replica: the first one that began to. It is created once and never changed; what reads the
 * replica does not look at it. docs/adr/0015-owner-record.md
 */
export const ownerName = 'owner.json'

export const ownerSchema = z.object({
  format: z.literal('lifeboat/owner'),
  formatVersion: z.string(),
  source: z.object({ account: z.string(), region: z.string() }),
  stage: z.string(),
  claimedAt: z.iso.datetime(),
})
export type Owner = z.infer<typeof ownerSchema>

/** What tells one deployment from another. */
export type Deployment = Pick<Owner, 'source' | 'stage'>

export const deploymentOf = (config: Config, stage: string): Deployment => {
  const { account, region } = config.source
  return { source: { account, region }, stage }
}

export const describeDeployment = ({ source, stage }: Deployment): string =>
  `stage ${stage} of AWS account ${source.account} in ${source.region}`

export const isSameDeployment = (a: Deployment, b: Deployment): boolean =>
  a.stage === b.stage && a.source.account === b.source.account && a.source.region === b.source.region

const ownerBytesMax = 64 * 1024

export type OwnerStore = Pick<BlobStore, 'create' | 'read'>

/** The owner of a replica; undefined where nobody has begun to write. Throws what `parseRecord` throws. */
export const readOwner = async (store: Pick<BlobStore, 'read'>): Promise<Owner | undefined> => {
  const body = await store.read(ownerName, { bytesMax: ownerBytesMax })
  return body && parseRecord(ownerSchema, ownerName, body)
}

type ClaimOptions = { store: OwnerStore; deployment: Deployment; place: string; clock: Clock }

/** The owner after this deployment tried to become it. */
const claim = async ({ store, deployment, place, clock }: ClaimOptions): Promise<Owner> => {
  const claimedAt = new Date(clock.now()).toISOString()
  const own: Owner = { format: 'lifeboat/owner', formatVersion, ...deployment, claimedAt }
  // Created before it is read: an identity that may not list is told 403 of a name that is not there.
  const refusal = await store
    .create(ownerName, toBytes(own), { contentType: 'application/json' })
    .catch((error: unknown) => {
      if (!(error instanceof DeniedError)) throw error
      return error
    })
  if (refusal !== undefined && !(refusal instanceof DeniedError)) return own
  const found = await readOwner(store)
  if (found) return found
  throw refusal ?? new DeniedError(`${place}${ownerName} was there and cannot be read`)
}

export type OwnerCheck = () => Promise<void>

/**
 * Makes sure that the replica at `place` is this deployment's, or becomes it; asks until it knows, and then no more. Throws
 * DeniedError where it is another's, or where its record cannot be understood: the work waits, and nothing of it is at fault.
 */
export const createOwnerCheck = (options: ClaimOptions): OwnerCheck => {
  const { deployment, place } = options
  const check = async (): Promise<void> => {
    let owner: Owner
    try {
      owner = await claim(options)
    } catch (error) {
      if (isRetryable(error) || error instanceof DeniedError) throw error
      throw new DeniedError(`whose replica ${place} is cannot be told: ${String(error)}`, { cause: error })
    }
    if (isSameDeployment(owner, deployment)) return
    throw new DeniedError(
      `the replica ${place} belongs to ${describeDeployment(owner)} since ${owner.claimedAt}, and this is ${describeDeployment(deployment)}: ` +
        'use another bucket or replica.prefix, or hand it over as docs/runbook.md says (The owner record)',
    )
  }
  let known: Promise<void> | undefined
  return () => {
    known ??= check()
    known.catch(() => (known = undefined))
    return known
  }
}

/** The same store, which writes only where the replica is this deployment's. */
export const ownedStore = (store: BlobStore, check: OwnerCheck): BlobStore => ({
  ...store,
  create: async (...args) => {
    await check()
    return store.create(...args)
  },
  update: async (...args) => {
    await check()
    return store.update(...args)
  },
})

/** The same rows, written only where the replica is this deployment's. */
export const ownedRows = (rows: RowStore, check: OwnerCheck): RowStore => ({
  ...rows,
  applyIfNewer: async (...args) => {
    await check()
    return rows.applyIfNewer(...args)
  },
  replaceIf: async (...args) => {
    await check()
    return rows.replaceIf(...args)
  },
  history: {
    ...rows.history,
    append: async (...args) => {
      await check()
      return rows.history.append(...args)
    },
  },
})
