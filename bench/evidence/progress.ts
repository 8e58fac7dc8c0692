import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises'
import { cpus, totalmem } from 'node:os'
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { z } from 'zod'
import type { Figures } from './topic.ts'

const figuresSchema: z.ZodType<Figures> = z.lazy(() =>
  z.record(z.string(), z.union([z.number(), z.string(), figuresSchema])),
)
const runSchema = z.object({
  name: z.string(),
  at: z.string(),
  seconds: z.number(),
  passed: z.boolean(),
  figures: figuresSchema,
  problems: z.array(z.string()),
})
const evidenceSchema = z.object({
  topic: z.string(),
  about: z.string(),
  commit: z.string(),
  /** Digest of all that the commit holds outside of docs/: the same for commits that only record evidence. */
  source: z.string(),
  /** The working tree was not that of the commit, at the start or when a run was saved. */
  changed: z.boolean(),
  machine: z.object({ cpu: z.string(), cores: z.number(), memoryGiB: z.number(), node: z.string() }),
  date: z.string(),
  passed: z.number(),
  failed: z.number(),
  /** Sums over the runs. */
  figures: figuresSchema,
  runs: z.array(runSchema),
})
export type EvidenceRun = z.infer<typeof runSchema>
export type Evidence = z.infer<typeof evidenceSchema>

const root = fileURLToPath(new URL('../..', import.meta.url))
const folder = fileURLToPath(new URL('../../docs/evidence', import.meta.url))
export const evidenceFile = (topic: string): string => `${folder}/${topic}.json`

const git = async (...args: string[]): Promise<string | undefined> => {
  try {
    return (await promisify(execFile)('git', ['-C', root, ...args])).stdout.trim()
  } catch {
    // A copy without its repository.
    return undefined
  }
}

/** Adds up numbers of the same name, however deep; text is left out. */
export const sumOf = (all: readonly Figures[]): Figures => {
  const sum: Figures = {}
  for (const figures of all)
    for (const [name, value] of Object.entries(figures)) {
      const before = sum[name]
      if (typeof value === 'number') sum[name] = (typeof before === 'number' ? before : 0) + value
      else if (typeof value === 'object') sum[name] = sumOf([typeof before === 'object' ? before : {}, value])
    }
  return sum
}

const sourceState = async (): Promise<Pick<Evidence, 'commit' | 'source' | 'changed'>> => {
  const [commit, tree, changes] = await Promise.all([
    git('rev-parse', 'HEAD'),
    git('ls-tree', '-r', 'HEAD'),
    git('status', '--porcelain', '--', ':!docs/evidence'),
  ])
  const files = (tree ?? '').split('\n').filter((line) => !line.includes('\tdocs/'))
  const source = createHash('sha256').update(files.join('\n')).digest('hex').slice(0, 16)
  return { commit: commit ?? 'unknown', source, changed: changes !== '' }
}

/** What an empty record of this commit, machine and day says. */
const begin = async (topic: { name: string; about: string }): Promise<Evidence> => {
  const [cpu] = cpus()
  return {
    topic: topic.name,
    about: topic.about,
    ...(await sourceState()),
    machine: {
      cpu: cpu?.model.trim() ?? 'unknown',
      cores: cpus().length,
      memoryGiB: Math.round(totalmem() / 2 ** 30),
      node: process.versions.node,
    },
    date: new Date().toISOString().slice(0, 10),
    passed: 0,
    failed: 0,
    figures: {},
    runs: [],
  }
}

const pickRuns = ({ passed, failed, figures, runs }: Evidence): Partial<Evidence> => ({ passed, failed, figures, runs })

const read = async (topic: string): Promise<Evidence | undefined> => {
  try {
    return evidenceSchema.parse(JSON.parse(await readFile(evidenceFile(topic), 'utf8')))
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined
    throw error
  }
}

/** The runs on record of this very source on such a machine, to go on from; none where the working tree differs. */
export const openEvidence = async (topic: { name: string; about: string }, again: boolean): Promise<Evidence> => {
  const fresh = await begin(topic)
  const known = again ? undefined : await read(topic.name)
  const isSame =
    known?.source === fresh.source &&
    !known.changed &&
    !fresh.changed &&
    JSON.stringify(known.machine) === JSON.stringify(fresh.machine)
  return isSame ? { ...fresh, ...pickRuns(known) } : fresh
}

/** Adds a run, or replaces an earlier one of its name, and saves all of it. */
export const saveRun = async (evidence: Evidence, run: EvidenceRun): Promise<Evidence> => {
  const runs = [...evidence.runs.filter(({ name }) => name !== run.name), run]
  const passed = runs.filter((one) => one.passed).length
  const figures = sumOf(runs.map((one) => one.figures))
  const now = await sourceState()
  const changed = evidence.changed || now.changed || now.source !== evidence.source
  const next = { ...evidence, changed, runs, passed, failed: runs.length - passed, figures }
  const file = evidenceFile(evidence.topic)
  await mkdir(dirname(file), { recursive: true })
  await writeFile(`${file}.new`, `${JSON.stringify(next, undefined, 2)}\n`)
  await rename(`${file}.new`, file)
  return next
}
