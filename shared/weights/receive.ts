import { InvalidInputError, SupersededError, UnavailableError } from '../errors.ts'
import type { SourceObject } from '../ports.ts'
import { endReplaced } from './close.ts'
import type { WeightsDeps } from './deps.ts'
import { type ObjectEvent, parseObjectEvents } from './events.ts'
import { traceIdOf, versionOf } from './identity.ts'
import { formatVersion, toBytes } from './manifest.ts'
import { deletedName } from './names.ts'
import { hashOf, recordFailure } from './outcome.ts'
import { type BucketRule, planObject, releaseOf, ruleFor } from './plan.ts'

/** What one message of the objects queue leads to. Every way that ends here is final: the message is acknowledged. */

type Created = Extract<ObjectEvent, { kind: 'created' | 'plan' }>
type Deleted = Extract<ObjectEvent, { kind: 'deleted' }>

const refuse = async (
  deps: WeightsDeps,
  event: { bucket: string; key?: string; version?: string },
  reason: string,
): Promise<void> =>
  recordFailure(deps, {
    state: 'refused',
    traceId: hashOf('refused', event.bucket, event.key, event.version, reason),
    reason,
    ...event,
  })

const supersede = async (deps: WeightsDeps, event: Created, reason: string): Promise<void> => {
  const etag = event.kind === 'created' ? event.etag : undefined
  await recordFailure(deps, {
    state: 'superseded',
    traceId: hashOf('superseded', event.bucket, event.key, event.versionId ?? etag),
    reason,
    bucket: event.bucket,
    key: event.key,
    ...(event.versionId === undefined ? {} : { version: event.versionId }),
    ...(etag === undefined ? {} : { etag }),
  })
}

/** An attempt is one at the version that the order names, and not at another that is there by now. */
const attemptOf = (event: Created, object: SourceObject): number => {
  if (event.kind !== 'plan') return 0
  const { traceId } = event
  const isSame = traceId === undefined || traceId === traceIdOf(object.bucket, object.key, versionOf(object))
  return isSame ? (event.attempt ?? 0) : 0
}

const isReplaced = (event: Created, object: SourceObject): boolean =>
  event.kind === 'created' && event.versionId === undefined && event.etag !== undefined && event.etag !== object.etag

/** How often an object is looked at again that is replaced between the look and the plan. */
const looksMax = 3

const receiveCreated = async (deps: WeightsDeps, event: Created, isFirst: boolean): Promise<void> => {
  const { bucket, key, versionId } = event
  const rule = ruleFor(deps.config, bucket, key)
  if (!rule)
    return refuse(
      deps,
      { bucket },
      `bucket ${bucket} (or this part of it) is not configured: add it to buckets in lifeboat.yml`,
    )
  for (let look = 0; look < looksMax; look += 1) {
    const object = await deps.source.head({ bucket, key, ...(versionId === undefined ? {} : { versionId }) })
    const current = object && traceIdOf(bucket, key, versionOf(object))
    if (event.kind === 'plan' && event.traceId !== undefined && event.traceId !== current)
      await endReplaced(deps, event.traceId)
    if (!object) return supersede(deps, event, 'the object was gone before it could be read')
    try {
      return await receiveObject(deps, rule, event, object, isFirst)
    } catch (error) {
      if (!(error instanceof SupersededError)) throw error
      await supersede(deps, event, `replaced or removed while it was planned: ${error.message}`)
    }
  }
  throw new UnavailableError(`s3://${bucket}/${key} was replaced ${looksMax} times while it was planned: try again`)
}

const receiveObject = async (
  deps: WeightsDeps,
  rule: BucketRule,
  event: Created,
  object: SourceObject,
  isFirst: boolean,
): Promise<void> => {
  const { bucket, key } = event
  if (isReplaced(event, object))
    await supersede(deps, event, `another content (ETag ${object.etag}) had replaced it before it could be read`)
  if (object.isArchived)
    return refuse(
      deps,
      { bucket, key, version: object.versionId ?? object.etag },
      `an object archived in ${object.storageClass} cannot be read: restore the object in S3, then backfill it`,
    )
  const delivery = event.kind === 'plan' ? 'asked' : isFirst ? 'first' : 'again'
  const attempt = attemptOf(event, object)
  const repair = event.kind === 'plan' && attempt > 0 ? event.repair : undefined
  const planned = await planObject(deps, rule, object, attempt, delivery, repair)
  deps.telemetry.log('info', `object ${planned.outcome}`, {
    stage: 'plan',
    traceId: planned.row.traceId,
    planId: planned.row.planId,
    bucket,
    key,
    version: planned.row.version,
    bytes: object.size,
    segments: planned.row.segments,
  })
  const release = releaseOf(rule, key)
  if (planned.outcome === 'already' && release) await deps.releases.request(bucket, release.prefix, deps.clock.now())
}

const receiveDeleted = async (deps: WeightsDeps, event: Deleted): Promise<void> => {
  const { bucket, key, versionId, deletion, at } = event
  if (!ruleFor(deps.config, bucket, key))
    return refuse(
      deps,
      { bucket },
      `bucket ${bucket} (or this part of it) is not configured: add it to buckets in lifeboat.yml`,
    )
  const traceId = hashOf('deleted', bucket, key, versionId ?? String(at))
  const record = {
    format: 'lifeboat/deleted',
    formatVersion,
    traceId,
    bucket,
    key,
    ...(versionId === undefined ? {} : { version: versionId }),
    deletion,
    at: new Date(at).toISOString(),
  }
  await deps.store.create(deletedName(bucket, key, versionId ?? String(at)), toBytes(record), {
    contentType: 'application/json',
  })
  deps.telemetry.count('DeletesRecorded', 1)
}

const receiveEvent = async (deps: WeightsDeps, event: ObjectEvent, isFirst: boolean): Promise<void> => {
  if (event.kind === 'test') return
  if (event.kind === 'malformed')
    return recordFailure(deps, {
      state: 'quarantined',
      traceId: hashOf('malformed', event.text),
      reason: `malformed event: ${event.reason}`,
      detail: event.text.slice(0, 4096),
    })
  const account = event.kind === 'plan' ? undefined : event.account
  if (account !== undefined && account !== deps.config.source.account)
    return refuse(
      deps,
      { bucket: event.bucket },
      `account ${account} is not the configured source account ${deps.config.source.account}`,
    )
  if (event.kind === 'deleted') return receiveDeleted(deps, event)
  return receiveCreated(deps, event, isFirst)
}

/**
 * Handles one message of the objects queue. Resolves when nothing of it needs a redelivery; throws where a retry or a
 * person is needed. Malformed messages are quarantined with what they said. `isFirst`: the queue never gave it out before.
 */
export const receiveMessage = async (deps: WeightsDeps, text: string, isFirst = false): Promise<void> => {
  let events: ObjectEvent[]
  try {
    events = parseObjectEvents(text)
  } catch (error) {
    if (!(error instanceof InvalidInputError)) throw error
    events = [{ kind: 'malformed', reason: error.message, text }]
  }
  const results = await Promise.allSettled(events.map((event) => receiveEvent(deps, event, isFirst)))
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
