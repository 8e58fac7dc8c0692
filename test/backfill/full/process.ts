import { type OnStep, withSteps } from '../../../shared/clouds/memory/steps.ts'
import type { BackfillDeps } from '../../../shared/backfill/deps.ts'
import type { Item } from '../../../shared/features/item.ts'
import { Killed } from '../../sim/scheduler.ts'
import type { BackfillWorld } from '../../support/backfill-world.ts'

/** One process in which calls of the backfill run: once it is killed, nothing that they still ask of a cloud arrives. */

export type Page = { part: string; from: string; items: readonly Item[]; count: number }
export type Hooks = {
  /** Before every step of a port, `objects.begin` and the like. */
  step(step: string): void
  /** Between the read of a page and what is made of it. */
  page(page: Page): Promise<void>
  wait(ms: number): Promise<void>
}
export type Process = { deps: BackfillDeps; kill(): void; isDead(): boolean }

export const openProcess = (it: BackfillWorld, hooks: Hooks): Process => {
  let isDead = false
  const onStep: OnStep = (step, when) => {
    if (when === 'after') return
    if (!isDead) hooks.step(step)
    if (isDead) throw new Killed(step)
  }
  const { weights, state, queue, openRows } = it.deps
  const { source } = weights
  const store = withSteps('store', it.deps.store, onStep)
  const rows = { ...withSteps('rows', it.rows, onStep), history: withSteps('history', it.rows.history, onStep) }
  const listed: typeof source = {
    ...source,
    versionPages: async function* versionPages(bucket, prefix, from, entriesMax) {
      for await (const page of source.versionPages(bucket, prefix, from, entriesMax)) {
        await hooks.page({ part: 'objects', from: JSON.stringify(from), items: [], count: page.entries.length })
        yield page
      }
    },
  }
  return {
    kill: () => void (isDead = true),
    isDead: () => isDead,
    deps: {
      store,
      state: withSteps('state', state, onStep),
      queue: withSteps('queue', queue, onStep),
      wait: async (ms) => hooks.wait(ms),
      weights: {
        ...weights,
        store,
        source: withSteps('source', listed, onStep),
        objects: withSteps('objects', weights.objects, onStep),
        segments: withSteps('segments', weights.segments, onStep),
        releases: withSteps('releases', weights.releases, onStep),
        workQueue: withSteps('workQueue', weights.workQueue, onStep),
      },
      openRows: async () => {
        const { scan, keys } = await openRows()
        const page: typeof scan.page = async (table, at) => {
          const found = await scan.page(table, at)
          const { length: count } = found.items
          const from = JSON.stringify(at.from)
          await hooks.page({ part: `rows ${at.segment}`, from, items: found.items, count })
          return found
        }
        return { rows, keys, scan: withSteps('scan', { ...scan, page }, onStep) }
      },
    },
  }
}
