import { createMemoryItems, type MemoryItems } from '../../shared/clouds/memory/items.ts'
import { createMemoryQuarantine, type MemoryQuarantine } from '../../shared/clouds/memory/quarantine.ts'
import { createMemoryRowStore } from '../../shared/clouds/memory/row-store.ts'
import { createMemoryTelemetry, type MemoryTelemetry } from '../../shared/clouds/memory/telemetry.ts'
import { type Config, parseConfig } from '../../shared/config.ts'
import { applyBatch } from '../../shared/features/apply-batch.ts'
import type { RowsDeps } from '../../shared/features/deps.ts'
import type { Item } from '../../shared/features/item.ts'
import type { RowStore } from '../../shared/features/row-store.ts'

/** Rows in memory with stream records written by hand, for tests of one table with the partition key `pk`. */

export const streamArn = (epoch: number): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-01-0${epoch}T00:00:00.000`

/** The configuration of table `features`, target `target`, with streams of these epochs. */
export const rowsConfig = (epochs: readonly number[] = [1], target = 'features'): Config =>
  parseConfig(
    JSON.stringify({
      formatVersion: 1,
      source: { account: '111122223333', region: 'us-east-1' },
      replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
      tables: [{ name: 'features', target, streams: epochs.map((epoch) => ({ arn: streamArn(epoch), epoch })) }],
    }),
    { stage: 'local', file: 'lifeboat.yml' },
  )

export type RowsTest = Omit<RowsDeps, 'source' | 'quarantine' | 'telemetry'> & {
  source: MemoryItems
  quarantine: MemoryQuarantine
  telemetry: MemoryTelemetry
}

/** `nowSecond` is what the clock says; `rows` stands for a memory store. */
export const createRowsTest = (options: { nowSecond: () => number; rows?: RowStore; config?: Config }): RowsTest => {
  let count = 0
  return {
    config: options.config ?? rowsConfig(),
    rows: options.rows ?? createMemoryRowStore({ tables: ['features'] }),
    source: createMemoryItems({ features: { partition: 'pk' } }),
    quarantine: createMemoryQuarantine(),
    telemetry: createMemoryTelemetry(),
    clock: { now: () => options.nowSecond() * 1000 },
    random: { next: () => 0.5, hex: (bytes) => (count += 1).toString(16).padStart(bytes * 2, '0') },
  }
}

export type WrittenChange = {
  pk: string
  second: number
  sequence: number
  before?: Item | undefined
  after?: Item | undefined
  epoch?: number
}

/** Of 21 digits. */
const sequenceStart = 4n * 10n ** 20n

/** A record as DynamoDB sends it; images get their key. */
export const recordOf = ({ pk, second, sequence, before, after, epoch = 1 }: WrittenChange) => {
  const written = { INSERT: before === undefined, REMOVE: after === undefined }
  const image = (item: Item | undefined): object | undefined => item && { pk: { S: pk }, ...item }
  return {
    eventName: written.REMOVE ? 'REMOVE' : written.INSERT ? 'INSERT' : 'MODIFY',
    eventSourceARN: streamArn(epoch),
    dynamodb: {
      ApproximateCreationDateTime: second,
      Keys: { pk: { S: pk } },
      ...(before && { OldImage: image(before) }),
      ...(after && { NewImage: image(after) }),
      SequenceNumber: String(sequenceStart + BigInt(sequence)),
    },
  }
}

/** Applies the changes as one batch; throws where not all of it was applied. */
export const apply = async (deps: RowsDeps, changes: readonly WrittenChange[]): Promise<void> => {
  const answer = await applyBatch(deps, changes.map(recordOf), { remainingMs: () => 60_000 })
  if (answer.batchItemFailures.length > 0) throw new Error(`not applied: ${JSON.stringify(answer)}`)
}
