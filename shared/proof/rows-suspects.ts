import { mapInOrder } from '../bounded.ts'
import { parseItem } from '../features/attribute-json.ts'
import { itemKeyOf, itemOfKey, type KeyNames } from '../features/change.ts'
import type { Item } from '../features/item.ts'
import { keyOfRow, replicaDigest, sourceRow } from '../features/row-digest.ts'
import type { ItemKey } from '../features/row-key.ts'
import type { StoredRow } from '../features/row-store.ts'
import type { CompareDeps, RowsWork, Sight, Suspect } from './rows-work.ts'

/**
 * Whether what differed at first differs in truth. A look reads the row, then its item. Once the feature time has passed the
 * look, every change of the item up to it was applied; where the row's version is still the same, none was, so that the two
 * must be equal, or differ in truth. Where the version moved, the look counts anew, some times: a change replaces the whole row,
 * so whatever was wrong with it is gone. Without a feature time the time within
 * which changes are applied stands for it, and the item must not have moved either.
 */

export type Difference = {
  kind: 'missing' | 'extra' | 'changed'
  rowKey: Buffer
  /** Undefined where no item has this row. */
  key: ItemKey | undefined
  item: Item | undefined
  row: StoredRow | undefined
}

/** A change that came between the two reads of a first comparison is in the replica by then, as a rule. */
const firstLookMs = 5000
/** How far the clocks of the function and of the tables are apart at most. */
const skewMs = 5000
/** After so long the feature time stands still, or the row moves faster than it can be looked at. */
const patienceMs = 3_600_000
const movesMax = 5
const looksPerRead = 500
const getsInFlight = 32

type Look = Omit<Difference, 'kind'> & { kind: Difference['kind'] | 'equal'; suspect: Suspect; sight: Sight }

type Moment = { now: number; featureTime: number | undefined }

const hasPassed = ({ at }: Sight, deps: CompareDeps, { now, featureTime }: Moment): boolean =>
  featureTime === undefined ? now >= at + deps.settleMs : featureTime >= at + skewMs

const isDue = (deps: CompareDeps, { since, sight }: Suspect, moment: Moment): boolean =>
  sight ? hasPassed(sight, deps, moment) || moment.now >= since + patienceMs : moment.now >= since + firstLookMs

const keyOf = (names: KeyNames, rowKey: Buffer, row: StoredRow | undefined, { item }: Suspect): ItemKey | undefined =>
  item === undefined
    ? keyOfRow(row ?? { key: rowKey, cells: new Map() }, names)
    : itemKeyOf(parseItem(JSON.parse(item)), names)

const look = async (
  deps: CompareDeps,
  { rule }: RowsWork,
  names: KeyNames,
  { suspect, row }: { suspect: Suspect; row: StoredRow | undefined },
): Promise<Look> => {
  const rowKey = Buffer.from(suspect.row, 'hex')
  const key = keyOf(names, rowKey, row, suspect)
  const item = key && (await deps.source.get(rule.name, itemOfKey(key, names)))
  const wanted = item && sourceRow(rule, names, item).digest
  const found = replicaDigest(row)
  const isEqual = wanted && found ? wanted.equals(found) : wanted === found
  const kind = wanted && found ? 'changed' : wanted ? 'missing' : 'extra'
  const sight = {
    at: deps.clock.now(),
    version: row?.marker?.version ?? '',
    item: wanted?.toString('base64') ?? '',
  }
  return { kind: isEqual ? 'equal' : kind, rowKey, key, item, row, suspect, sight }
}

async function* looksAt(deps: CompareDeps, work: RowsWork, due: readonly Suspect[]): AsyncGenerator<Look> {
  const names = await deps.source.keys(work.rule.name)
  for (let at = 0; at < due.length; at += looksPerRead) {
    const page = due.slice(at, at + looksPerRead)
    const keys = page.map(({ row }) => Buffer.from(row, 'hex'))
    const rows = await deps.rows.read(work.rule.target, keys)
    const pairs = page.map((suspect, index) => ({ suspect, row: rows[index] }))
    yield* mapInOrder(pairs, getsInFlight, (pair) => look(deps, work, names, pair))
  }
}

type Verdict = 'equal' | 'differs' | 'again' | 'overtaken' | 'unsettled'

const hasMoved = ({ suspect, sight }: Pick<Look, 'suspect' | 'sight'>): boolean =>
  suspect.sight !== undefined && suspect.sight.version !== sight.version

const judge = (deps: CompareDeps, found: Look, moment: Moment): Verdict => {
  const { kind, suspect, sight } = found
  if (kind === 'equal') return 'equal'
  if (hasMoved(found)) return suspect.moves >= movesMax ? 'overtaken' : 'again'
  const before = suspect.sight
  if (before) {
    const isExact = moment.featureTime !== undefined && hasPassed(before, deps, moment)
    // Neither side moved: within the usual time, or within all of the patience where the feature time stands still.
    const isStill = before.item === sight.item
    if (isExact || (isStill && isDue(deps, suspect, moment))) return 'differs'
  }
  return moment.now >= suspect.since + patienceMs ? 'unsettled' : 'again'
}

/**
 * Looks at those that are due, takes off the list those of which there is an answer, and yields each that differs in truth. The
 * feature time is read before any row.
 */
export async function* settleSuspects(deps: CompareDeps, work: RowsWork): AsyncGenerator<Difference> {
  if (work.suspects.size === 0) return
  const { counts } = work.run
  const earliest = { now: deps.clock.now(), featureTime: Infinity }
  if (![...work.suspects.values()].some((suspect) => isDue(deps, suspect, earliest))) return
  const moment = { now: deps.clock.now(), featureTime: await deps.featureTime(work.rule.name) }
  const due = [...work.suspects.values()].filter((suspect) => isDue(deps, suspect, moment))
  for await (const { suspect, sight, ...found } of looksAt(deps, work, due)) {
    counts.looks += 1
    const verdict = judge(deps, { suspect, sight, ...found }, moment)
    if (verdict === 'again') {
      const moves = suspect.moves + (hasMoved({ suspect, sight }) ? 1 : 0)
      work.suspects.set(suspect.row, { ...suspect, moves, sight })
      continue
    }
    work.suspects.delete(suspect.row)
    if (verdict === 'overtaken' || verdict === 'unsettled') counts[verdict] += 1
    else if (verdict === 'differs' && found.kind !== 'equal') yield { ...found, kind: found.kind }
  }
}
