import { forEachBounded } from '../bounded.ts'
import { CorruptError, TargetDiskError, UnsafePathError } from '../errors.ts'
import type { BlobStore } from '../ports.ts'
import type { DecodeChunk } from './decode-chunk.ts'
import type { Member, ObjectManifest } from './manifest.ts'
import type { RestoreDisk } from './restore-disk.ts'
import { type FileDeps, fetchToPartial, holdsObject, type Proof } from './restore-file.ts'
import { checkPaths, journalPathOf, partialPathOf } from './restore-paths.ts'
import { inContext, readObjectManifest } from './restore-read.ts'

/** A file to restore; `member` and `manifestDigest` where a release names it. */
export type RestoreTarget = {
  /** Relative to the restore folder. A zero-byte object whose path ends with a slash is a folder. */
  path: string
  size: number
  manifest: string
  manifestDigest?: string
  member?: Pick<Member, 'bucket' | 'key' | 'version' | 'planId'>
}

export type RestoreOptions = {
  overwrite: boolean
  allowCaseCollisions: boolean
  signal?: AbortSignal
  filesAtOnce?: number
  chunksAtOnce?: number
  /** In this thread unless given. */
  decode?: DecodeChunk
  onBytes?: (bytes: number) => void
}

export type RestoredFile = {
  path: string
  bytes: number
  outcome: 'restored' | 'kept'
  provedBy: Proof
  fetchedBytes: number
}

type Plan = { target: RestoreTarget; existing: number | undefined; partialBytes: number }

/** Throws UnsafePathError where a part of the path is there already and is a link or no folder. */
const inspectFolder = async (disk: RestoreDisk, folder: string): Promise<void> => {
  const segments = folder.split('/')
  for (let depth = 1; depth <= segments.length; depth += 1) {
    const path = segments.slice(0, depth).join('/')
    const entry = await disk.inspect(path)
    if (!entry) return
    if (entry.kind !== 'folder')
      throw new UnsafePathError(`${path} is a ${entry.kind} where a folder must be: nothing was written`)
  }
}

const folderOf = (path: string): string | undefined => {
  const slash = path.lastIndexOf('/')
  return slash > 0 ? path.slice(0, slash) : undefined
}

const inspectTarget = async (disk: RestoreDisk, target: RestoreTarget): Promise<Plan> => {
  const folder = folderOf(target.path)
  if (folder !== undefined) await inspectFolder(disk, folder)
  const sizes = new Map<string, number>()
  for (const path of [target.path, partialPathOf(target.path), journalPathOf(target.path)]) {
    const entry = await disk.inspect(path)
    if (entry && entry.kind !== 'file')
      throw new UnsafePathError(`${path} is a ${entry.kind} where a file must go: nothing was written`)
    if (entry) sizes.set(path, entry.size)
  }
  return { target, existing: sizes.get(target.path), partialBytes: sizes.get(partialPathOf(target.path)) ?? 0 }
}

/** The manifest of a target, checked to be the one that the release means. */
const manifestOf = async (
  store: BlobStore,
  target: RestoreTarget,
): Promise<{ record: ObjectManifest; digest: string }> => {
  const read = await readObjectManifest(store, target.manifest, target.manifestDigest)
  const { source, size, planId } = read.record
  const { member } = target
  const isMember =
    !member ||
    (source.bucket === member.bucket &&
      source.key === member.key &&
      source.version === member.version &&
      planId === member.planId)
  if (!isMember || size !== target.size)
    throw new CorruptError(
      `${target.manifest} describes ${source.key} version ${source.version} of ${size} bytes, not ${target.path} of ${target.size}`,
    )
  return read
}

/** Sorts out what is there already: true where the file has the right bytes. Throws where others must not be replaced. */
const isKept = async (deps: FileDeps, plan: Plan, options: RestoreOptions): Promise<boolean> => {
  const { target, existing } = plan
  if (existing === undefined) return false
  const { record } = await manifestOf(deps.store, target)
  if (await holdsObject(deps, target.path, record, existing)) return true
  if (!options.overwrite)
    throw new TargetDiskError('the file exists with other content: --overwrite replaces it; nothing was written')
  return false
}

const checkSpace = async (disk: RestoreDisk, plans: readonly Plan[]): Promise<void> => {
  const free = await disk.freeBytes()
  const needed = plans.reduce((sum, { target, partialBytes }) => sum + Math.max(0, target.size - partialBytes), 0)
  if (free !== undefined && needed > free)
    throw new TargetDiskError(
      `the disk is too full: ${needed} bytes are needed and ${free} are free; nothing was written`,
    )
}

const named = async <T>(path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    throw inContext(path, error)
  }
}

type Fetched = RestoredFile & { lastModified: number }

/** All that is missing goes into partial files; the first failure stops the others, which keep what they have. */
const fetchAll = async (deps: FileDeps, plans: readonly Plan[], filesAtOnce: number): Promise<Fetched[]> => {
  const stop = new AbortController()
  const signal = AbortSignal.any([deps.signal, stop.signal])
  const files: Fetched[] = []
  const failures: unknown[] = []
  const fetchOne = async ({ target }: Plan): Promise<void> => {
    signal.throwIfAborted()
    const { record, digest } = await manifestOf(deps.store, target)
    const folder = folderOf(target.path)
    if (folder !== undefined) await deps.disk.makeFolder(folder)
    const { proof, fetchedBytes } = await fetchToPartial({ ...deps, signal }, target.path, record, digest)
    const lastModified = Date.parse(record.source.lastModified)
    const { path, size } = target
    files.push({ path, bytes: size, outcome: 'restored', provedBy: proof, fetchedBytes, lastModified })
  }
  await forEachBounded(plans, filesAtOnce, async (plan) => {
    try {
      await named(plan.target.path, () => fetchOne(plan))
    } catch (error) {
      failures.push(error)
      stop.abort()
    }
  })
  if (failures.length > 0) throw failures[0]
  return files
}

/** Files get their names only when every one of them is whole. */
const publish = async (disk: RestoreDisk, files: readonly Fetched[]): Promise<void> => {
  for (const { path, lastModified } of files) {
    await disk.setModified(partialPathOf(path), lastModified)
    await disk.rename(partialPathOf(path), path)
    await disk.remove(journalPathOf(path))
  }
}

const isFolder = ({ path, size }: RestoreTarget): boolean => size === 0 && path.endsWith('/')

/**
 * Restores all targets or none: paths are judged and existing files compared first, every file is written beside its
 * place, rehashed and proved against the source's checksum, and only then are they renamed. What an error or an
 * interruption leaves are `*.lifeboat-partial` files, from which the same call goes on.
 */
export const restoreFiles = async (
  store: BlobStore,
  disk: RestoreDisk,
  targets: readonly RestoreTarget[],
  options: RestoreOptions,
): Promise<RestoredFile[]> => {
  const deps: FileDeps = {
    store,
    disk,
    signal: options.signal ?? new AbortController().signal,
    chunksAtOnce: options.chunksAtOnce ?? 8,
    decode: options.decode,
    onBytes: options.onBytes ?? (() => undefined),
  }
  const folders = targets.filter(isFolder).map(({ path }) => path.slice(0, -1))
  const wanted = targets.filter((target) => !isFolder(target))
  checkPaths(
    wanted.map(({ path }) => path),
    folders,
    options,
  )
  for (const folder of folders) await inspectFolder(disk, folder)
  const plans: Plan[] = []
  for (const target of wanted) plans.push(await inspectTarget(disk, target))
  const files: RestoredFile[] = []
  const missing: Plan[] = []
  for (const plan of plans) {
    const { path, size } = plan.target
    if (await named(path, () => isKept(deps, plan, options))) {
      files.push({ path, bytes: size, outcome: 'kept', provedBy: 'chunk digests', fetchedBytes: 0 })
      deps.onBytes(size)
    } else missing.push(plan)
  }
  await checkSpace(disk, missing)
  for (const folder of ['', ...folders]) await disk.makeFolder(folder)
  const fetched = await fetchAll(deps, missing, options.filesAtOnce ?? 3)
  await publish(disk, fetched)
  files.push(...fetched.map(({ lastModified: _lastModified, ...file }) => file))
  return files.sort((a, b) => (a.path < b.path ? -1 : 1))
}
