import { createHash } from 'node:crypto'
import { UnsafePathError } from '../errors.ts'

/** Paths of a manifest come from whoever could publish: all are judged, before anything is written. */

const partialSuffix = '.lifeboat-partial'
/** Of one file or folder name, on every common file system. */
const segmentBytesMax = 255

/** Where a file is written until it is whole: beside it, and hashed where its own name leaves no room for the suffix. */
export const partialPathOf = (path: string): string => {
  const slash = path.lastIndexOf('/') + 1
  const room = segmentBytesMax - partialSuffix.length - '.json'.length
  if (Buffer.byteLength(path.slice(slash)) <= room) return `${path}${partialSuffix}`
  const digest = createHash('sha256').update(path).digest('hex').slice(0, 32)
  return `${path.slice(0, slash)}.${digest}${partialSuffix}`
}

export const journalPathOf = (path: string): string => `${partialPathOf(path)}.json`

const fault = (path: string): string | undefined => {
  if (path === '') return 'is empty'
  if (!path.isWellFormed()) return 'is not UTF-8'
  if (path.includes('\0')) return 'holds a NUL'
  if (path.includes('\\')) return 'holds a backslash'
  if (path.startsWith('/') || /^[A-Za-z]:(\/|$)/.test(path)) return 'is absolute'
  for (const segment of path.split('/')) {
    if (segment === '' || segment === '.' || segment === '..') return `has the segment "${segment}"`
    if (Buffer.byteLength(segment) > segmentBytesMax) return `has a segment of more than ${segmentBytesMax} bytes`
    if (/\.lifeboat-partial(\.json)?$/i.test(segment)) return 'ends like a file that is not yet whole'
  }
  return undefined
}

const foldersOf = (path: string): string[] => {
  const segments = path.split('/')
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'))
}

/** What file systems that ignore case or normalize Unicode take for one name. */
const folded = (path: string): string => path.normalize('NFC').toLowerCase().normalize('NFC')

/** Two files at one path, or a file where another path needs a folder. */
const findClash = (
  files: readonly string[],
  folders: readonly string[],
  fold: (path: string) => string,
): [string, string] | undefined => {
  const taken = new Map<string, string>()
  for (const path of files) {
    const rival = taken.get(fold(path))
    if (rival !== undefined) return [rival, path]
    taken.set(fold(path), path)
  }
  for (const path of [...files, ...folders.map((folder) => `${folder}/`)])
    for (const folder of foldersOf(path)) {
      const rival = taken.get(fold(folder))
      if (rival !== undefined) return [rival, path]
    }
  return undefined
}

const quoted = (path: string): string => JSON.stringify(path)

/**
 * Refuses with UnsafePathError any relative path that would leave its folder, be illegal, or be in the way of another
 * of them. Names that differ by case or Unicode form alone are allowed only with `allowCaseCollisions`.
 */
export const checkPaths = (
  files: readonly string[],
  folders: readonly string[],
  options: { allowCaseCollisions: boolean },
): void => {
  for (const path of [...files, ...folders]) {
    const reason = fault(path)
    if (reason) throw new UnsafePathError(`the path ${quoted(path)} ${reason}: nothing was written`)
  }
  const clash = findClash(files, folders, (path) => path)
  if (clash)
    throw new UnsafePathError(
      `the paths ${quoted(clash[0])} and ${quoted(clash[1])} cannot both be files: nothing was written`,
    )
  const collision = options.allowCaseCollisions ? undefined : findClash(files, folders, folded)
  if (collision)
    throw new UnsafePathError(
      `the paths ${quoted(collision[0])} and ${quoted(collision[1])} differ only in case or Unicode form, which some file systems take for one: nothing was written (--allow-case-collisions restores them where they are two)`,
    )
}
