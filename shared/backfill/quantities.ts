import type { Prices } from './prices.ts'
import { defaultPrices } from './prices.ts'
import type { Spec } from './run.ts'

/**
 * What a backfill takes of the clouds, from how much it reads and sends. The same is computed of an estimate and of what was
 * done. Speeds and request counts are measured ones (docs/scale.md).
 */

const gb = 1e9

export const speeds = {
  /** A function's own network, in and out together, is what bounds a copy: 600 Mbit/s. */
  copyBytesPerSecond: 50e6,
  copyMemoryGb: 1.769,
  /** Calls beside the bytes: plan, units of copy, commit. */
  objectGbSeconds: 0.3,
  /** One function, 48 writes in flight. */
  rowsPerSecond: 2500,
  rowsMemoryGb: 1.769,
  /** Copies that run at once (infra/aws/backfill.yml). */
  copiesAtOnce: 10,
  /** Objects that one function lists and plans. */
  objectsPerSecond: 100,
}

/** A chunk where nobody counted: 1 MiB is what content-defined cuts make. */
const chunkBytes = 2 ** 20
const segmentBytes = 256 * 2 ** 20

export type Work = {
  /** Object versions or items that are looked at. */
  read: number
  /** Of these, what is copied or written. */
  done: number
  bytesRead: number
  bytesSent: number
  readUnits: number
  chunks?: number
  segments?: number
}

export type Quantities = {
  egressGb: number
  s3Lists: number
  s3Gets: number
  dynamodbReads: number
  dynamodbWrites: number
  sqs: number
  lambdas: number
  lambdaGbSeconds: number
  gcsCreates: number
  gcsReads: number
  /** From its begin to its end, without limits. */
  seconds: number
}

const objectQuantities = (work: Work): Quantities => {
  const { read, done, bytesRead, bytesSent } = work
  const segments = work.segments ?? Math.max(done, Math.ceil(bytesRead / segmentBytes))
  const chunks = work.chunks ?? Math.max(done, Math.ceil(bytesRead / chunkBytes))
  const copySeconds = bytesRead / speeds.copyBytesPerSecond
  return {
    egressGb: bytesSent / gb,
    s3Lists: read / 100,
    s3Gets: done * 2 + segments,
    // A strong read of a row, twice for each unit; a chunk is looked up in the index.
    dynamodbReads: read + done * 6 + segments * 3 + chunks,
    // The row with its index, the transaction of a unit (twice its writes), its members, the chunk's own.
    dynamodbWrites: done * 14 + segments * 6 + chunks,
    sqs: segments * 3,
    lambdas: done * 2 + segments,
    lambdaGbSeconds: copySeconds * speeds.copyMemoryGb + done * speeds.objectGbSeconds,
    gcsCreates: done * 2 + segments + chunks,
    gcsReads: chunks + done * 3,
    seconds: Math.max(read / speeds.objectsPerSecond, copySeconds / speeds.copiesAtOnce),
  }
}

const rowQuantities = (work: Work, parts: number): Quantities => {
  const seconds = work.read / speeds.rowsPerSecond
  return {
    egressGb: work.bytesSent / gb,
    s3Lists: 0,
    s3Gets: 0,
    dynamodbReads: work.readUnits,
    dynamodbWrites: 0,
    sqs: Math.ceil(seconds / 800) * 3,
    lambdas: Math.ceil(seconds / 800),
    lambdaGbSeconds: seconds * speeds.rowsMemoryGb,
    gcsCreates: 0,
    gcsReads: 0,
    seconds: seconds / parts,
  }
}

export const quantitiesOf = (spec: Spec, work: Work): Quantities =>
  spec.kind === 'objects' ? objectQuantities(work) : rowQuantities(work, spec.segments)

export type Dollars = { egress: number; requests: number; lambda: number; reads: number; total: number }

export const dollarsOf = (quantities: Quantities, prices: Prices): Dollars => {
  const { s3Lists, s3Gets, dynamodbReads, dynamodbWrites, sqs, lambdas, gcsCreates, gcsReads } = quantities
  const egress = quantities.egressGb * prices.egressGb
  const requests =
    (s3Lists * prices.s3ListsThousand +
      s3Gets * prices.s3GetsThousand +
      gcsCreates * prices.gcsCreatesThousand +
      gcsReads * prices.gcsReadsThousand) /
      1e3 +
    (dynamodbWrites * prices.dynamodbWritesMillion + sqs * prices.sqsMillion) / 1e6
  const lambda = quantities.lambdaGbSeconds * prices.lambdaGbSecond + (lambdas * prices.lambdaMillion) / 1e6
  const reads = (dynamodbReads * prices.dynamodbReadsMillion) / 1e6
  return { egress, requests, lambda, reads, total: egress + requests + lambda + reads }
}

/** As flat numbers: what a report and `--json` have of an estimate and of what was spent. */
export const accountOf = (spec: Spec, work: Work, prices: Prices): Record<string, number> => {
  const quantities = quantitiesOf(spec, work)
  const { total, ...dollars } = dollarsOf(quantities, prices)
  const named = Object.entries(dollars).map(([name, value]) => [
    `dollars${name[0]?.toUpperCase()}${name.slice(1)}`,
    value,
  ])
  const { seconds, lambdaGbSeconds, egressGb: _egress, ...requests } = quantities
  return {
    ...work,
    seconds,
    lambdaGbSeconds,
    requests: Object.values(requests).reduce((sum, count) => sum + count, 0),
    ...(Object.fromEntries(named) as Record<string, number>),
    dollars: total,
  }
}

const workOf = (counts: Readonly<Record<string, number>>): Work => {
  const of = (name: string): number => counts[name] ?? 0
  return {
    read: of('read'),
    done: of('done'),
    bytesRead: of('bytesRead'),
    bytesSent: of('bytesSent'),
    readUnits: of('readUnits'),
    ...(counts['chunks'] === undefined ? {} : { chunks: of('chunks'), segments: of('segments') }),
  }
}

export const spentOf = (
  spec: Spec,
  counts: Readonly<Record<string, number>>,
  prices: Prices = defaultPrices,
): Record<string, number> => accountOf(spec, workOf(counts), prices)
