import { sample } from 'fast-check'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startService } from '../../local/service-process.ts'
import { createNumbers } from '../../local/start/synthetic-model.ts'
import { toArray } from '../../shared/bounded.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { backfillRow } from '../../shared/features/backfill-row.ts'
import { itemKeyOf, ruleOfTable } from '../../shared/features/change.ts'
import type { RowsDeps } from '../../shared/features/deps.ts'
import type { Item } from '../../shared/features/item.ts'
import { rereadRow } from '../../shared/features/reread.ts'
import { systemClock, systemRandom } from '../../shared/wiring-common.ts'
import { startEmulator } from '../support/bigtable.ts'
import { type BigtableProxy, startBigtableProxy } from '../support/bigtable-proxy.ts'
import { keyOf, names, type RowsStack, startRowsStack, storable, table } from '../support/rows-stack.ts'

/**
 * Items that are written, changed and deleted while their Bigtable answers 503 and loses replies, and while a backfill and
 * rereads race with the stream: both sides end equal. Over real sockets; the seed gives the operations and the faults.
 */

export type ConvergeReport = {
  seed: number
  operations: number
  faults: Record<string, number>
  backfilled: number
  reread: number
  applied: number
  stale: number
  quarantined: number
  items: number
  problems: string[]
}

const data = '/google.bigtable.v2.Bigtable'
const faultsDuring = [
  { path: `${data}/CheckAndMutateRow$`, cut: 'after' as const, times: Infinity, every: 23 },
  { path: `${data}/CheckAndMutateRow$`, cut: 'before' as const, times: Infinity, every: 17 },
  { path: `${data}/MutateRows$`, cut: 'after' as const, times: Infinity, every: 2 },
  { path: `${data}/MutateRows$`, cut: 'before' as const, times: Infinity, every: 2 },
  { path: `${data}/ReadRows$`, cut: 'before' as const, times: Infinity, every: 5 },
]
const keysCount = 120
const writersCount = 4
/** So that the changes come in several batches. */
const writePauseMs = 50
const rereadPauseMs = 10

type Choose = (below: number) => number

const write = async (it: RowsStack, choose: Choose, item: Item): Promise<void> => {
  // One write in four meets the hot key.
  const key = choose(4) === 0 ? keyOf('hot', 0) : keyOf(`p${choose(7)}`, choose(keysCount))
  const kind = choose(10)
  if (kind < 5) await it.put({ ...item, ...key })
  else if (kind < 7) await it.update(key, 'count', { N: String(choose(1000)) })
  else if (kind < 9) await it.remove(key)
  else {
    await it.remove(key)
    await it.put({ ...item, ...key })
  }
}

const untilDone = async <T>(work: () => Promise<T>): Promise<T> => {
  for (;;) {
    try {
      return await work()
    } catch (error) {
      if (!(error instanceof UnavailableError)) throw error
      await sleep(20)
    }
  }
}

type Race = { ended: boolean; backfilled: number; reread: number }

/** Scans once, writes what it found late, and rereads keys by chance until the writers are done. */
const race = async (deps: RowsDeps, it: RowsStack, choose: Choose, state: Race): Promise<void> => {
  const rule = ruleOfTable(deps.config, table)
  const scannedAtMs = Date.now()
  const scanned = await toArray(it.source.scan(table))
  await sleep(1500)
  for (const item of scanned) {
    const key = itemKeyOf(item, names)
    const outcome = await untilDone(() => backfillRow(deps, rule, key, item, scannedAtMs))
    if (outcome === 'written') state.backfilled += 1
  }
  while (!state.ended) {
    const key = itemKeyOf(choose(2) === 0 ? keyOf('hot', 0) : keyOf(`p${choose(7)}`, choose(keysCount)), names)
    if ((await untilDone(() => rereadRow(deps, rule, key))) === 'written') state.reread += 1
    await sleep(rereadPauseMs)
  }
}

const drive = async (
  it: RowsStack,
  proxy: BigtableProxy,
  { seed, operations }: { seed: number; operations: number },
): Promise<ConvergeReport> => {
  const next = createNumbers(seed)
  const choose = (below: number): number => next() % below
  const items = sample(storable, { seed, numRuns: 200 })
  const before = Array.from({ length: 40 }, (_, index) => keyOf(`p${index % 7}`, index))
  for (const [index, key] of before.entries()) await it.put({ ...items[index]!, ...key })
  proxy.setFaults(faultsDuring)
  const telemetry = createMemoryTelemetry()
  const common = { source: it.source, quarantine: it.quarantine, telemetry, clock: systemClock, random: systemRandom }
  const deps: RowsDeps = { config: it.stack.config, rows: it.rows, ...common }
  const state: Race = { ended: false, backfilled: 0, reread: 0 }
  const racing = race(deps, it, choose, state)
  let left = operations
  const writer = async (): Promise<void> => {
    while (left > 0) {
      left -= 1
      await write(it, choose, items[choose(items.length)]!)
      await sleep(writePauseMs)
    }
  }
  try {
    await Promise.all(Array.from({ length: writersCount }, writer))
  } finally {
    state.ended = true
    await racing
  }
  proxy.setFaults([])
  const problems: string[] = []
  await it.untilEqual(180_000).catch((error: Error) => problems.push(error.message))
  const quarantined = (await toArray(it.quarantine.list())).length
  if (quarantined > 0) problems.push(`${quarantined} changes were quarantined`)
  return {
    seed,
    operations,
    faults: proxy.met,
    backfilled: state.backfilled,
    reread: state.reread,
    applied: it.total('RowsApplied'),
    stale: it.total('RowsStale'),
    quarantined,
    items: (await it.sourceItems()).size,
    problems,
  }
}

/** `emulator` is the file of Google's emulator; without it the embedded Bigtable is behind the faults. */
export const convergeRun = async (options: {
  seed: number
  operations: number
  dir: string
  emulator?: string
}): Promise<ConvergeReport> => {
  const { dir, emulator } = options
  const logFile = join(dir, 'logs', 'target.log')
  const target =
    emulator === undefined
      ? await startService({ service: 'bigtable', dir: join(dir, 'target'), logFile })
      : await startEmulator(emulator)
  const proxy = await startBigtableProxy(target.url)
  let it: RowsStack | undefined
  try {
    it = await startRowsStack(dir, { bigtableEndpoint: proxy.url })
    return await drive(it, proxy, options)
  } finally {
    await it?.stop()
    await proxy.close()
    await ('stop' in target ? target.stop() : target.close())
  }
}
