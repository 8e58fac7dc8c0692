import { isRetryable } from '../../shared/errors.ts'
import { backfillRow } from '../../shared/features/backfill-row.ts'
import { parseChange } from '../../shared/features/change.ts'
import { redrive } from '../../shared/features/redrive.ts'
import { rereadRow } from '../../shared/features/reread.ts'
import type { ItemKey } from '../../shared/features/row-key.ts'
import { type ChangeVersion, fenceVersion } from '../../shared/features/version.ts'
import { seeded } from '../support/weights-world.ts'
import type { Hazard } from './rows-hazards.ts'
import { type Lambda, pollShard, redriveOnce } from './rows-lambda.ts'
import { judge, type Judged } from './rows-oracle.ts'
import { createSource, liveThrough, type Source } from './rows-source.ts'
import { createWorld, type Design, keyOf, rule, tableName, type World } from './rows-world.ts'

/** One random history of a table, its streams, and all that brings them over, and what must hold after it. */

export type Outcome = Judged & { hazards: Hazard[]; steps: number }

type Stage = { world: World; source: Source; lambda: Lambda; touched: Set<string> }

const itemKeyOf = (pk: string): ItemKey => ({ partition: { S: pk } })

/** As whoever called it would: again, until it is done. */
const again = async (work: () => Promise<unknown>): Promise<void> => {
  for (let tries = 0; ; tries += 1) {
    try {
      return void (await work())
    } catch (error) {
      if (!isRetryable(error) || tries > 200) throw error
    }
  }
}

const reread = async (stage: Stage, pk: string, fence?: ChangeVersion): Promise<void> => {
  const { world, touched } = stage
  const process = world.createProcess()
  const { deps } = process
  process.late = world.random() < 0.5 ? 0 : world.whole(12)
  touched.add(pk)
  try {
    await again(() => rereadRow(deps, rule, itemKeyOf(pk), fence))
  } catch (error) {
    // It cannot be written until Bigtable takes it.
    if (!world.refusals.rows) throw error
    await world.wait(1)
    world.refusals.rows = false
    await again(() => rereadRow(deps, rule, itemKeyOf(pk), fence))
  }
}

/** Reads the row of any item again, for no reason; sometimes two do at once. */
const repair = async (stage: Stage): Promise<void> => {
  const { world, source } = stage
  await world.wait(world.whole(60))
  const pk = source.keys[world.whole(source.keys.length)]!
  world.hazards.add('a row read again without need')
  const isPair = world.random() < 0.3
  if (isPair) world.hazards.add('two that read a row again at once')
  await Promise.all(Array.from({ length: isPair ? 2 : 1 }, () => reread(stage, pk)))
}

/** A scan sees an item now and it is written some time later, once or twice. */
const backfill = async ({ world, source, touched }: Stage): Promise<void> => {
  await world.wait(world.whole(50))
  while (!source.isOn) await world.wait(1)
  const pk = source.keys[world.whole(source.keys.length)]!
  const item = await world.items.get(tableName, keyOf(pk))
  const scannedAtMs = world.clockOf().now()
  const seen = source.operations.length
  if (!item || 'huge' in item) return
  world.hazards.add('a backfill')
  touched.add(pk)
  const times = world.random() < 0.3 ? 2 : 1
  for (let time = 0; time < times; time += 1) {
    await world.wait(world.whole(40))
    if (source.operations.slice(seen).some((operation) => operation.pk === pk))
      world.hazards.add('a change between a scan and its write')
    const { deps } = world.createProcess()
    await again(() => backfillRow(deps, rule, itemKeyOf(pk), item, scannedAtMs))
  }
}

const redriveSometimes = async ({ world }: Stage): Promise<void> => {
  for (let round = 0; round < 3; round += 1) await redriveOnce(world)
}

/** A stream that was off lost changes: every row is read again, fenced by the stream that is on now. */
const heal = async (stage: Stage): Promise<void> => {
  const { world, source } = stage
  await world.wait(world.whole(30))
  for (const pk of source.keys) await reread(stage, pk, fenceVersion({ epoch: 2 }))
}

const liveAndFollow = async (stage: Stage): Promise<void> => {
  const { world, source, lambda } = stage
  const followed: Promise<unknown>[] = []
  const follow = (epoch: number): void => {
    for (const shard of source.streams[epoch - 1] ?? []) followed.push(pollShard(lambda, shard))
  }
  const onEnabled = (): void => {
    if (world.random() < 0.6) world.deploy(2)
    else {
      world.hazards.add('changes of a stream that is not configured')
      followed.push(world.wait(world.whole(40)).then(() => world.deploy(2)))
    }
    follow(2)
    followed.push(heal(stage))
  }
  const living = liveThrough(world, source, onEnabled)
  follow(1)
  await living
  await Promise.all(followed)
  await Promise.all(lambda.zombies)
}

/** What was wrong is put right, and what was set aside is redriven. */
const quiesce = async ({ world }: Stage): Promise<void> => {
  world.failureRate = 0
  world.deploy(2)
  world.refusals.rows = false
  world.now += 5000
  for (let round = 0; round < 3 && world.quarantine.waiting.size > 0; round += 1)
    await redrive(world.createProcess().deps)
  for (const { record, reason } of world.quarantine.waiting.values())
    throw new Error(`cannot be redriven: ${reason} ${JSON.stringify(record)}`)
}

/** The records whose images the replica never had: they cannot be read, were not handed on, or Bigtable refused them. */
const unreadOf = (world: World, source: Source): Set<unknown> => {
  const unread = new Set<unknown>()
  const names = { partition: 'pk' }
  const isReadable = (record: unknown): boolean => {
    try {
      const { before } = parseChange(record, rule, names)
      return !(world.refusals.history && before && 'huge' in before)
    } catch {
      return false
    }
  }
  for (const { record } of source.operations) {
    if (!record) continue
    const id = `${record.eventSourceARN} ${record.dynamodb.SequenceNumber}`
    if (!isReadable(record) || world.stripped.has(id)) unread.add(record)
  }
  return unread
}

/** Runs the history of a seed, on the design that is built or on another; answers what is wrong at its end. */
export const runHistory = async (seed: number, design: Design = {}): Promise<Outcome> => {
  const random = seeded(seed)
  const world = createWorld(random, design)
  const source = createSource(world)
  const stage: Stage = { world, source, lambda: { world, zombies: [] }, touched: new Set() }
  world.failureRate = [0, 0, 0.01, 0.04][world.whole(4)]!
  const actors = [() => liveAndFollow(stage), () => redriveSometimes(stage)]
  if (random() < 0.4) actors.push(() => backfill(stage))
  if (random() < 0.4) actors.push(() => repair(stage))
  await world.run(actors)
  await quiesce(stage)
  const judged = await judge(world, source, { touched: stage.touched, unread: unreadOf(world, source) })
  return { ...judged, hazards: [...world.hazards].toSorted(), steps: world.steps() }
}
