import { constants } from 'node:fs'
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readFile,
  realpath,
  rename,
  rm,
  statfs,
  utimes,
  writeFile,
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { TargetDiskError } from '../shared/errors.ts'
import type { DiskEntry, DiskFile, RestoreDisk } from '../shared/weights/restore-disk.ts'

const reasons: Record<string, string> = {
  ENOSPC: 'the disk is full: make room and run the same command again, it goes on where it stopped',
  EDQUOT: 'the disk quota is used up: make room and run the same command again, it goes on where it stopped',
  EROFS: 'the file system is read-only',
  EACCES: 'permission denied',
  EPERM: 'not permitted',
  ELOOP: 'it is a link, which is never followed',
  ENAMETOOLONG: 'the name is too long for this file system',
  EFBIG: 'the file is too large for this file system',
  ENOTDIR: 'a file is where a folder must be',
  EIO: 'the disk reported an input/output error',
}

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined

const failed = (operation: string, path: string, error: unknown): Error => {
  const code = codeOf(error)
  const message = error instanceof Error ? error.message : String(error)
  return new TargetDiskError(`cannot ${operation} ${path}: ${(code && reasons[code]) ?? message}`, { cause: error })
}

const attempt = async <T>(operation: string, path: string, work: () => Promise<T>): Promise<T> => {
  try {
    return await work()
  } catch (error) {
    throw failed(operation, path, error)
  }
}

const readFully = async (handle: FileHandle, offset: number, length: number): Promise<Uint8Array> => {
  const buffer = Buffer.allocUnsafeSlow(length)
  let filled = 0
  while (filled < length) {
    const { bytesRead } = await handle.read(buffer, filled, length - filled, offset + filled)
    if (bytesRead === 0) break
    filled += bytesRead
  }
  return buffer.subarray(0, filled)
}

const writeFully = async (handle: FileHandle, offset: number, bytes: Uint8Array): Promise<void> => {
  let written = 0
  while (written < bytes.length)
    written += (await handle.write(bytes, written, bytes.length - written, offset + written)).bytesWritten
}

const openFile = async (path: string, flags: number): Promise<DiskFile> => {
  const handle = await attempt('open', path, () => open(path, flags | constants.O_NOFOLLOW, 0o644))
  return {
    read: (offset, length) => attempt('read', path, () => readFully(handle, offset, length)),
    write: (offset, bytes) => attempt('write', path, () => writeFully(handle, offset, bytes)),
    truncate: (size) => attempt('truncate', path, () => handle.truncate(size)),
    sync: () => attempt('sync', path, () => handle.sync()),
    close: () => handle.close(),
  }
}

const kindOf = (stat: Awaited<ReturnType<typeof lstat>>): DiskEntry['kind'] => {
  if (stat.isFile()) return 'file'
  if (stat.isDirectory()) return 'folder'
  return stat.isSymbolicLink() ? 'link' : 'other'
}

/** Undefined where nothing has the name, whether or not its folder exists. */
const orAbsent = async <T>(operation: string, path: string, work: () => Promise<T>): Promise<T | undefined> => {
  try {
    return await work()
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined
    throw failed(operation, path, error)
  }
}

const syncFolder = async (path: string): Promise<void> => {
  const handle = await open(path, constants.O_RDONLY)
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** Makes a folder and those above it. A recursive mkdir reports a read-only file system as ENOENT, a plain one says it. */
const makeFolders = async (path: string): Promise<void> => {
  try {
    await mkdir(path, { recursive: true })
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
    await mkdir(path)
  }
}

/** Where `dir` really is. Undefined parts are as they are written. */
const resolveFolder = async (dir: string): Promise<string> =>
  (await orAbsent('open', dir, () => realpath(dir))) ?? resolve(dir)

/** Free bytes of the file system that `path` is on or will be on. */
const freeBytesAt = async (path: string): Promise<number> => {
  const found = await orAbsent('inspect', path, () => statfs(path))
  return found ? found.bavail * found.bsize : freeBytesAt(dirname(path))
}

/** The folder `dir`, which need not exist yet; it may itself be reached by a link, nothing below it may. */
export const openDisk = async (dir: string): Promise<RestoreDisk> => {
  const root = await resolveFolder(dir)
  const at = (path: string): string => join(root, path)
  return {
    inspect: (path) =>
      orAbsent('inspect', at(path), async () => {
        const stat = await lstat(at(path))
        return { kind: kindOf(stat), size: stat.size }
      }),
    makeFolder: (path) => attempt('make', at(path), () => makeFolders(at(path))),
    openToRead: (path) => openFile(at(path), constants.O_RDONLY),
    openToWrite: (path) => openFile(at(path), constants.O_RDWR | constants.O_CREAT),
    readText: (path) => orAbsent('read', at(path), () => readFile(at(path), 'utf8')),
    writeText: (path, text) => attempt('write', at(path), () => writeFile(at(path), text)),
    rename: (from, to) =>
      attempt('rename', at(to), async () => {
        await rename(at(from), at(to))
        await syncFolder(dirname(at(to)))
      }),
    remove: (path) => attempt('remove', at(path), () => rm(at(path), { force: true })),
    setModified: (path, time) =>
      attempt('set the time of', at(path), () => utimes(at(path), new Date(), new Date(time))),
    freeBytes: () => freeBytesAt(root),
  }
}
