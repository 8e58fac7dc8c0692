import { copySegment } from './copy.ts'
import type { Brake, Deadline, WeightsDeps } from './deps.ts'
import { digestRange } from './digest.ts'
import { workMessageSchema } from './messages.ts'
import { hashOf, recordFailure } from './outcome.ts'

const parse = (text: string): unknown => {
  try {
    return JSON.parse(text) as unknown
  } catch {
    return undefined
  }
}

/**
 * Handles one message of a queue of segments. One that is not of our making is quarantined with what it said; one of a
 * backfill that is stopped is dropped, since it is sent again when that goes on.
 */
export const work = async (deps: WeightsDeps, text: string, given: Deadline, brake?: Brake): Promise<void> => {
  const message = workMessageSchema.safeParse(parse(text))
  if (!message.success)
    return recordFailure(deps, {
      state: 'quarantined',
      traceId: hashOf('malformed work', text),
      reason: `malformed message on the segments queue: ${message.error.issues[0]?.path.join('.') ?? ''} ${message.error.issues[0]?.message ?? ''}`,
      detail: text.slice(0, 4096),
    })
  const { kind, traceId, offset, size, backfill } = message.data
  if (backfill !== undefined && (await brake?.moves(backfill)) === false) {
    deps.telemetry.log('info', `${kind} dropped: its backfill is stopped`, { stage: 'copy', traceId, offset, size })
    return
  }
  const deadline = backfill !== undefined && brake ? brake.deadline(backfill, given) : given
  const startedAt = deps.clock.now()
  const outcome =
    message.data.kind === 'segment'
      ? await copySegment(deps, message.data, deadline)
      : await digestRange(deps, message.data, deadline)
  const seconds = (deps.clock.now() - startedAt) / 1000
  deps.telemetry.log('info', `${kind} ${outcome}`, { stage: 'copy', traceId, offset, size, seconds })
}
