import type { Config } from '../config.ts'
import { itemToJson, parseItem } from '../features/attribute-json.ts'
import { backfillRows, type Scanned } from '../features/backfill-row.ts'
import { itemKeyOf, itemOfKey, type KeyNames, ruleOfTable, type TableRule } from '../features/change.ts'
import type { Clock } from '../ports.ts'
import type { ProofState } from '../proof/proof-state.ts'
import type { BackfillRowsDeps } from './deps.ts'
import type { PageDone } from './page.ts'
import { checkAge, provenSince } from './proven.ts'
import { add, type Part, refuse, type TableSpec } from './run.ts'

/** Pages of a table, or of an export of it, into rows. */

export type RowsPageDeps = BackfillRowsDeps & { config: Config; state: Pick<ProofState, 'read'>; clock: Clock }

const provenForMs = 60_000
const proven = new WeakMap<object, Map<string, { sinceMs: number; atMs: number }>>()

/** Asks once a minute: a stream can be disabled while a backfill runs. */
const provenSinceOf = async (deps: RowsPageDeps, table: string): Promise<number> => {
  const known = proven.get(deps.rows) ?? new Map<string, { sinceMs: number; atMs: number }>()
  proven.set(deps.rows, known)
  const nowMs = deps.clock.now()
  const last = known.get(table)
  if (last && nowMs - last.atMs < provenForMs) return last.sinceMs
  const sinceMs = await provenSince(deps, table)
  known.set(table, { sinceMs, atMs: nowMs })
  return sinceMs
}

export const checkPage = async (deps: RowsPageDeps, table: string, what: string, stateAtMs: number): Promise<void> =>
  checkAge(what, stateAtMs, { provenSinceMs: await provenSinceOf(deps, table), nowMs: deps.clock.now() })

const subjectOf = (scanned: Scanned, names: KeyNames): string =>
  JSON.stringify(itemToJson(itemOfKey(scanned.key, names)))

/** Writes one page and counts what became of each item of it. */
export const writePage = async (
  deps: RowsPageDeps,
  part: Part,
  { rule, names, stateAtMs }: { rule: TableRule; names: KeyNames; stateAtMs: number },
  scanned: readonly Scanned[],
): Promise<number> => {
  let bytes = 0
  const results = await backfillRows(deps, rule, scanned, stateAtMs)
  for (const [index, { outcome, reason, bytes: sent }] of results.entries()) {
    const one = scanned[index]
    bytes += sent
    add(part, 'read', 1)
    if (one?.item === undefined) add(part, 'gone', 1)
    if (outcome === 'written') add(part, 'done', 1)
    else if (outcome === 'again') add(part, 'alreadyThere', 1)
    else if (outcome === 'newer') add(part, 'newer', 1)
    else if (one) refuse(part, subjectOf(one, names), reason ?? 'Bigtable cannot hold it')
  }
  add(part, 'bytesSent', bytes)
  return bytes
}

/** One page of one segment of a parallel scan; `itemsMax` are in it at most. */
export const scanPage = async (
  deps: RowsPageDeps,
  spec: TableSpec,
  { part, segment, itemsMax }: { part: Part; segment: number; itemsMax: number },
): Promise<PageDone> => {
  const rule = ruleOfTable(deps.config, spec.table)
  const names = await deps.keys(spec.table)
  const stateAtMs = deps.clock.now()
  await checkPage(deps, spec.table, `the scan of ${spec.table}`, stateAtMs)
  const from = part.cursor === null ? undefined : parseItem(part.cursor, 'the cursor')
  const page = await deps.scan.page(spec.table, { segment, segments: spec.segments, from, itemsMax })
  const scanned: Scanned[] = page.items.map((item) => ({ key: itemKeyOf(item, names), item }))
  await writePage(deps, part, { rule, names, stateAtMs }, scanned)
  add(part, 'pages', 1)
  add(part, 'readUnits', page.readUnits)
  add(part, 'bytesRead', page.bytes)
  if (page.next) part.cursor = itemToJson(page.next)
  return { items: page.items.length, bytes: page.bytes, readUnits: page.readUnits, isLast: page.next === undefined }
}
