import { mkdir, readdir, stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Cost, runMeasured } from './measured.ts'
import type { Folder } from './pairs.ts'

/** Programs that keep two versions of a model, each in a store of its own; what they keep is the growth of its folder. */

type Command = readonly string[]
type Arena = { store: string; scratch: string }

/** `prepare` is not timed. `keep` stores a version; `before` is there for the second one. `needs` is looked up on the PATH. */
export type Contestant = {
  name: string
  needs: string
  what: string
  env?: (arena: Arena) => Record<string, string>
  prepare?: (arena: Arena) => Command[]
  keep: (arena: Arena, version: { name: string; folder: Folder; before?: Folder }) => Command[]
}

/** What each version added to the store, and what that took. */
export type Kept = { bytes: number; cost: Cost }
export type Result = { name: string; versions: [Kept, Kept] }

const xetEntry = fileURLToPath(new URL('xet-alone.ts', import.meta.url))

const zstd =
  (args: (file: string, before: Folder | undefined, index: number) => string[]): Contestant['keep'] =>
  ({ store }, { name, folder, before }) =>
    folder.files.map(({ file }, index) => [
      'zstd',
      ...args(file, before, index),
      '-q',
      '-o',
      join(store, `${name}-${basename(file)}.zst`),
      file,
    ])

const restic: Contestant = {
  name: 'restic',
  needs: 'restic',
  what: 'restic with its defaults: chunks by content, zstd where it helps, encrypted',
  env: ({ store, scratch }) => ({ RESTIC_REPOSITORY: store, RESTIC_PASSWORD: 'throwaway', HOME: scratch }),
  prepare: () => [['restic', 'init', '--quiet']],
  keep: (_arena, { folder }) => [['restic', 'backup', '--quiet', '--no-cache', folder.dir]],
}

const borg = (compression: string): Contestant => ({
  name: `borg ${compression}`,
  needs: 'borg',
  what: `borg --compression ${compression}, without encryption`,
  env: ({ store, scratch }) => ({
    BORG_REPO: store,
    BORG_BASE_DIR: scratch,
    BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
  }),
  prepare: () => [['borg', 'init', '--encryption=none']],
  keep: (_arena, { name, folder }) => [['borg', 'create', '--compression', compression, `::${name}`, folder.dir]],
})

export const contestants: readonly Contestant[] = [
  {
    name: 'zstd -3',
    needs: 'zstd',
    what: 'each file alone, one thread',
    keep: zstd(() => ['-3', '--single-thread']),
  },
  {
    name: 'zstd --patch-from',
    needs: 'zstd',
    what: 'zstd -3, the second version against the first: file by file, the last one where there are more',
    keep: zstd((_file, before, index) => {
      const base = before?.files[Math.min(index, before.files.length - 1)]
      return ['-3', '--single-thread', ...(base ? [`--patch-from=${base.file}`] : [])]
    }),
  },
  {
    name: 'rclone',
    needs: 'rclone',
    what: 'rclone copy into a new folder of a local remote: whole files',
    env: ({ scratch }) => ({ RCLONE_CONFIG: '/dev/null', HOME: scratch }),
    keep: ({ store }, { name, folder }) => [['rclone', 'copy', folder.dir, join(store, name)]],
  },
  restic,
  borg('lz4'),
  borg('zstd,3'),
  {
    name: 'casync',
    needs: 'casync',
    what: 'casync make of the folder with its defaults: chunks by content of 64 KiB, zstd',
    keep: ({ store }, { name, folder }) => [
      [
        'casync',
        'make',
        '--without=privileged',
        `--store=${join(store, 'chunks')}`,
        join(store, `${name}.caidx`),
        folder.dir,
      ],
    ],
  },
  {
    name: 'Xet chunks',
    needs: process.execPath,
    what: "chunks by @huggingface/xetchunk-wasm of 64 KiB, each new one kept as the smallest of raw, LZ4 and BG4 with LZ4 (lz4_flex, as hf_xet's), with its header of 8 bytes",
    keep: ({ store, scratch }, { name, folder }) => [
      [
        process.execPath,
        '--disable-warning=ExperimentalWarning',
        xetEntry,
        join(scratch, 'known'),
        join(store, `${name}.xorbs`),
        ...folder.files.map(({ file }) => file),
      ],
    ],
  },
]

/** Sizes of all files below a folder. */
const folderBytes = async (dir: string): Promise<number> => {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true })
  const sizes = entries.filter((entry) => entry.isFile()).map(async (entry) => stat(join(entry.parentPath, entry.name)))
  return (await Promise.all(sizes)).reduce((sum, { size }) => sum + size, 0)
}

const added = (all: Cost, one: Cost): Cost => {
  const peaks = [all.rssMaxBytes, one.rssMaxBytes].filter((peak) => peak !== undefined)
  return {
    seconds: all.seconds + one.seconds,
    cpuSeconds: all.cpuSeconds + one.cpuSeconds,
    ...(peaks.length > 0 ? { rssMaxBytes: Math.max(...peaks) } : {}),
  }
}

/** Keeps the first version, then the second. */
export const compete = async (
  contestant: Contestant,
  dir: string,
  [before, after]: readonly [Folder, Folder],
): Promise<Result> => {
  const arena: Arena = { store: join(dir, 'store'), scratch: join(dir, 'scratch') }
  await mkdir(arena.store, { recursive: true })
  await mkdir(arena.scratch, { recursive: true })
  const env = contestant.env?.(arena) ?? {}
  for (const command of contestant.prepare?.(arena) ?? []) await runMeasured(command, { env })
  const keep = async (version: Parameters<Contestant['keep']>[1]): Promise<Kept> => {
    const bytesBefore = await folderBytes(arena.store)
    let cost: Cost = { seconds: 0, cpuSeconds: 0 }
    for (const command of contestant.keep(arena, version)) cost = added(cost, await runMeasured(command, { env }))
    return { bytes: (await folderBytes(arena.store)) - bytesBefore, cost }
  }
  return {
    name: contestant.name,
    versions: [await keep({ name: 'v1', folder: before }), await keep({ name: 'v2', folder: after, before })],
  }
}
