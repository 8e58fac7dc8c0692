import { createHash } from 'node:crypto'
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative, sep } from 'node:path'
import { fileURLToPath } from 'node:url'

/** The committed replicas of `test/fixtures/`, which tools/make-fixtures.ts wrote. */

export const fixtureFolder = fileURLToPath(new URL('../fixtures/format-1.0', import.meta.url))

/** What to restore -> path -> SHA-256. */
export const expectedRestores = async (): Promise<Record<string, Record<string, string>>> =>
  JSON.parse(await readFile(`${fixtureFolder}.json`, 'utf8')) as Record<string, Record<string, string>>

export const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex')

/** Every file below a folder, relative and with slashes. */
export const filesIn = async (folder: string): Promise<string[]> => {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true })
  return entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => relative(folder, join(parentPath, name)).replaceAll(sep, '/'))
    .sort()
}

/** Path -> SHA-256 of every file below a folder. */
export const digestsIn = async (folder: string): Promise<Record<string, string>> => {
  const digests: Record<string, string> = {}
  for (const path of await filesIn(folder)) digests[path] = sha256(await readFile(join(folder, path)))
  return digests
}

export const withFolder = async <T>(work: (folder: string) => Promise<T>): Promise<T> => {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-fixtures-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

type Json = Record<string, unknown>
export type ReleaseJson = Json & { members: (Json & { path: string; manifest: string; manifestDigest: string })[] }

const readJson = async <T>(file: string): Promise<T> => JSON.parse(await readFile(file, 'utf8')) as T

/** A copy of the fixtures in which the release `tiny@v1` and its members' manifests are changed, digests and all. */
export const changedFixtures = async (
  folder: string,
  change: { release?: (release: ReleaseJson) => void; object?: (object: Json) => void },
): Promise<void> => {
  await cp(fixtureFolder, folder, { recursive: true })
  const name = (await filesIn(folder)).find((path) => path.startsWith('releases/tiny/v1.'))
  if (name === undefined) throw new Error('the fixtures have no release tiny@v1')
  const release = await readJson<ReleaseJson>(join(folder, name))
  for (const member of release.members) {
    const object = await readJson<Json>(join(folder, member.manifest))
    change.object?.(object)
    const bytes = Buffer.from(JSON.stringify(object))
    await writeFile(join(folder, member.manifest), bytes)
    member.manifestDigest = `sha256:${sha256(bytes)}`
  }
  change.release?.(release)
  await writeFile(join(folder, name), JSON.stringify(release))
}

/** Changes the stored bytes of one chunk. */
export const damageChunk = async (folder: string, id: string, change: (body: Buffer) => void): Promise<void> => {
  const file = join(folder, 'chunks', id.slice(0, 2), id)
  const body = await readFile(file)
  change(body)
  await writeFile(file, body)
}
