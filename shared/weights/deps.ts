import type { Config } from '../config.ts'
import type { BlobStore, Clock, ObjectSource, Random, Telemetry, WorkQueue } from '../ports.ts'
import type { Chain, ChunkIndex, DigestLedger, ObjectLedger, ReleaseLedger, SegmentLedger } from './ledger.ts'
import type { PlanMessage, WorkMessage } from './messages.ts'
import type { encodeChecked } from './store.ts'

/** Everything that the replication of objects touches; built once per function in shared/wiring.ts. */
export type WeightsDeps = {
  config: Config
  source: ObjectSource
  store: BlobStore
  objects: ObjectLedger
  segments: SegmentLedger
  digests: DigestLedger
  chunks: ChunkIndex
  releases: ReleaseLedger
  chain: Chain
  objectsQueue: WorkQueue<PlanMessage>
  workQueue: WorkQueue<WorkMessage>
  telemetry: Telemetry
  clock: Clock
  random: Random
  /** Chunks and parts (SHA-256 in hex) whose bytes in the replica are read before they are believed. */
  distrusted?: ReadonlySet<string>
  /** encodeChecked unless given: a benchmark measures what the check costs. */
  encode?: typeof encodeChecked
  /** The most that one call copies; tests make it small. */
  segmentBytesMax?: number
}

/** `remainingMs` until the platform ends this call. */
export type Deadline = { remainingMs(): number }

/**
 * What keeps copies of a backfill that is paused or cancelled from going on. What is in the queue is dropped: a resumed one
 * sends it again.
 */
export type Brake = {
  /** False where the backfill is paused or cancelled. */
  moves(run: string): Promise<boolean>
  /** A deadline that comes at once where the backfill stops; looked at every two seconds. */
  deadline(run: string, deadline: Deadline): Deadline
}
