import { ApiError, invalid } from './api-error.ts'
import type { BucketMeta, Json, ObjectMeta, Retention } from './metadata-store.ts'
import type { Caller } from './principals.ts'

const YEARS_100_MS = 100 * 366 * 86_400_000

const refused = (message: string): ApiError => new ApiError(403, 'retentionPolicyNotMet', message)

const parse = (given: unknown, now: number): Retention | undefined => {
  if (given === null || given === undefined || Object.keys(given).length === 0) return undefined
  const { mode, retainUntilTime } = given as Json
  if (mode !== 'Locked' && mode !== 'Unlocked') throw invalid(`Invalid retention mode: ${String(mode)}`)
  const until = typeof retainUntilTime === 'string' ? Date.parse(retainUntilTime) : Number.NaN
  if (Number.isNaN(until)) throw invalid(`Invalid retainUntilTime: ${String(retainUntilTime)}`)
  if (until <= now || until > now + YEARS_100_MS)
    throw invalid('The retainUntilTime must be in the future and at most 100 years away.')
  return { mode, retainUntilTime: new Date(until).toISOString() }
}

const checkChange = (current: Retention, next: Retention | undefined, override: boolean, caller: Caller): void => {
  const shorter = !next || Date.parse(next.retainUntilTime) < Date.parse(current.retainUntilTime)
  if (current.mode === 'Locked') {
    if (shorter || next.mode !== 'Locked')
      throw refused("The object's retention is Locked: its time can only be increased and its mode not changed.")
    return
  }
  if (!shorter && next.mode === 'Unlocked') return
  if (!override)
    throw refused('overrideUnlockedRetention must be true to lock, shorten or remove an Unlocked retention.')
  caller.need('storage.objects.overrideUnlockedRetention')
}

/** The retention that `given` asks for on an object that has `current`; undefined is none. Throws 400 and 403 as GCS. */
export const changeRetention = (options: {
  bucket: BucketMeta
  current: Retention | undefined
  given: unknown
  override: boolean
  caller: Caller
  now: number
}): Retention | undefined => {
  const { bucket, current, given, override, caller, now } = options
  caller.need('storage.objects.setRetention')
  if ((bucket['objectRetention'] as Json | undefined)?.['mode'] !== 'Enabled')
    throw invalid('Object retention is not enabled on this bucket.')
  const next = parse(given, now)
  if (current && Date.parse(current.retainUntilTime) > now) checkChange(current, next, override, caller)
  return next
}

/** Throws 403 where the object may not be deleted or replaced yet, in a versioned bucket too. */
export const checkRetained = (meta: ObjectMeta, now: number): void => {
  if (!meta.retention || Date.parse(meta.retention.retainUntilTime) <= now) return
  throw refused(
    `Object '${meta.bucket}/${meta.name}' is subject to object retention and cannot be deleted or overwritten ` +
      `until ${meta.retention.retainUntilTime}`,
  )
}
