import { loadNote, loadOf } from './load.ts'
import { withFolder } from './local-stack.ts'
import { judged, ratio, type Section } from './report.ts'
import { type Lag, measureLag } from './rows/lag.ts'
import { batchSizeOf, type Shape, shapes } from './rows/load.ts'
import { eachServer } from './rows/servers.ts'
import { applySpeedOf, compareSpeeds, fastestBare, type Speed } from './rows/throughput.ts'

/** Changes per second through the code of apply-changes, beside bare calls of what it does for each row, and their lag. */

const timesMax = 1.5
const rowsPerCpuSecondMin = 3000

type Measured = { server: string; shape: Shape; speeds: Speed[]; lag: Lag }

const measure = async (dir: string, quick: boolean): Promise<{ measured: Measured[]; absent: boolean }> => {
  const measured: Measured[] = []
  const { absent } = await eachServer(dir, async (server) => {
    for (const shape of shapes) {
      const changesPerRound = (quick ? 0.5 : 1) * (shape.attributes > 100 ? 1000 : 4000)
      const speeds = await compareSpeeds(server, shape, { rounds: quick ? 3 : 5, changesPerRound })
      const changesPerSecond = applySpeedOf(speeds).changesPerSecond / 2
      const lag = await measureLag(server, shape, { changesPerSecond, seconds: quick ? 1.5 : 8 })
      measured.push({ server: server.name, shape, speeds, lag })
    }
  })
  return { measured, absent }
}

const nameOf = ({ server, shape }: Measured): string => `${server}, ${shape.name}`

const judgedOf = (what: string, measured: readonly Measured[], isReached: (one: Measured) => boolean): string => {
  const missed = measured.filter((one) => !isReached(one)).map(nameOf)
  return judged(missed.length === 0 ? what : `${what} (${missed.join('; ')})`, missed.length === 0)
}

const speedSection = (measured: readonly Measured[], others: readonly string[]): Section => ({
  id: 'rows',
  title: 'Rows applied',
  head: ['what', 'rows/s', 'changes/s', 'x apply-changes', 'rows per CPU second'],
  rows: measured.flatMap((one) =>
    one.speeds.map((speed) => [
      `${nameOf(one)}: ${speed.name}`,
      speed.rowsPerSecond.toFixed(0),
      speed.changesPerSecond.toFixed(0),
      ratio(speed.times),
      speed.rowsPerCpuSecond.toFixed(0),
    ]),
  ),
  notes: [
    `Batches of ${shapes.map(batchSizeOf).join(', ')} records as Lambda gives them (500, or 6 MiB), each an update with both images, one batch after the other. apply-changes parses, checks and encodes both images, writes the history, then the rows.`,
    'Bare calls are those of CheckAndMutateRow that apply-changes makes, 64 at a time as there: requests made beforehand, no history, nothing parsed. The SDK’s generated client, and grpc-js from the same .proto files with nothing over it.',
    'Medians of rounds in which each had its turn; x is that of what was found within a round. CPU is that of the process that calls; the server shares its 2 cores.',
    ...others,
    judgedOf(
      `Target, within ${timesMax} times of the faster bare calls`,
      measured,
      ({ speeds }) => fastestBare(speeds).times <= timesMax,
    ),
    judgedOf(
      `Target, at least ${rowsPerCpuSecondMin} rows/s a core`,
      measured,
      ({ speeds }) => applySpeedOf(speeds).rowsPerCpuSecond >= rowsPerCpuSecondMin,
    ),
  ],
})

const lagSection = (measured: readonly Measured[]): Section => ({
  id: 'rows-lag',
  title: 'Lag of rows at half that rate',
  head: ['what', 'changes/s', 'changes', 'p50 ms', 'p99 ms', 'of that applying: p50 ms', 'p99 ms'],
  rows: measured.map((one) => [
    nameOf(one),
    (applySpeedOf(one.speeds).changesPerSecond / 2).toFixed(0),
    String(one.lag.changes),
    ...[one.lag.all, one.lag.applying].flatMap(({ p50, p99 }) => [p50.toFixed(0), p99.toFixed(0)]),
  ]),
  notes: [
    'From the arrival of a change to its batch being applied, arrivals evenly apart and waiting for nobody; the wait until the batch is full, or the window of 1 s is over, is included. Applying is from there on, with the wait for the batch before.',
  ],
})

export const benchRows = ({ quick }: { quick: boolean }): Promise<Section[]> =>
  withFolder(async (dir) => {
    const load = loadOf()
    const { measured, absent } = await measure(dir, quick)
    const others = [
      ...(absent ? ['gcloud has no cbtemulator here: the embedded Bigtable alone.'] : []),
      ...loadNote(load),
    ]
    return [speedSection(measured, others), lagSection(measured)]
  })
