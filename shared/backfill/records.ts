import * as z from 'zod'
import { ConflictError, NotFoundError } from '../errors.ts'
import type { ProofState } from '../proof/proof-state.ts'
import { type Part, partSchema, type Run, runSchema } from './run.ts'

/** The records of backfills: `backfill` lists them, newest first; `backfill/ID` is one, `backfill/ID/PART` a part of it. */

type State = ProofState
type Reads = Pick<ProofState, 'read'>

const listName = 'backfill'
const listedMax = 200
const triesMax = 20
const listSchema = z.object({ runs: z.array(z.string()) })

const runName = (id: string): string => `backfill/${id}`
const partName = (id: string, part: number): string => `backfill/${id}/${part}`

export const readRun = async (state: Reads, id: string): Promise<Run | undefined> => {
  const record = await state.read(runName(id))
  return record && runSchema.parse(record.value)
}

export const requireRun = async (state: Reads, id: string): Promise<Run> => {
  const run = await readRun(state, id)
  if (!run) throw new NotFoundError(`there is no backfill ${id}: "lifeboat backfill list" names them`)
  return run
}

/** Changes a run by `change`, which answers undefined to leave it; another's change at the same time is seen. */
export const changeRun = async (
  state: State,
  id: string,
  change: (run: Run) => Run | undefined,
): Promise<{ run: Run; isChanged: boolean }> => {
  for (let tries = 0; tries < triesMax; tries += 1) {
    const record = await state.read(runName(id))
    if (!record) throw new NotFoundError(`there is no backfill ${id}: "lifeboat backfill list" names them`)
    const run = runSchema.parse(record.value)
    const next = change(run)
    if (!next) return { run, isChanged: false }
    if (await state.write(runName(id), next, record.version)) return { run: next, isChanged: true }
  }
  throw new ConflictError(`backfill ${id} was changed ${triesMax} times at the same time: try again`)
}

export type PartRecord = { part: Part; version: number }

export const readPart = async (state: Reads, id: string, index: number): Promise<PartRecord | undefined> => {
  const record = await state.read(partName(id, index))
  return record && { part: partSchema.parse(record.value), version: record.version }
}

/** False where another call works on the same part. */
export const writePart = (
  state: State,
  id: string,
  index: number,
  { part, version }: { part: Part; version: number | undefined },
): Promise<boolean> => state.write(partName(id, index), part, version)

export const readParts = async (state: Reads, run: Run): Promise<Part[]> => {
  const parts: Part[] = []
  for (let index = 0; index < run.parts; index += 1) {
    const record = await readPart(state, run.id, index)
    if (record) parts.push(record.part)
  }
  return parts
}

const readIds = async (state: State) => {
  const record = await state.read(listName)
  return { runs: record ? listSchema.parse(record.value).runs : [], version: record?.version }
}

/** Newest first. */
export const readRuns = async (state: State): Promise<Run[]> => {
  const runs: Run[] = []
  for (const id of (await readIds(state)).runs) {
    const run = await readRun(state, id)
    if (run) runs.push(run)
  }
  return runs
}

/**
 * Writes a new run. It is listed by one write on what was looked at, so that of two that are begun at once one is told
 * that the list has changed: false, and nothing is begun.
 */
export const addRun = async (state: State, run: Run, part: Part, seen: readonly string[]): Promise<boolean> => {
  const { runs, version } = await readIds(state)
  if (runs.length !== seen.length || runs.some((id, index) => id !== seen[index])) return false
  await state.write(runName(run.id), run, undefined)
  for (let index = 0; index < run.parts; index += 1) await writePart(state, run.id, index, { part, version: undefined })
  return state.write(listName, { runs: [run.id, ...runs].slice(0, listedMax) }, version)
}

export const readRunIds = async (state: State): Promise<string[]> => (await readIds(state)).runs
