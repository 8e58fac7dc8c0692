import type { Config } from '../../shared/config.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { type Heartbeat, newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import { newestReport, type Report, type ReportKind } from '../../shared/proof/report.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import { listFailures, listWaiting } from '../../shared/weights/catalog-failures.ts'
import { type PendingObject, surveyObjects } from '../../shared/weights/catalog-pending.ts'
import { versionNameOf } from '../../shared/weights/catalog-read.ts'
import { namesMaxDefault, recordsMaxDefault } from '../ls/listing.ts'
import { asStored, type ReplicaView } from '../replica-view.ts'

/** Everything that the screen shows, read from the replica alone. */

export type Proof = { at: string; outcome: string; findings: number; report: string | null }
/** `provenAt`: when everything was last found to be right; null: never; undefined: nothing tells. */
export type ProvenProof = Proof & { provenAt?: string | null | undefined }
export type ScrubProof = Proof & { coverageDays: number | null }

export type Facts = {
  url: string
  nowMs: number
  config: Config | undefined
  heartbeat: Heartbeat | undefined
  /** `protected` and `sealed` count releases. `objects` counts object versions, `single` those that are in no release. */
  kept: {
    models: number
    protected: number
    sealed: number
    waiting: number
    objects: number
    single: number
    truncated: boolean
  }
  /** Longest waiting first; undefined where there are too many names to tell. `more`: not all of them were read. */
  pending: PendingObject[] | undefined
  morePending: boolean
  refused: number
  /** Manifests of releases that cannot be read, and that no other stands in for. */
  damaged: string[]
  proofs: {
    validate: Proof | undefined
    scrub: ScrubProof | undefined
    reconcile: ProvenProof | undefined
    drill: Proof | undefined
  }
}

const readKept = async (store: BlobStore) => {
  const { releases, damaged } = await listReleases(store)
  const { waiting } = await listWaiting(store, releases, recordsMaxDefault)
  const survey = await surveyObjects(store, { namesMax: namesMaxDefault, readsMax: recordsMaxDefault })
  const members = new Set(
    releases.flatMap(({ release }) => release.members.map((each) => versionNameOf(each.manifest))),
  )
  const objects = [...survey.sealed.values()].reduce((sum, count) => sum + count, 0)
  const inState = (state: string): number => releases.filter(({ release }) => release.state === state).length
  return {
    kept: {
      models: new Set(releases.map(({ release }) => release.model)).size,
      protected: inState('protected'),
      sealed: inState('sealed'),
      waiting: waiting.length,
      objects,
      single: Math.max(0, objects - members.size),
      truncated: survey.namesTruncated,
    },
    damaged: damaged.map(({ name }) => name),
    pending: survey.pending,
    morePending: survey.pendingTruncated,
  }
}

/** The newest report that is about everything, for what no heartbeat tells. */
const reported = async (store: BlobStore, kind: ReportKind): Promise<Proof | undefined> => {
  const wanted = ({ scope }: Report): boolean => scope === null || kind !== 'validate'
  const found = await asStored(newestReport(store, kind, wanted))
  if (!found) return undefined
  const { endedAt, outcome, findingsTotal } = found.report
  return { at: endedAt, outcome, findings: findingsTotal, report: found.name }
}

const readProofs = async (store: BlobStore, heartbeat: Heartbeat | undefined): Promise<Facts['proofs']> => {
  const [validate, scrub, reconcile, drill] = await Promise.all([
    heartbeat?.proofs.validate ?? reported(store, 'validate'),
    heartbeat?.proofs.scrub ?? reported(store, 'scrub'),
    heartbeat?.proofs.reconcile ?? reported(store, 'reconcile'),
    reported(store, 'drill'),
  ])
  return { validate, scrub: scrub && { coverageDays: null, ...scrub }, reconcile, drill }
}

export const gather = async ({ store, url, config }: ReplicaView, nowMs: number): Promise<Facts> => {
  // The heartbeat first: what is sealed in between is then in the replica and no longer pending.
  const heartbeat = await asStored(newestHeartbeat(store, nowMs))
  const [objects, refused, proofs] = await Promise.all([
    readKept(store),
    listFailures(store, recordsMaxDefault, ({ key }) => key !== undefined, 'refused'),
    readProofs(store, heartbeat),
  ])
  const open = refused.failed.filter(({ since }) => since === undefined).length
  return { url, nowMs, config, heartbeat, ...objects, refused: open, proofs }
}
