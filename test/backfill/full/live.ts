import { toArray } from '../../../shared/bounded.ts'
import { createMemoryQuarantine } from '../../../shared/clouds/memory/quarantine.ts'
import { applyBatch } from '../../../shared/features/apply-batch.ts'
import type { Item } from '../../../shared/features/item.ts'
import { type BackfillWorld, streamArn, table } from '../../support/backfill-world.ts'
import { recordOf } from '../../support/rows-deps.ts'
import { ample, noise } from '../../support/weights-world.ts'
import type { Content } from './content.ts'

/** What production does meanwhile: objects are published, rows come, change and go, and the stream tells of them late. */

const batchRecords = 100

export type Live = {
  /** `seen` was just read by the backfill, and is not written yet. */
  turn(seen: readonly Item[]): Promise<void>
  /** The stream is read to its end. */
  end(): Promise<void>
  counts: { published: number; changed: number; deleted: number; inserted: number }
  quarantined(): Promise<number>
  problems: string[]
}

export const createLive = (it: BackfillWorld, content: Content, random: () => number): Live => {
  const { world, items } = it
  const counts = { published: 0, changed: 0, deleted: 0, inserted: 0 }
  const problems: string[] = []
  const quarantine = createMemoryQuarantine()
  const { config, telemetry, clock, random: hex } = it.deps.weights
  const deps = { config, rows: it.rows, source: items, quarantine, telemetry, clock, random: hex }
  const whole = (end: number): number => Math.floor(random() * end)
  let records: object[] = []
  let sequence = 0
  let turns = 0
  const change = async (pk: string): Promise<void> => {
    const before = await items.get(table, { pk: { S: pk } })
    turns += 1
    const after = before && random() < 0.3 ? undefined : content.item(pk, turns)
    if (after) items.put(table, after)
    else items.delete(table, { pk: { S: pk } })
    counts[after ? (before ? 'changed' : 'inserted') : 'deleted'] += 1
    sequence += 1
    const second = Math.floor(world.now() / 1000)
    records.push({ ...recordOf({ pk, second, sequence, before, after }), eventSourceARN: streamArn })
  }
  const apply = async (): Promise<void> => {
    while (records.length > 0) {
      const batch = records.slice(0, batchRecords)
      records = records.slice(batchRecords)
      const { batchItemFailures } = await applyBatch(deps, batch, ample)
      if (batchItemFailures.length > 0) problems.push(`a batch of the stream from ${JSON.stringify(batchItemFailures)}`)
    }
  }
  const publish = (): void => {
    counts.published += 1
    const { published: turn } = counts
    const kind = random()
    const key =
      kind < 0.4
        ? `live/${turn}`
        : kind < 0.7
          ? `old/${whole(100)}/live-${turn}.bin`
          : content.key(whole(content.objects))
    world.publish(key, noise(200 + whole(1800), content.seed - turn))
  }
  return {
    counts,
    problems,
    quarantined: async () => (await toArray(quarantine.list())).length,
    turn: async (seen) => {
      if (random() < 0.3) publish()
      for (let more = whole(6); more > 0; more -= 1) {
        const raced = random() < 0.5 ? seen[whole(seen.length)]?.['pk'] : undefined
        const isNew = random() < 0.2
        await change(
          raced && 'S' in raced
            ? raced.S
            : content.pk(isNew ? content.rows + whole(content.rows) : whole(content.rows)),
        )
      }
      if (random() < 0.25) await apply()
    },
    end: apply,
  }
}
