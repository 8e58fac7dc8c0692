import type { BatchAnswer } from '../../shared/features/apply-batch.ts'

/**
 * Lambda's event source of one shard, with a clock that only it moves: batches in order, one at a time; what the function
 * reports as failed is cut in two and handed over again after a pause that grows to a minute; and records older than
 * `recordAgeSecondsMax` are given up.
 */

export type ArrivedRecord = { record: { dynamodb: { SequenceNumber: string } }; ms: number }
export type EventSource = {
  /** Delivers everything up to `untilMs`, and after that only what has arrived by then. */
  run(untilMs: number): Promise<void>
  givenUp: ArrivedRecord[]
  invocations: number
  cuts: number
}

const pauseMsMin = 1000
const pauseMsMax = 60_000

export const createEventSource = (options: {
  clock: { ms: number }
  /** The next record by when it arrives, at most at `untilMs`. */
  arrivals: (untilMs: number) => ArrivedRecord[]
  invoke: (records: readonly ArrivedRecord[]) => Promise<BatchAnswer>
  batchSize: number
  recordAgeSecondsMax: number
}): EventSource => {
  const { clock, arrivals, invoke, batchSize, recordAgeSecondsMax } = options
  const waiting: ArrivedRecord[] = []
  const isTooOld = ({ ms }: ArrivedRecord): boolean => clock.ms - ms > recordAgeSecondsMax * 1000
  const deliver = async (batch: ArrivedRecord[]): Promise<void> => {
    let [rest, size, pauseMs] = [batch, batch.length, pauseMsMin]
    while (rest.length > 0) {
      source.invocations += 1
      const part = rest.slice(0, size)
      const [failed] = (await invoke(part)).batchItemFailures
      clock.ms += 500
      if (!failed) {
        rest = rest.slice(part.length)
        ;[size, pauseMs] = [rest.length, pauseMsMin]
        continue
      }
      const done = part.findIndex(({ record }) => record.dynamodb.SequenceNumber === failed.itemIdentifier)
      if (done < 0) throw new Error(`no record ${failed.itemIdentifier} in the batch`)
      rest = rest.slice(done)
      if (part.length - done > 1) source.cuts += 1
      size = Math.ceil((part.length - done) / 2)
      clock.ms += pauseMs
      pauseMs = Math.min(pauseMs * 2, pauseMsMax)
      source.givenUp.push(...rest.filter(isTooOld))
      rest = rest.filter((one) => !isTooOld(one))
    }
  }
  const source: EventSource = {
    givenUp: [],
    invocations: 0,
    cuts: 0,
    run: async (untilMs) => {
      while (clock.ms < untilMs || waiting.length > 0) {
        waiting.push(...arrivals(Math.min(clock.ms, untilMs)))
        if (waiting.length > 0) await deliver(waiting.splice(0, batchSize))
        else clock.ms += 1000
      }
    },
  }
  return source
}
