import { mapInOrder } from '../bounded.ts'
import { ChecksumMismatchError, CorruptError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import { discard } from './buffers.ts'
import { boundsWithin, compareChecksum, createPieceDigester } from './check.ts'
import { sha256Hex } from './codec.ts'
import type { DecodeChunk } from './decode-chunk.ts'
import type { Check } from './ledger.ts'
import type { ChunkRef, ObjectManifest } from './manifest.ts'
import type { DiskFile, RestoreDisk } from './restore-disk.ts'
import { journalPathOf, partialPathOf } from './restore-paths.ts'
import { chunksOfObject, inContext, readChunkAnyhow } from './restore-read.ts'
import { idHex } from './store.ts'

/** One object into one file that is not yet under its own name. */

export type FileDeps = {
  store: BlobStore
  disk: RestoreDisk
  signal: AbortSignal
  chunksAtOnce: number
  /** In this thread unless given. */
  decode?: DecodeChunk | undefined
  /** Bytes now known to be right on the disk. */
  onBytes(bytes: number): void
}

/** What proved the whole file: a checksum of the source's own, or the chunks' digests alone where it has none. */
export type Proof = 'source checksum' | 'chunk digests'

/** How often the journal is written; an interruption costs no more than this in transfer. */
const journalEveryBytes = 256 * 2 ** 20

type Journal = { lifeboat: 1; manifest: string; verifiedBytes: number }

/** Bytes from the start of the partial file that an earlier run of this same manifest wrote and verified; they are rehashed. */
const readJournal = async (disk: RestoreDisk, path: string, manifestDigest: string): Promise<number> => {
  const text = await disk.readText(journalPathOf(path))
  if (text === undefined) return 0
  try {
    const journal = JSON.parse(text) as Partial<Journal> | null
    const isOurs = journal?.lifeboat === 1 && journal.manifest === manifestDigest
    return isOurs && Number.isSafeInteger(journal.verifiedBytes) ? (journal.verifiedBytes ?? 0) : 0
  } catch {
    return 0
  }
}

const matches = (bytes: Uint8Array, ref: ChunkRef): boolean =>
  bytes.length === ref.length && sha256Hex(bytes) === idHex(ref.id)

/** The check that the bytes on the disk can be put to again; undefined where the manifest has nothing to compute it from. */
const checkOf = (manifest: ObjectManifest): Check | undefined => {
  const { verified, sha256, parts } = manifest.checksums
  if (verified?.type === 'FULL_OBJECT') return { ...verified }
  if (verified && parts) return { ...verified, parts }
  return sha256 === undefined
    ? undefined
    : { algorithm: 'SHA256', type: 'FULL_OBJECT', value: Buffer.from(sha256, 'hex').toString('base64') }
}

const createProver = (manifest: ObjectManifest): { update(bytes: Uint8Array): void; prove(): Proof } => {
  const check = checkOf(manifest)
  const digest = check && { algorithm: check.algorithm, bounds: boundsWithin(check, manifest.size, 0, manifest.size) }
  const digester = createPieceDigester(digest ?? null, 0, manifest.size)
  return {
    update: (bytes) => digester.update(bytes),
    prove: () => {
      if (!check) return 'chunk digests'
      const verdict = compareChecksum(check, manifest.size, digester.pieces())
      if (verdict.kind === 'verified') return manifest.checksums.verified ? 'source checksum' : 'chunk digests'
      const found = verdict.kind === 'mismatch' ? verdict.found : 'parts that do not cover it'
      throw new ChecksumMismatchError(
        `every chunk is right and the whole is not: the manifest says ${check.algorithm} ${check.value}, the file has ${found}`,
      )
    },
  }
}

/** True when the file on the disk has exactly the bytes of the manifest. */
export const holdsObject = async (
  deps: FileDeps,
  path: string,
  manifest: ObjectManifest,
  sizeOnDisk: number,
): Promise<boolean> => {
  if (sizeOnDisk !== manifest.size) return false
  const file = await deps.disk.openToRead(path)
  try {
    for await (const { ref, offset } of chunksOfObject(deps.store, manifest)) {
      deps.signal.throwIfAborted()
      if (!matches(await file.read(offset, ref.length), ref)) return false
    }
    return true
  } finally {
    await file.close()
  }
}

type Work = { file: DiskFile; onDisk: number }

const placeChunk = async (deps: FileDeps, work: Work, ref: ChunkRef, offset: number): Promise<Placed> => {
  deps.signal.throwIfAborted()
  try {
    if (offset + ref.length <= work.onDisk) {
      const before = await work.file.read(offset, ref.length)
      if (matches(before, ref)) return { plain: before, fetched: 0 }
    }
    const plain = await readChunkAnyhow(deps.store, ref, deps.decode)
    deps.signal.throwIfAborted()
    await work.file.write(offset, plain)
    return { plain, fetched: plain.length }
  } catch (error) {
    throw inContext(`bytes ${offset} to ${offset + ref.length} (chunk ${ref.id})`, error)
  }
}
type Placed = { plain: Uint8Array; fetched: number }

/**
 * Writes the object to the partial file of `path`, chunks in parallel and at most `chunksAtOnce` of them in memory, and
 * proves the whole. On any error the partial file and a journal stay, and the next call goes on from there.
 */
export const fetchToPartial = async (
  deps: FileDeps,
  path: string,
  manifest: ObjectManifest,
  manifestDigest: string,
): Promise<{ proof: Proof; fetchedBytes: number }> => {
  const { disk } = deps
  const file = await disk.openToWrite(partialPathOf(path))
  const work: Work = { file, onDisk: await readJournal(disk, path, manifestDigest) }
  const prover = createProver(manifest)
  let position = 0
  let journaled = 0
  let fetchedBytes = 0
  const journal = async (): Promise<void> => {
    await file.sync()
    const entry: Journal = { lifeboat: 1, manifest: manifestDigest, verifiedBytes: position }
    await disk.writeText(journalPathOf(path), JSON.stringify(entry))
    journaled = position
  }
  try {
    const chunks = mapInOrder(chunksOfObject(deps.store, manifest), deps.chunksAtOnce, ({ ref, offset }) =>
      placeChunk(deps, work, ref, offset),
    )
    for await (const { plain, fetched } of chunks) {
      prover.update(plain)
      position += plain.length
      fetchedBytes += fetched
      deps.onBytes(plain.length)
      discard(plain)
      if (position - journaled >= journalEveryBytes) await journal()
    }
    if (position !== manifest.size) throw new CorruptError(`wrote ${position} bytes of ${manifest.size}`)
    await file.truncate(manifest.size)
    const proof = prover.prove()
    await journal()
    return { proof, fetchedBytes }
  } catch (error) {
    // The error that ended the run counts more than a journal that a full disk refuses.
    if (position > journaled) await journal().catch(() => undefined)
    throw error
  } finally {
    await file.close()
  }
}
