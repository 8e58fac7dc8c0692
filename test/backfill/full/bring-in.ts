import { toArray } from '../../../shared/bounded.ts'
import { parseWork } from '../../../shared/backfill/message.ts'
import { workOn } from '../../../shared/backfill/work.ts'
import { Killed } from '../../sim/scheduler.ts'
import type { BackfillWorld } from '../../support/backfill-world.ts'
import { createVirtualTime, type VirtualTime } from '../../support/virtual-time.ts'
import { ample } from '../../support/weights-world.ts'
import type { Live } from './live.ts'
import type { Pages } from './pages.ts'
import { type Hooks, openProcess, type Process } from './process.ts'

/** The calls of two backfills, with what befalls them: they are killed, paused and resumed, and live work goes on. */

/** How long one call takes at most, and a dead one's message until it comes again. */
const callMs = 300_000
const redeliverMs = 900_000
const pageMs = { objects: 200, rows: 100 }
/** Until what is sent knows of a pause. */
const brakeMs = 2001
const pausedTurns = 60

/** When so much of the objects is read, the next `after` steps of a port bring it about: in the middle of a page. */
type Moment = { kind: 'kill' | 'pause'; share: number; step: string; after: number }

const momentsOf = (random: () => number): Moment[] => {
  const after = (most: number): number => 1 + Math.floor(random() * most)
  return [
    { kind: 'kill', share: 0.1 + random() * 0.2, step: 'objects.begin', after: after(60) },
    { kind: 'pause', share: 0.4 + random() * 0.2, step: 'objects.begin', after: after(60) },
    { kind: 'kill', share: 0.7 + random() * 0.2, step: 'rows.replaceIf', after: after(1000) },
  ]
}

export type Driver = {
  it: BackfillWorld
  live: Live
  pages: Pages
  /** How many copies a pause dropped. */
  dropped: () => number
  /** Each with how many parts it has. */
  runs: readonly { run: string; parts: number }[]
  objects: number
  random: () => number
  say: (what: string) => void
  problems: string[]
}

type State = {
  moments: Moment[]
  isArmed: boolean
  /** Copies take their time, so that some are still to be sent. */
  isHeld: boolean
  pausing?: Promise<unknown>
  objectsRead: number
  rowsWritten: number
  kills: number
}

/** Live work goes on, and of the backfill nothing is sent, whoever asks it to go on. */
const stayPaused = async (driver: Driver, process: Process, state: State): Promise<void> => {
  const { it, live, dropped, problems, runs } = driver
  const sent = (): string => `${it.world.telemetry.total('BackfillBytesSent')} bytes, ${state.rowsWritten} rows`
  it.world.tick(brakeMs)
  const before = sent()
  await it.drain()
  if (dropped() === 0) problems.push('nothing was on its way when it was paused')
  for (let turn = 0; turn < pausedTurns; turn += 1) {
    it.world.tick(1000)
    await live.turn([])
    await it.drain()
  }
  for (const { run, parts } of runs)
    for (let part = 0; part < parts; part += 1) {
      const worked = await workOn(process.deps, { run, part }, ample)
      if (worked !== 'stopped') problems.push(`paused, part ${part} of ${run} ${worked}`)
    }
  if (sent() !== before) problems.push(`paused, it went from ${before} to ${sent()}`)
  const waiting = await toArray(it.deps.weights.objects.pending('live'))
  if (waiting.length > 0) problems.push(`while it was paused ${waiting.length} live objects waited`)
  driver.say(`paused with ${dropped()} copies dropped, resumed`)
  for (const { run } of runs) await it.ask({ action: 'resume', run })
}

const come = ({ it, runs, say }: Driver, state: State, process: Process): void => {
  const moment = state.moments.shift()
  state.isArmed = false
  if (moment?.kind === 'kill') {
    state.kills += 1
    process.kill()
    say('killed')
  } else state.pausing = Promise.all(runs.map(({ run }) => it.ask({ action: 'pause', run })))
}

const hooksOf = (
  { live, pages, objects }: Driver,
  state: State,
  { time, comes }: { time: VirtualTime; comes: () => void },
): Hooks => ({
  wait: async (ms) => time.wait(ms),
  step: (step) => {
    const [next] = state.moments
    if (step === 'rows.replaceIf') state.rowsWritten += 1
    if (!state.isArmed || step !== next?.step) return
    next.after -= 1
    if (next.after === 0) comes()
  },
  page: async (page) => {
    const [next] = state.moments
    pages.asked(page, state.kills)
    if (page.part === 'objects') state.objectsRead += page.count
    if (next && !state.isArmed && state.objectsRead >= next.share * objects) {
      state.isArmed = true
      state.isHeld = next.kind === 'pause'
    }
    await live.turn(page.items)
    await time.wait(page.part === 'objects' ? pageMs.objects : pageMs.rows)
  },
})

/** Runs all calls at once, in one process, until none is left; answers how often it was killed. */
export const bringIn = async (driver: Driver): Promise<number> => {
  const { it, problems } = driver
  const { world } = it
  const moments = momentsOf(driver.random)
  const state: State = { moments, isArmed: false, isHeld: false, objectsRead: 0, rowsWritten: 0, kills: 0 }
  const time = createVirtualTime({
    now: world.now,
    tick: world.tick,
    meanwhile: async () => (state.isHeld ? undefined : it.drain()),
  })
  const open = (): Process => {
    const opened: Process = openProcess(it, hooksOf(driver, state, { time, comes: () => come(driver, state, opened) }))
    return opened
  }
  let process = open()
  const call = async (text: string): Promise<void> => {
    const begunAt = world.now()
    try {
      await workOn(process.deps, parseWork(text), { remainingMs: () => callMs - (world.now() - begunAt) })
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      it.messages.push(text)
    }
  }
  for (;;) {
    const texts = it.messages.splice(0)
    await time.run(texts.map((text) => async () => call(text)))
    if (process.isDead()) {
      process = open()
      world.tick(redeliverMs)
      // What the dead calls planned gets whole without them.
      await it.drain()
    }
    if (it.messages.length > 0) continue
    if (!state.pausing) break
    await state.pausing
    delete state.pausing
    state.isHeld = false
    await stayPaused(driver, process, state)
  }
  if (moments.length > 0) problems.push(`it ended before ${moments.map(({ kind }) => kind).join(' and ')}`)
  return state.kills
}
