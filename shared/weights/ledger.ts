import type { SourceObject } from '../ports.ts'
import type { CrcPiece } from './checksums.ts'
import type { ChunkRef, PartRef, TensorPartRef } from './manifest.ts'

/** What the ledger remembers of work in flight. Every row carries `v: 1`; version N reads what N-1 wrote. */

export type ObjectState = 'copying' | 'protected' | 'sealed' | 'superseded' | 'refused'

/** How the source's own checksum will be compared. `parts` are run lengths [bytes, count] of a multipart upload. */
export type Check = {
  algorithm: 'CRC64NVME' | 'CRC32' | 'CRC32C' | 'SHA256' | 'SHA1' | 'MD5'
  type: 'FULL_OBJECT' | 'COMPOSITE'
  value: string
  parts?: [bytes: number, count: number][]
}

export type ReleaseKey = { model: string; version?: string; path: string; prefix: string }

export type ObjectRow = {
  traceId: string
  source: SourceObject
  version: string
  planId: string
  attempt: number
  state: ObjectState
  /** Units of the current phase that are not done: segments, or digests of a second read. */
  left: number
  phase: 'copy' | 'digest'
  segments: number
  cutter: string
  warnings: string[]
  tensors: TensorPartRef[]
  check: Check | null
  uncheckedReason?: string
  release?: ReleaseKey
  /** Name of the manifest of the version before: what chunks may be the difference to. */
  parent?: string
  plannedAt: number
  /** When the source says the version came to be; lag counts from here. */
  since: number
  /** Set when sealed. */
  manifestDigest?: string
  sha256?: string
  reason?: string
  /** Segment offset at which a long verification goes on. */
  cursor?: number
  /** When the sweep last sent the plan's units again. */
  nudgedAt?: number
  nudges?: number
  /** What the sweep last saw of `left`, and when: a plan that goes on is not sent again. */
  seenLeft?: number
  seenAt?: number
  /** When the queue had taken every unit of the plan. */
  sentAt?: number
  /** Set where the source's checksum proves the bytes to be those of a protected manifest: nothing is read. */
  identical?: Identical
  /** Set where the version was sealed before and a check found the replica's copy wanting. */
  repair?: Repair
  /** The backfill that brings it in: it was there before Lifeboat, and is not late. */
  backfill?: string
}

/** The name and the digest (`sha256:`) of a manifest of the same bytes. */
export type Identical = { manifest: string; digest: string }

/** `bodies` are ids (SHA-256 in hex) of chunks and parts whose stored bytes are read before they are believed. */
export type Repair = { bodies: string[] }

/** The digest of one range of the object: a CRC piece, or a whole part's SHA or MD5. */
export type Piece = CrcPiece & { start: number }

export type SegmentRow = {
  traceId: string
  planId: string
  offset: number
  size: number
  index: number
  parts: PartRef[]
  pieces: Piece[]
  bytesSent: number
  bytesReused: number
}

export interface ObjectLedger {
  /** Strongly consistent. */
  get(traceId: string): Promise<ObjectRow | undefined>
  /**
   * Writes the row unless the same plan, or a sealed one, is there; false then. A row of another plan is replaced; a sealed
   * one by a repair of a later attempt alone.
   */
  begin(row: ObjectRow): Promise<boolean>
  /** Changes fields where the plan is still this one; false where it is not. Leaves the pending index unless copying. */
  update(traceId: string, planId: string, change: Partial<ObjectRow>): Promise<boolean>
  /** Every object still being copied, oldest first: those that are late by their age, or those of backfills. */
  pending(of?: 'live' | 'backfill'): AsyncIterable<ObjectRow>
}

export interface SegmentLedger {
  get(traceId: string, planId: string, offset: number): Promise<SegmentRow | undefined>
  /** One transaction: the row, if it is not there, and one unit less to do. Duplicates and stale plans change nothing. */
  finish(row: SegmentRow): Promise<'counted' | 'already' | 'stale'>
  /** One transaction: the row gone and one unit more to do. */
  reopen(row: SegmentRow): Promise<void>
  /** In offset order, those that reach past `from` and start before `to`. Strongly consistent. */
  list(traceId: string, planId: string, from?: number, to?: number): AsyncIterable<SegmentRow>
}

/** The second read of an object whose checksum does not combine from segments: one unit for each range. */
export interface DigestLedger {
  /** Starts the phase with `count` units; false when it has begun already. */
  begin(traceId: string, planId: string, count: number): Promise<boolean>
  finish(traceId: string, planId: string, piece: Piece): Promise<'counted' | 'already' | 'stale'>
  list(traceId: string, planId: string): AsyncIterable<Piece>
}

/** Bodies that this deployment has verified: (id, name, generation, crc32c, size). Lookups are batched and cached. */
export interface ChunkIndex {
  lookup(id: string): Promise<ChunkRef | undefined>
  record(chunks: readonly ChunkRef[]): Promise<void>
  forget(id: string): Promise<void>
}

export type MemberRow = {
  bucket: string
  prefix: string
  path: string
  key: string
  traceId: string
  version: string
  etag: string
  lastModified: number
  size: number
  /** `copying` until the object is sealed; `deleted` is never used: deletes are not propagated. */
  state: ObjectState
  planId: string
  manifestDigest?: string
  sha256?: string
  /** Base64 of the full-object CRC64NVME, where the source has one. */
  crc64nvme?: string
  /** Absent in rows of an earlier version. */
  plannedAt?: number
}

export type ReleaseRow = {
  bucket: string
  prefix: string
  model: string
  version?: string
  /** When an object of it was last planned or sealed. */
  touchedAt: number
  /** Trace ids of the markers that are sealed releases already (an inferred one is `inferred`). */
  done: string[]
  waiting?: string
  /** How often the releases under the prefix were asked to be sealed anew, under other ids. */
  again?: number
  /** Ids of manifests under the prefix that a check found wanting, whatever the members are by now. */
  wanting?: string[]
}

export interface ReleaseLedger {
  /** Writes one member and marks the release open for evaluation. */
  touch(member: MemberRow, release: { model: string; version?: string }, now: number): Promise<void>
  members(bucket: string, prefix: string): Promise<MemberRow[]>
  get(bucket: string, prefix: string): Promise<ReleaseRow | undefined>
  /**
   * Changes the row; with `closeIf`, leaves the open index only when nothing touched it since. What is `done`, and that it is
   * closed, counts only where the release was not reopened since `again` was read.
   */
  update(
    bucket: string,
    prefix: string,
    change: { done?: string; waiting?: string; closeIf?: number; again?: number | undefined },
  ): Promise<void>
  /**
   * Forgets what was done and opens the release, so that it is sealed anew. Nothing where it is not known, or where the same
   * `cause` was the last to do so. `wanting` is the id of the manifest that is to be replaced, where one is known.
   */
  reopen(bucket: string, prefix: string, cause: string, now: number, wanting?: string): Promise<void>
  open(): AsyncIterable<ReleaseRow>
  /** Asks the committer, through the ledger's stream, to evaluate the release now. */
  request(bucket: string, prefix: string, now: number): Promise<void>
}

/** A chain of manifests per key or model. */
export interface Chain {
  /** Reserves the next sequence number and says what the newest sealed manifest of the chain is. */
  next(chain: string): Promise<{ sequence: number; previousDigest: string | null; previous?: Record<string, string> }>
  /** The newest sealed manifest, as far as it was recorded. */
  newest(chain: string): Promise<{ sequence: number; digest: string; info: Record<string, string> } | undefined>
  /** Records a sealed manifest as the newest, unless a later one is there. */
  advance(chain: string, sequence: number, digest: string, info?: Record<string, string>): Promise<void>
}
