import { createMemoryItems, type MemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine, type MemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryRowStore, type MemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { type OnStep, withSteps } from '../../shared/clouds/memory/steps.ts'
import { InvalidInputError, UnavailableError } from '../../shared/errors.ts'
import { ruleOfTable, type TableRule } from '../../shared/features/change.ts'
import type { RowsDeps } from '../../shared/features/deps.ts'
import type { Item } from '../../shared/features/item.ts'
import type { HistoryEntry, RowStore, RowWrite } from '../../shared/features/row-store.ts'
import { rowsConfig } from '../support/rows-deps.ts'
import type { Hazard } from './rows-hazards.ts'
import { createScheduler, Killed } from './scheduler.ts'

/** A table, its streams and its replica in memory, and the processes that work on them a step at a time. */

export const tableName = 'features'
export const firstMs = 1_790_000_000_000
const configs = [rowsConfig([1]), rowsConfig([1, 2])] as const
export const rule: TableRule = ruleOfTable(configs[0], tableName)

/** How a design differs from the one that is built; each is put around the real code, at a port. */
export type Design = {
  /** Around the store of one process. */
  rows?(rows: RowStore): RowStore
  hex?: (bytes: number) => string
}

/** What may happen to a process: late is how often its every step waits for another to go first. */
export type Process = { deps: RowsDeps; late: number; isDead: boolean }
export type Mark = { key: string; version: string; time: number }

export type World = {
  random: () => number
  /** A whole number from 0 to `end` - 1. */
  whole: (end: number) => number
  now: number
  deploy(epoch: number): void
  items: MemoryItems
  rows: MemoryRowStore
  /** The same as the design reads it. */
  view: RowStore
  quarantine: MemoryQuarantine
  hazards: Set<Hazard>
  /** Changes that were once handed on without their images, as `ARN NUMBER`: a redrive of one marks its past unknown. */
  stripped: Set<string>
  /** Every mark of an unknown past that anybody wrote. */
  marks: Mark[]
  /** An item with an attribute `huge` is refused: as a row until that is put right, as the past of a change for ever or not at all. */
  refusals: { rows: boolean; history: boolean }
  failureRate: number
  /** What a process has for now. */
  clockOf(): RowsDeps['clock']
  wait(turns: number): Promise<void>
  createProcess(): Process
  run(actors: readonly (() => Promise<unknown>)[]): Promise<void>
  steps(): number
}

export const textOf = (key: Uint8Array): string => Buffer.from(key).toString('latin1')

const isHuge = (bytes: HistoryEntry['before']): boolean =>
  typeof bytes !== 'string' && Buffer.from(bytes).includes('huge')

/** The table as a world sees it: what Bigtable refuses, what a network sends twice, and what was marked unknown. */
const watchTable = (world: World): RowStore => {
  const { rows, refusals, hazards, marks } = world
  const refuse = ({ cells }: RowWrite): void => {
    if (refusals.rows && cells.has('huge')) throw new InvalidInputError('the row is too large')
  }
  /** A reply is lost, and the client, or the network on its own, sends the same again. */
  const perhapsTwice = async <T>(send: () => Promise<T>): Promise<T> => {
    const answer = await send()
    if (world.failureRate === 0 || world.random() >= 0.03) return answer
    hazards.add('a write sent twice')
    await world.wait(world.whole(6))
    return send()
  }
  return {
    ...rows,
    applyIfNewer: async (table, row) => {
      refuse(row)
      const [stored] = await rows.read(table, [row.key])
      if (stored?.marker && stored.marker.version > row.marker.version)
        hazards.add('an older change that lands after a newer one')
      return perhapsTwice(() => rows.applyIfNewer(table, row))
    },
    replaceIf: async (table, row, expected) => {
      refuse(row)
      return perhapsTwice(() => rows.replaceIf(table, row, expected))
    },
    history: {
      ...rows.history,
      append: async (table, entries) => {
        if (refusals.history && entries.some(({ before }) => isHuge(before)))
          throw new InvalidInputError('the entry is too large')
        for (const { key, version, time, before } of entries)
          if (before === 'unknown') marks.push({ key: textOf(key), version, time })
        await rows.history.append(table, entries)
      },
    },
  }
}

const telemetry = { count: () => undefined, log: () => undefined }

export const createWorld = (random: () => number, design: Design): World => {
  const scheduler = createScheduler(random)
  const whole = (end: number): number => Math.floor(random() * end)
  const clocksOffMs = random() < 0.1 ? 1500 : 0
  let config = configs[0]
  const wait = async (turns: number): Promise<void> => {
    for (let turn = 0; turn < turns; turn += 1) await scheduler.onStep('wait', 'before')
  }
  const stepsOf = (process: Process): OnStep => {
    return async (step, when) => {
      if (when === 'before') {
        await wait(1 + process.late)
        world.now += whole(30)
        if (process.isDead) throw new Killed(step)
      }
      if (random() >= world.failureRate) return
      world.hazards.add(when === 'before' ? 'a step that failed' : 'a reply that was lost')
      throw new UnavailableError(`${when} ${step}`)
    }
  }
  const rows = createMemoryRowStore({ tables: [tableName] })
  const world: World = {
    random,
    whole,
    now: firstMs + whole(1000),
    deploy: (epoch) => void (config = configs[epoch - 1] ?? config),
    items: createMemoryItems({ [tableName]: { partition: 'pk' } }),
    rows,
    view: design.rows?.(rows) ?? rows,
    quarantine: createMemoryQuarantine(),
    hazards: new Set(),
    stripped: new Set(),
    marks: [],
    refusals: { rows: true, history: random() < 0.5 },
    failureRate: 0,
    clockOf: () => {
      const offMs = clocksOffMs === 0 ? 0 : whole(2 * clocksOffMs) - clocksOffMs
      if (offMs !== 0) world.hazards.add('a clock that is off')
      return { now: () => world.now + offMs }
    },
    wait,
    createProcess: () => {
      const process: Process = { late: 0, isDead: false, deps: {} as RowsDeps }
      const onStep = stepsOf(process)
      const own = design.rows?.(table) ?? table
      process.deps = {
        config,
        rows: { ...withSteps('rows', own, onStep), history: withSteps('history', own.history, onStep) },
        source: withSteps('source', world.items, onStep),
        quarantine: withSteps('quarantine', world.quarantine, onStep),
        telemetry,
        clock: world.clockOf(),
        random: {
          next: random,
          hex: design.hex ?? ((bytes) => Array.from({ length: bytes }, () => toHex(whole(256))).join('')),
        },
      }
      return process
    },
    run: async (actors) => void (await scheduler.run(actors, 0)),
    steps: scheduler.steps,
  }
  const table = watchTable(world)
  return world
}

const toHex = (byte: number): string => byte.toString(16).padStart(2, '0')

export const keyOf = (pk: string): Item => ({ pk: { S: pk } })
