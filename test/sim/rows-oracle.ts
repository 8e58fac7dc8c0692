import { type AsOf, itemAt, newestEpoch } from '../../shared/features/as-of.ts'
import { decodeCells } from '../../shared/features/cells.ts'
import { equalItems, type Item } from '../../shared/features/item.ts'
import { encodeRowKey, type RowKey } from '../../shared/features/row-key.ts'
import type { StoredRow } from '../../shared/features/row-store.ts'
import { isStartKey, readStarts } from '../../shared/features/start.ts'
import { backfillVersion, changeVersion } from '../../shared/features/version.ts'
import type { Hazard } from './rows-hazards.ts'
import type { Operation, Source } from './rows-source.ts'
import { type Mark, tableName, textOf, type World } from './rows-world.ts'

/** What must hold once everything was delivered. */

/** A row that is not its item, a wrong answer about the past, or none although there is all that it takes. */
export type Problem = { kind: 'row' | 'past' | 'unknown'; text: string }
/** `due` is how many of the answers had to be known; the others may be unknown. */
export type Judged = { problems: Problem[]; known: number; unknown: number; due: number }

const isSame = (left: Item | undefined, right: Item | undefined): boolean =>
  left === undefined || right === undefined ? left === right : equalItems(left, right)

const show = (item: Item | undefined): string => (item === undefined ? 'nothing' : JSON.stringify(item['v'] ?? item))

const stateAt = (initial: Item | undefined, own: readonly Operation[], second: number): Item | undefined => {
  const last = own.findLast(({ ms }) => ms < (second + 1) * 1000)
  return last ? last.after : initial
}

const versionOf = ({ record }: Operation, epoch: number): string =>
  changeVersion({ epoch, sequenceNumber: record?.dynamodb.SequenceNumber ?? '' })

type Key = {
  pk: string
  rowKey: RowKey
  own: Operation[]
  row: StoredRow | undefined
  marks: Mark[]
  /** Changes whose images never came. */
  unread: ReadonlySet<unknown>
}

/** The replica has all that it takes: the next change with its images, or a row that nothing is later than. */
const mustKnow = (source: Source, starts: ReadonlyMap<number, number>, key: Key, second: number): boolean => {
  const { own, row, marks, unread } = key
  const later = marks.filter(({ time }) => time > second)
  const next = own.find((operation) => operation.second > second)
  if (next) {
    if (!next.record || unread.has(next.record)) return false
    const epoch = source.streams.findIndex((shards) => shards.some(({ records }) => records.includes(next.record!))) + 1
    const start = starts.get(epoch)
    const version = versionOf(next, epoch)
    return start !== undefined && start <= second && later.every((mark) => mark.version >= version)
  }
  const start = row && starts.get(newestEpoch(row, starts))
  const isScan = row?.marker?.version === backfillVersion && row.marker.time > second
  return row !== undefined && start !== undefined && start <= second && later.length === 0 && !isScan
}

const pastProblem = (answer: AsOf, expected: Item | undefined, isDue: boolean): Problem['kind'] | undefined => {
  if (answer.state === 'unknown') return isDue ? 'unknown' : undefined
  return isSame(answer.state === 'present' ? answer.item : undefined, expected) ? undefined : 'past'
}

/** Where nothing kept the first change of a stream from being the first that is seen, the replica knows from there on. */
const startProblems = (world: World, source: Source, starts: ReadonlyMap<number, number>): Problem[] => {
  if (source.shardsPerStream > 1 || source.stepsBack || blurring.some((hazard) => world.hazards.has(hazard))) return []
  return source.streams.flatMap(([shard], index) => {
    const first = shard?.records[0]?.dynamodb.ApproximateCreationDateTime
    const start = starts.get(index + 1)
    return first === start ? [] : [{ kind: 'unknown', text: `epoch ${index + 1} is from ${first}, not ${start}` }]
  })
}
const blurring: Hazard[] = [
  'an image that nobody can read',
  'changes of a stream that is not configured',
  'redriven with its payload',
  'redriven without payload',
]

const rowProblem = (source: Source, key: Key, isExpected: boolean): Problem[] => {
  const { pk, row, own } = key
  if (!row && !isExpected) return []
  const item = row?.marker && !row.marker.tombstone ? decodeCells(row.cells) : undefined
  const now = own.length > 0 ? own.at(-1)?.after : source.initial.get(pk)
  if ((row ?? now === undefined) && isSame(item, now)) return []
  return [{ kind: 'row', text: `${pk} is ${show(now)}, and its row ${row ? show(item) : 'is missing'}` }]
}

/** `touched` are the keys that somebody was to bring over besides their changes. */
export const judge = async (
  world: World,
  source: Source,
  { touched, unread }: { touched: ReadonlySet<string>; unread: ReadonlySet<unknown> },
): Promise<Judged> => {
  const judged: Judged = { problems: [], known: 0, unknown: 0, due: 0 }
  const replica = { rows: world.view }
  const starts = await readStarts(replica, tableName)
  judged.problems.push(...startProblems(world, source, starts))
  const nowSecond = Math.floor(world.now / 1000) + 1
  for (const pk of source.keys) {
    const rowKey = encodeRowKey({ partition: { S: pk } })
    const own = source.operations.filter((operation) => operation.pk === pk)
    const [row] = await world.view.read(tableName, [rowKey])
    const marks = world.marks.filter(({ key }) => key === textOf(rowKey))
    const key: Key = { pk, rowKey, own, row, marks, unread }
    judged.problems.push(...rowProblem(source, key, touched.has(pk) || own.some(({ record }) => record)))
    if (source.stepsBack) continue
    const seconds = new Set(own.flatMap(({ second }) => [second - 1, second]))
    seconds.add(nowSecond)
    seconds.add(nowSecond - world.whole(10))
    for (const second of seconds) {
      const answer = await itemAt(replica, tableName, rowKey, { second, nowSecond })
      const isDue = mustKnow(source, starts, key, second)
      const expected = stateAt(source.initial.get(pk), own, second)
      const kind = pastProblem(answer, expected, isDue)
      judged[answer.state === 'unknown' ? 'unknown' : 'known'] += 1
      if (isDue) judged.due += 1
      if (!kind) continue
      const told = answer.state === 'unknown' ? `unknown, ${answer.reason}` : show(itemOf(answer))
      judged.problems.push({ kind, text: `${pk} at ${second} was ${show(expected)}, and the replica says ${told}` })
    }
  }
  for (const { key } of world.rows.rows(tableName))
    if (!isStartKey(key) && !source.keys.some((pk) => textOf(encodeRowKey({ partition: { S: pk } })) === textOf(key)))
      judged.problems.push({ kind: 'row', text: `a row ${textOf(key)} of no item` })
  return judged
}

const itemOf = (answer: AsOf): Item | undefined => (answer.state === 'present' ? answer.item : undefined)
