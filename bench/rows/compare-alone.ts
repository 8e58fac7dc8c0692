/** The comparison of a generated table in this process alone. Takes the number of rows, prints one line of JSON. */
import { setTimeout as sleep } from 'node:timers/promises'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { createMemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { ruleOfTable } from '../../shared/features/change.ts'
import { checkRows } from '../../shared/proof/check-rows.ts'
import { createGenerated } from './generated.ts'
import { config, table } from './load.ts'

/** RSS in bytes, `idle` before there was a table. */
export type CompareAlone = { seconds: number; rssIdleBytes: number; rssMaxBytes: number }

const compareAlone = async (rows: number): Promise<CompareAlone> => {
  const rssIdleBytes = process.memoryUsage().rss
  const deps = {
    ...createGenerated(rows, ruleOfTable(config, table)),
    config,
    state: createMemoryProofState(),
    store: createMemoryBlobStore(),
    telemetry: createMemoryTelemetry(),
    clock: { now: Date.now },
    random: { next: Math.random, hex: (bytes: number) => 'ab'.repeat(bytes) },
    featureTime: async () => Date.now(),
    settleMs: 60_000,
    wait: (ms: number) => sleep(ms),
  }
  const startedAt = Date.now()
  const { report } = await checkRows(deps, table, { remainingMs: () => 900_000 }, { mode: 'full' })
  if (report?.outcome !== 'passed' || report.counts['items'] !== rows || report.counts['rows'] !== rows)
    throw new Error(`the comparison of generated rows: ${JSON.stringify(report)}`)
  // In KiB on every system: https://nodejs.org/api/process.html#processresourceusage
  const rssMaxBytes = process.resourceUsage().maxRSS * 1024
  return { seconds: (Date.now() - startedAt) / 1000, rssIdleBytes, rssMaxBytes }
}

process.stdout.write(`${JSON.stringify(await compareAlone(Number(process.argv[2])))}\n`)
