import type { SourceObject } from '../ports.ts'
import type { Verdict } from './check.ts'
import { sha256Hex } from './codec.ts'
import type { WeightsDeps } from './deps.ts'
import type { Check, Identical, ObjectRow, Piece } from './ledger.ts'
import { type ObjectManifest, objectManifestSchema, parseRecord } from './manifest.ts'

/**
 * Objects that a SHA-256 of S3's proves to be the bytes of one that is protected already: a rename, a copy, a re-upload.
 * S3 compares the SHA-256 with the bytes when they are uploaded; a CRC or an ETag could be made to agree.
 */

const manifestBytesMax = 64 * 2 ** 20

/** Bytes with the same SHA-256 (or, by part, the same over parts of the same sizes) and the same size. */
const contentOf = (check: Check, size: number): string =>
  `content#${sha256Hex(Buffer.from(JSON.stringify([check.algorithm, check.type, check.value, size, check.parts ?? null])))}`

const proves = (check: Check | null): check is Check => check?.algorithm === 'SHA256'

/** Records what a manifest has been proved to hold. */
export const recordContent = async (
  deps: Pick<WeightsDeps, 'chain' | 'clock'>,
  row: ObjectRow,
  sealed: { name: string; manifest: ObjectManifest; digest: string },
): Promise<void> => {
  if (!proves(row.check) || sealed.manifest.state !== 'protected' || row.source.size === 0) return
  const chain = contentOf(row.check, row.source.size)
  await deps.chain.advance(chain, deps.clock.now(), sealed.digest, { manifest: sealed.name })
}

/** What is being repaired is taken over by nobody until it is sealed again. */
export const forgetContent = async (
  deps: Pick<WeightsDeps, 'chain' | 'clock'>,
  check: Check | null,
  size: number,
): Promise<void> => {
  if (proves(check)) await deps.chain.advance(contentOf(check, size), deps.clock.now(), 'none')
}

/** The manifest that `identical` names, as long as it is what it was. */
export const readIdentical = async (
  deps: Pick<WeightsDeps, 'store'>,
  { manifest, digest }: Identical,
): Promise<ObjectManifest | undefined> => {
  const body = await deps.store.read(manifest, { bytesMax: manifestBytesMax })
  if (!body || `sha256:${sha256Hex(body)}` !== digest) return undefined
  return parseRecord(objectManifestSchema, manifest, body)
}

/** A protected manifest of the same bytes, where the source's checksum proves them to be; undefined where they have to be read. */
export const findIdentical = async (
  deps: Pick<WeightsDeps, 'chain' | 'store'>,
  object: SourceObject,
  check: Check | null,
): Promise<{ identical: Identical; manifest: ObjectManifest } | undefined> => {
  if (!proves(check) || object.size === 0) return undefined
  const known = await deps.chain.newest(contentOf(check, object.size))
  const name = known?.info['manifest']
  if (known === undefined || name === undefined) return undefined
  const identical = { manifest: name, digest: known.digest }
  const manifest = await readIdentical(deps, identical)
  const verified = manifest?.checksums.verified
  const isSame =
    manifest?.state === 'protected' &&
    manifest.size === object.size &&
    verified?.algorithm === check.algorithm &&
    verified.type === check.type &&
    verified.value === check.value
  return isSame ? { identical, manifest } : undefined
}

/** Whether every part was taken over: what had to be read after all has pieces, and is compared. */
export const isTakenOver = (row: ObjectRow, pieces: readonly Piece[]): boolean =>
  row.identical !== undefined && row.phase === 'copy' && pieces.length === 0

/** What was taken over was compared when it was sealed first. */
export const verdictOfIdentical = ({ type, value }: Check): Verdict => ({
  kind: 'verified',
  ...(type === 'FULL_OBJECT' ? { sha256: Buffer.from(value, 'base64').toString('hex') } : {}),
})
