import type { Config } from '../config.ts'
import { NotFoundError } from '../errors.ts'
import { traceIdOf, versionOf } from '../weights/identity.ts'
import type { LagDeps } from './lag-deps.ts'
import type { ObjectCanary } from './lag-state.ts'

/**
 * A small object that is written every few minutes and followed into the replica: what tells that events come at all, where
 * no ledger row and no message would. One that is not there yet counts as any other object that is not.
 */
const everyMs = 300_000
/** Of those that wait: the oldest says how long, the newest are looked for. */
const waitingMax = 12

type Deps = Pick<LagDeps, 'objects' | 'source' | 'canaryObjects' | 'clock'>

export type CanaryPlace = { bucket: string; key: string }

export const canaryPlaces = (config: Config): CanaryPlace[] =>
  config.buckets.flatMap(({ name, prefix, canary }) =>
    canary === undefined ? [] : [{ bucket: name, key: prefix + canary }],
  )

export const placeName = ({ bucket, key }: CanaryPlace): string => `s3://${bucket}/${key}`

/** Drops what arrived, or was replaced before it could be read, and whatever is older than that. */
const settle = async ({ objects }: Deps, canary: ObjectCanary): Promise<ObjectCanary> => {
  let { protectedAt } = canary
  const waiting: ObjectCanary['waiting'] = []
  for (const one of canary.waiting) {
    const state = (await objects.get(one.traceId))?.state
    if (state === 'protected') {
      protectedAt = Math.max(protectedAt ?? 0, one.at)
      waiting.length = 0
    } else if (state !== 'superseded') waiting.push(one)
  }
  return { ...canary, waiting, ...(protectedAt === undefined ? {} : { protectedAt }) }
}

const write = async (deps: Deps, place: CanaryPlace, now: number): Promise<ObjectCanary['waiting'][number]> => {
  const versionId = await deps.canaryObjects.put(place.bucket, place.key, `${new Date(now).toISOString()}\n`)
  const object = await deps.source.head({ ...place, versionId })
  if (!object) throw new NotFoundError(`${placeName(place)} is not there just after it was written`)
  return { traceId: traceIdOf(place.bucket, place.key, versionOf(object)), at: object.lastModified }
}

/** Looks for what was written, and writes the next one where it is due. */
export const followObjectCanary = async (
  deps: Deps,
  place: CanaryPlace,
  before: ObjectCanary | undefined,
): Promise<ObjectCanary> => {
  const now = deps.clock.now()
  const canary = await settle(deps, before ?? { waiting: [], writtenAt: 0 })
  // The tick that is due comes some milliseconds early or late.
  if (now - canary.writtenAt < everyMs - 10_000) return canary
  const waiting = [...canary.waiting, await write(deps, place, now)]
  const isKept = (index: number): boolean => index === 0 || index > waiting.length - waitingMax
  const kept = waiting.filter((_, index) => isKept(index))
  return { ...canary, waiting: kept, writtenAt: now }
}
