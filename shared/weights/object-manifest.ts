import { UnavailableError } from '../errors.ts'
import type { Verdict } from './check.ts'
import { sha256Hex } from './codec.ts'
import type { WeightsDeps } from './deps.ts'
import type { ObjectRow, Piece, SegmentRow } from './ledger.ts'
import { chunksPartSchema, formatVersion, type ObjectManifest, type PartRef, parseRecord, toBytes } from './manifest.ts'
import { distrusting, sourceRecord } from './plan.ts'
import { keep } from './presence.ts'
import { bodyName, idHex, readPart, storePart } from './store.ts'

/** The record that a commit seals. */

/** Part references that a manifest carries itself; more of them go into index parts. */
const partsInlineMax = 500
const partsPerIndex = 5000

/** The segments of a whole object, which tile it, with their parts and the digests of their pieces in order. */
export type Tiling = {
  segments: SegmentRow[]
  parts: PartRef[]
  pieces: Piece[]
  bytesSent: number
  bytesReused: number
}

const indexParts = async (deps: WeightsDeps, row: ObjectRow, parts: PartRef[]): Promise<PartRef[]> => {
  if (parts.length <= partsInlineMax) return parts
  const indexes: PartRef[] = []
  for (let first = 0; first < parts.length; first += partsPerIndex) {
    const slice = parts.slice(first, first + partsPerIndex)
    const plain = toBytes({ format: 'lifeboat/index', formatVersion, parts: slice })
    const { ref } = await storePart(deps, plain, { traceId: row.traceId })
    const { length: _length, codec: _codec, base: _base, ...stored } = ref
    if (!(await keep(deps, bodyName(stored, 'part'), stored)))
      throw new UnavailableError(`index part ${ref.id} of ${row.source.key} vanished before the seal: try again`)
    indexes.push({
      ...stored,
      kind: 'index',
      offset: slice[0]?.offset ?? 0,
      size: slice.reduce((sum, part) => sum + part.size, 0),
      chunks: slice.reduce((sum, part) => sum + part.chunks, 0),
    })
  }
  return indexes
}

/** The SHA-256 of the whole object where it is known without another read. */
const wholeSha256 = async (
  deps: WeightsDeps,
  row: ObjectRow,
  parts: readonly PartRef[],
  verdict: Verdict | undefined,
): Promise<string | undefined> => {
  if (verdict?.kind === 'verified' && verdict.sha256) return verdict.sha256
  if (row.source.size === 0) return sha256Hex(new Uint8Array())
  const [part] = parts
  if (parts.length !== 1 || part?.chunks !== 1) return undefined
  const [chunk] = parseRecord(chunksPartSchema, bodyName(part, 'part'), await readPart(deps.store, part)).chunks
  return chunk && idHex(chunk.id)
}

export const manifestOf = async (
  deps: WeightsDeps,
  row: ObjectRow,
  tiling: Tiling,
  verdict: Verdict | undefined,
): Promise<ObjectManifest> => {
  const { sequence, previousDigest } = await deps.chain.next(`object#${row.source.bucket}#${row.source.key}`)
  const sha256 = await wholeSha256(deps, row, tiling.parts, verdict)
  const verified = verdict?.kind === 'verified' && row.check
  return {
    format: 'lifeboat/object',
    formatVersion,
    traceId: row.traceId,
    sequence,
    previousDigest,
    signatures: [],
    encryption: null,
    planId: row.planId,
    state: verified ? 'protected' : 'sealed',
    source: sourceRecord(deps.config, row.source, row.version),
    size: row.source.size,
    checksums: {
      source: row.source.checksums,
      verified: verified ? { algorithm: verified.algorithm, type: verified.type, value: verified.value } : null,
      ...(verified ? {} : { unverifiedReason: row.uncheckedReason ?? 'not compared' }),
      ...(row.check?.parts === undefined ? {} : { parts: row.check.parts }),
      ...(sha256 === undefined ? {} : { sha256 }),
    },
    cutter: row.cutter,
    warnings: row.warnings,
    parts: await indexParts(distrusting(deps, row.repair), row, tiling.parts),
    tensors: row.tensors,
    release: row.release
      ? {
          model: row.release.model,
          path: row.release.path,
          ...(row.release.version === undefined ? {} : { version: row.release.version }),
        }
      : null,
    parent: row.parent ?? null,
    sealedAt: new Date(deps.clock.now()).toISOString(),
  }
}
