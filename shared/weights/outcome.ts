import { createHash } from 'node:crypto'
import type { BlobStore, Clock, Telemetry } from '../ports.ts'
import { type FailedRecord, formatVersion, toBytes, type WaitingRecord } from './manifest.ts'
import { failedName, waitingName } from './names.ts'

type Deps = { store: BlobStore; clock: Clock; telemetry: Telemetry }

const metrics = {
  refused: 'ObjectsRefused',
  quarantined: 'ObjectsQuarantined',
  superseded: 'ObjectsSuperseded',
} as const

export const hashOfAll = (fields: readonly (string | undefined)[]): string =>
  createHash('sha256').update(JSON.stringify(fields)).digest('hex').slice(0, 32)

export const hashOf = (...fields: (string | undefined)[]): string => hashOfAll(fields)

const iso = (clock: Clock): string => new Date(clock.now()).toISOString()

/** Writes why something did not become a manifest, once however often it is found, and counts it. */
export const recordFailure = async (
  deps: Deps,
  failure: Omit<FailedRecord, 'format' | 'formatVersion' | 'at'>,
): Promise<void> => {
  const record: FailedRecord = { format: 'lifeboat/failed', formatVersion, at: iso(deps.clock), ...failure }
  deps.telemetry.count(metrics[failure.state], 1)
  deps.telemetry.log(failure.state === 'superseded' ? 'info' : 'warn', failure.reason, { ...failure })
  await deps.store.create(failedName(failure.state, failure.traceId), toBytes(record), {
    contentType: 'application/json',
  })
}

/** Writes what a release waits for, once for each reason. */
export const recordWaiting = async (
  deps: Deps,
  waiting: Omit<WaitingRecord, 'format' | 'formatVersion' | 'at'>,
): Promise<void> => {
  const record: WaitingRecord = { format: 'lifeboat/waiting', formatVersion, at: iso(deps.clock), ...waiting }
  const id = hashOf(waiting.bucket, waiting.marker ?? '', waiting.reason).slice(0, 16)
  await deps.store.create(waitingName(waiting.model, waiting.version, id), toBytes(record), {
    contentType: 'application/json',
  })
}
