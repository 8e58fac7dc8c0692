import { toArray } from '../bounded.ts'
import { CorruptError, InvalidInputError, LifeboatError } from '../errors.ts'
import type { BlobStore, ObjectSource } from '../ports.ts'
import { orDamage, readSealed, sealedNames, statsOf, versionNameOf } from '../weights/catalog-read.ts'
import { compareChecksum } from '../weights/check.ts'
import { sha256Hex } from '../weights/codec.ts'
import { traceIdOf, versionOf } from '../weights/identity.ts'
import type { DigestLedger, ObjectLedger, ObjectRow, Piece, SegmentLedger } from '../weights/ledger.ts'
import {
  cancelledSchema,
  chunksPartSchema,
  type ObjectManifest,
  objectManifestSchema,
  parseRecord,
} from '../weights/manifest.ts'
import { objectManifestName, parseObjectManifestName } from '../weights/names.ts'
import { readPart } from '../weights/store.ts'
import type { Flaw, Look } from './look.ts'
import { checkParts, type PartsCheck } from './validate-parts.ts'

/** One object manifest: what it says, what it names, and what the source and the ledger say of it. */

const manifestBytesMax = 64 * 2 ** 20
/** Above this the ledger's pieces of one object are not combined again. */
const segmentsMax = 20_000

export type ObjectCheck = {
  store: BlobStore
  look: Look
  isLate: () => boolean
  /** Absent where AWS is not asked: then the replica's own records are all that is compared. */
  source?: Pick<ObjectSource, 'head'>
  ledger?: {
    objects: Pick<ObjectLedger, 'get'>
    segments: Pick<SegmentLedger, 'list'>
    digests: Pick<DigestLedger, 'list'>
  }
}

export type Checked = {
  counts: Record<string, number>
  flaws: Flaw[]
  /** Byte at which the next call goes on, where this one was late. */
  stoppedAt?: number
  /** What the flaws are of, as far as it can be told. */
  about?: { bucket: string; key: string; version: string }
  /** The manifest, where it can be read and is the one of its version that counts. */
  manifest?: ObjectManifest
}

type Counted = { count: (name: string, by?: number) => void; flaw: (flaw: Flaw) => void }

const isSealedRow = (row: ObjectRow | undefined): row is ObjectRow & { manifestDigest: string } =>
  (row?.state === 'protected' || row?.state === 'sealed') && row.manifestDigest !== undefined

/** What is no name at all is not the one that is asked for. */
export const isNamed = (name: string, build: () => string): boolean => {
  try {
    return build() === name
  } catch (error) {
    if (error instanceof InvalidInputError) return false
    throw error
  }
}

/** A manifest is what its name says, and says nothing that contradicts itself. */
const checkWords = (to: Counted, name: string, manifest: ObjectManifest): void => {
  const { source, checksums, state, planId } = manifest
  const altered = (detail: string): void => to.flaw({ kind: 'altered', subject: name, detail })
  if (!isNamed(name, () => objectManifestName(source.bucket, source.key, source.version, planId)))
    altered(
      `it is of s3://${source.bucket}/${source.key} version ${source.version}, plan ${planId}: not what its name says`,
    )
  if (manifest.traceId !== traceIdOf(source.bucket, source.key, source.version))
    altered(`its traceId ${manifest.traceId} is not that of the object version`)
  const { verified } = checksums
  if ((state === 'protected') !== (verified !== null))
    altered(`it is ${state} with${verified ? '' : 'out'} a checksum verified`)
  const isOwn = checksums.source.some(
    ({ algorithm, value }) => algorithm === verified?.algorithm && value === verified.value,
  )
  if (verified && verified.algorithm !== 'MD5' && !isOwn)
    altered(`the ${verified.algorithm} that was verified is not among the source's checksums`)
}

const compareWithSource = async (
  check: ObjectCheck,
  to: Counted,
  name: string,
  manifest: ObjectManifest,
): Promise<void> => {
  if (!check.source) return to.count('sourceNotAsked')
  const { bucket, key, version, versionId, etag } = manifest.source
  const object = await check.source.head({ bucket, key, ...(versionId === undefined ? {} : { versionId }) })
  if (!object || versionOf(object) !== version) return to.count('sourceGone')
  to.count('sourceCompared')
  const differs = (detail: string): void => to.flaw({ kind: 'source-differs', subject: name, detail })
  if (object.etag !== etag) differs(`the source's ETag is ${object.etag}, the manifest's ${etag}`)
  if (object.size !== manifest.size) differs(`the source has ${object.size} bytes, the manifest ${manifest.size}`)
  for (const { algorithm, type, value } of object.checksums) {
    const own = manifest.checksums.source.find((sum) => sum.algorithm === algorithm && sum.type === type)
    if (own && own.value !== value) differs(`the source's ${algorithm} is ${value}, the manifest's ${own.value}`)
    if (!own) to.count('sourceChecksumsNew')
  }
}

const hexOf = (base64: string): string => Buffer.from(base64, 'base64').toString('hex')

/** The whole SHA-256 of an object of one chunk is the chunk's id; of an empty one it is known. */
const sha256FromChunks = async (check: ObjectCheck, manifest: ObjectManifest): Promise<string | undefined> => {
  if (manifest.size === 0) return sha256Hex(new Uint8Array())
  const [part] = manifest.parts
  if (manifest.parts.length !== 1 || part?.kind !== 'chunks' || part.chunks !== 1) return undefined
  const { chunks } = parseRecord(chunksPartSchema, part.id, await readPart(check.store, part))
  return chunks[0]?.id.slice('sha256:'.length)
}

/** The object's checksum from the digests of its pieces, which the ledger has from when they were read. */
const compareWithPieces = async (check: ObjectCheck, to: Counted, name: string, row: ObjectRow): Promise<boolean> => {
  if (!check.ledger || !row.check || row.segments > segmentsMax) return false
  const pieces: Piece[] = []
  for await (const segment of check.ledger.segments.list(row.traceId, row.planId)) pieces.push(...segment.pieces)
  if (row.phase === 'digest') pieces.push(...(await toArray(check.ledger.digests.list(row.traceId, row.planId))))
  const verdict = compareChecksum(
    row.check,
    row.source.size,
    pieces.toSorted((a, b) => a.start - b.start),
  )
  if (verdict.kind === 'mismatch')
    to.flaw({
      kind: 'checksum-differs',
      subject: name,
      detail: `the pieces that were copied have ${row.check.algorithm} ${verdict.found}, the source said ${row.check.value}`,
    })
  return verdict.kind !== 'missing'
}

const compareChecksums = async (
  check: ObjectCheck,
  to: Counted,
  name: string,
  manifest: ObjectManifest,
  row: ObjectRow | undefined,
): Promise<void> => {
  const { verified, sha256 } = manifest.checksums
  if (!verified) return to.count('checksumsNone')
  const whole = await sha256FromChunks(check, manifest)
  if (whole !== undefined) {
    const said = [
      sha256,
      verified.algorithm === 'SHA256' && verified.type === 'FULL_OBJECT' ? hexOf(verified.value) : undefined,
    ]
    for (const value of said)
      if (value !== undefined && value !== whole)
        to.flaw({
          kind: 'checksum-differs',
          subject: name,
          detail: `its chunk is sha256:${whole}, the manifest says ${value}`,
        })
  }
  if (row?.planId === manifest.planId && (await compareWithPieces(check, to, name, row)))
    to.count('checksumsFromPieces')
  else to.count(whole === undefined ? 'checksumsNotRecomputed' : 'checksumsFromChunks')
}

/** Whether another manifest of the same version was sealed later, and is the one that counts. */
export const isReplaced = async (
  check: ObjectCheck,
  name: string,
  manifest: ObjectManifest | undefined,
  row: ObjectRow | undefined,
): Promise<boolean> => {
  const prefix = versionNameOf(name)
  const isOther = (other: string): boolean =>
    other !== name && parseObjectManifestName(other) !== undefined && versionNameOf(other) === prefix
  for await (const other of sealedNames(check.store, statsOf(check.store, `${prefix}.`, isOther))) {
    const read = await orDamage(other, () => readSealed(check.store, other))
    if (!('found' in read) || !read.found) continue
    const { object } = read.found
    if (isSealedRow(row) ? row.planId === object.planId : object.sequence > (manifest?.sequence ?? -1)) return true
  }
  return false
}

const read = (name: string, bytes: Uint8Array): ObjectManifest | 'cancelled' | Flaw => {
  try {
    const record = parseRecord(objectManifestSchema.or(cancelledSchema), name, bytes)
    return record.format === 'lifeboat/cancelled' ? 'cancelled' : record
  } catch (error) {
    if (!(error instanceof LifeboatError)) throw error
    return { kind: error instanceof InvalidInputError ? 'altered' : 'unreadable', subject: name, detail: error.message }
  }
}

const traceOf = (name: string): string | undefined => {
  const parsed = parseObjectManifestName(name)
  return parsed && 'text' in parsed.key && 'text' in parsed.version
    ? traceIdOf(parsed.bucket, parsed.key.text, parsed.version.text)
    : undefined
}

export const aboutOf = (name: string, manifest: ObjectManifest | undefined): Checked['about'] => {
  const parsed = parseObjectManifestName(name)
  if (parsed && 'text' in parsed.key && 'text' in parsed.version)
    return { bucket: parsed.bucket, key: parsed.key.text, version: parsed.version.text }
  if (!manifest) return undefined
  const { bucket, key, version } = manifest.source
  return { bucket, key, version }
}

/** The manifest's bytes as they were when it was sealed, by the digest that the ledger kept. */
const checkDigest = (
  to: Counted,
  name: string,
  bytes: Uint8Array,
  planId: string | undefined,
  row: ObjectRow | undefined,
): void => {
  if (!row) return to.count('ledgerUnknown')
  if (!isSealedRow(row) || row.planId !== planId) return
  to.count('ledgerCompared')
  const digest = `sha256:${sha256Hex(bytes)}`
  if (digest !== row.manifestDigest)
    to.flaw({ kind: 'altered', subject: name, detail: `it is ${digest}, and was sealed as ${row.manifestDigest}` })
}

/** A part that cannot be read is a flaw of its own, found by checkParts. */
const unlessCorrupt = async (work: () => Promise<void>): Promise<void> => {
  try {
    await work()
  } catch (error) {
    if (!(error instanceof CorruptError || error instanceof InvalidInputError)) throw error
  }
}

/** Checks the manifest of this name and all that it names, from byte `from` of the object on. */
export const checkObject = async (check: ObjectCheck, name: string, from = 0): Promise<Checked> => {
  const checked: Checked = { counts: {}, flaws: [] }
  const to: PartsCheck = {
    ...check,
    from,
    count: (counter, by = 1) => void (checked.counts[counter] = (checked.counts[counter] ?? 0) + by),
    flaw: (flaw) => void checked.flaws.push(flaw),
  }
  const bytes = await check.store.read(name, { bytesMax: manifestBytesMax })
  if (!bytes) {
    to.flaw({ kind: 'missing', subject: name, detail: 'the manifest is not in the replica' })
    const about = aboutOf(name, undefined)
    return { ...checked, ...(about ? { about } : {}) }
  }
  const record = read(name, bytes)
  const manifest = record === 'cancelled' || 'subject' in record ? undefined : record
  const traceId = traceOf(name) ?? manifest?.traceId
  const row = traceId === undefined ? undefined : await check.ledger?.objects.get(traceId)
  if (record === 'cancelled' && !(isSealedRow(row) && row.planId === parseObjectManifestName(name)?.planId)) {
    to.count('cancelled')
    return checked
  }
  if (from === 0) to.count('manifests')
  if (from === 0 && check.ledger) checkDigest(to, name, bytes, parseObjectManifestName(name)?.planId, row)
  if (record !== 'cancelled' && 'subject' in record) to.flaw(record)
  if (manifest) {
    if (from === 0) {
      checkWords(to, name, manifest)
      await compareWithSource(check, to, name, manifest)
      await unlessCorrupt(() => compareChecksums(check, to, name, manifest, row))
    }
    const stoppedAt = await checkParts(to, name, manifest)
    if (stoppedAt !== undefined) checked.stoppedAt = stoppedAt
  }
  const isWhole = checked.flaws.length === 0
  if (!isWhole && (await isReplaced(check, name, manifest, row)))
    return { counts: { ...checked.counts, replaced: 1 }, flaws: [] }
  if (manifest) checked.manifest = manifest
  if (isWhole) return checked
  const about = aboutOf(name, manifest)
  return { ...checked, ...(about ? { about } : {}) }
}
