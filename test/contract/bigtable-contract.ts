import { afterAll, beforeAll, describe } from 'vitest'
import { type BigtableApi, connectBigtable } from '../support/bigtable.ts'
import { expectBugs } from '../support/contract-target.ts'
import { itFilters } from './bigtable-contract-filters.ts'
import { itCollects } from './bigtable-contract-garbage.ts'
import { itReads } from './bigtable-contract-reads.ts'
import { itHasTables } from './bigtable-contract-tables.ts'
import { itWrites } from './bigtable-contract-writes.ts'
import { createWorld } from './bigtable-world.ts'

type Running = { host: string; close(): Promise<void> }
/** `bugs` are the titles of the tests that the target's own defects fail. */
export type BigtableTarget = { name: string; start(): Promise<Running>; bugs?: readonly string[] }

/** What every Bigtable must do. */
export const describeBigtable = (target: BigtableTarget): unknown =>
  describe(`Bigtable: ${target.name}`, () => {
    expectBugs({ ...target, start: async () => ({ url: '', close: async () => undefined }) })
    let running: Running
    let api: BigtableApi
    beforeAll(async () => {
      running = await target.start()
      api = connectBigtable(running.host)
    })
    afterAll(async () => {
      api.close()
      await running.close()
    })
    const world = createWorld(() => api)
    itHasTables(world)
    itWrites(world)
    itReads(world)
    itFilters(world)
    itCollects(world)
  })
