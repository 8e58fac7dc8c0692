import { median } from '../report.ts'
import { applyChanges, applyName, bareGrpc, type Contestant, generatedClient } from './contestants.ts'
import { batchSizeOf, createSource, type Shape } from './load.ts'
import type { RowsServer } from './servers.ts'

/** `cpuSeconds` of this process, which is not the server's. */
type Round = { rows: number; changes: number; seconds: number; cpuSeconds: number }
/** `times` is how much faster than apply-changes in the same round. */
export type Speed = {
  name: string
  rowsPerSecond: number
  changesPerSecond: number
  rowsPerCpuSecond: number
  times: number
}

const time = async (run: () => Promise<number>, changes: number): Promise<Round> => {
  const cpuBefore = process.cpuUsage()
  const startedAt = performance.now()
  const rows = await run()
  const seconds = (performance.now() - startedAt) / 1000
  const { user, system } = process.cpuUsage(cpuBefore)
  return { rows, changes, seconds, cpuSeconds: (user + system) / 1e6 }
}

const rate = ({ rows, seconds }: Round): number => rows / seconds

const speedOf = (name: string, rounds: readonly Round[], ofApply: readonly Round[]): Speed => ({
  name,
  times: median(rounds.map((round, index) => rate(round) / rate(ofApply[index] ?? round))),
  rowsPerSecond: median(rounds.map(rate)),
  changesPerSecond: median(rounds.map(({ changes, seconds }) => changes / seconds)),
  rowsPerCpuSecond: median(rounds.map(({ rows, cpuSeconds }) => rows / cpuSeconds)),
})

/** Each in turn, round after round over keys of its own, so that what else the machine does meets all of them alike. */
export const compareSpeeds = async (
  server: RowsServer,
  shape: Shape,
  { rounds, changesPerRound }: { rounds: number; changesPerRound: number },
): Promise<Speed[]> => {
  const contestants: Contestant[] = [applyChanges(server), generatedClient(server), bareGrpc(server)]
  const batches = Math.max(1, Math.round(changesPerRound / batchSizeOf(shape)))
  const entries = contestants.map((contestant, index) => {
    const source = createSource(shape, `${shape.attributes}-${shape.hotShare}-${index}`, batches * batchSizeOf(shape))
    return { contestant, source, measured: [] as Round[] }
  })
  try {
    // The first round makes the rows, opens the connections and warms up the compiler.
    for (let round = 0; round <= rounds; round += 1)
      for (const { contestant, source, measured } of entries) {
        const given = source.next(batches)
        const run = contestant.prepare(given)
        const found = await time(run, given.flat().length)
        if (round > 0) measured.push(found)
      }
  } finally {
    for (const { contestant } of entries) await contestant.close()
  }
  const ofApply = entries[0]?.measured ?? []
  return entries.map(({ contestant, measured }) => speedOf(contestant.name, measured, ofApply))
}

const isBare = ({ name }: Speed): boolean => name !== applyName

export const applySpeedOf = (speeds: readonly Speed[]): Speed => {
  const found = speeds.find((speed) => !isBare(speed))
  if (!found) throw new Error('apply-changes was not measured')
  return found
}

export const fastestBare = (speeds: readonly Speed[]): Speed =>
  speeds.filter(isBare).reduce((best, speed) => (speed.times > best.times ? speed : best))
