import { NotFoundError } from '../errors.ts'
import type { BlobStore, Clock, Telemetry } from '../ports.ts'
import type { Deadline } from '../weights/deps.ts'
import { createLook } from './look.ts'
import { concludeReport, type Report } from './report.ts'
import { prefixesOfSlice, slices, type Wrong } from './scrub-body.ts'
import { findNamers, placeOf } from './scrub-named.ts'
import { mendNamers, readBodies, settleWrong } from './scrub.ts'
import { emptyTally, type Tally } from './tally.ts'
import { firstPlace, releaseNames, validateFrom, validateReleases } from './validate.ts'

/** The same checks from the replica alone, in one go: nothing is repaired, and AWS is not asked. */

type Watch = { onTotal: (total: number) => void; onDone: (done: number) => void }
type Scope = { model: string; version?: string | undefined }
type Deps = { store: BlobStore; clock: Clock }

const endless: Deadline = { remainingMs: () => Number.POSITIVE_INFINITY }

const countNames = async (store: BlobStore, prefix: string): Promise<number> => {
  let total = 0
  for await (const _ of store.list(prefix)) total += 1
  return total
}

const conclude = (
  { clock }: Deps,
  run: { kind: 'validate' | 'scrub'; scope: string | null; startedAtMs: number; tally: Tally; looked: string },
): Report => {
  const { kind, scope, startedAtMs, tally, looked } = run
  return concludeReport({
    kind,
    scope,
    startedAtMs,
    endedAtMs: clock.now(),
    ...tally,
    isComplete: true,
    looked: [looked],
  })
}

/** Validates everything, or one model or version of it. Throws NotFoundError where there is no such release. */
export const validateByHand = async (deps: Deps, scope: Scope | undefined, watch: Watch): Promise<Report> => {
  const { store, clock } = deps
  const startedAtMs = clock.now()
  const tally = emptyTally()
  const checks = { store, clock, onTotal: watch.onTotal, onChecked: () => watch.onDone(1) }
  if (!scope) {
    watch.onTotal(await countNames(store, 'objects/'))
    await validateFrom(checks, endless, firstPlace, tally)
    return conclude(deps, { kind: 'validate', scope: null, startedAtMs, tally, looked: 'manifests' })
  }
  const text = scope.version === undefined ? scope.model : `${scope.model}@${scope.version}`
  const names = await releaseNames(store, scope.model, scope.version)
  if (names.length === 0) throw new NotFoundError(`the replica has no release ${text}: "lifeboat ls" lists what it has`)
  await validateReleases(checks, endless, names, tally)
  return conclude(deps, { kind: 'validate', scope: text, startedAtMs, tally, looked: 'manifests' })
}

/** Reads back every body, or those of one slice of 30. */
export const scrubByHand = async (
  deps: Deps & { telemetry: Telemetry },
  slice: number | undefined,
  watch: Watch,
): Promise<Report> => {
  const { store, clock } = deps
  const startedAtMs = clock.now()
  const tally = emptyTally()
  const numbers = slice === undefined ? Array.from({ length: slices }, (_, number) => number) : [slice]
  const prefixes = numbers.flatMap(prefixesOfSlice)
  let totalBytes = 0
  for (const prefix of prefixes) for await (const { size } of store.list(prefix)) totalBytes += size
  watch.onTotal(totalBytes)
  const reading = { store, isLate: () => false, take: () => true, onBytes: watch.onDone }
  let place = { prefix: 0, name: '' }
  for (;;) {
    const wrong: Wrong[] = []
    const ended = await readBodies(reading, prefixes, place, tally, wrong)
    if (wrong.length > 0) {
      const check = { store, look: createLook(store), isLate: () => false }
      const { namers } = await findNamers(check, new Set(wrong.map(placeOf)), '')
      const settling = { ...deps, mayRecord: false }
      await mendNamers(settling, wrong, namers)
      await settleWrong(settling, tally, wrong)
    }
    if (ended.kind === 'done') break
    place = ended.place
  }
  const scope = slice === undefined ? null : `slice ${slice}`
  return conclude(deps, { kind: 'scrub', scope, startedAtMs, tally, looked: 'bodies' })
}
