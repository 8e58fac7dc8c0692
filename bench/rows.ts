import { withFolder } from './local-stack.ts'
import { judged, ratio, type Section } from './report.ts'
import { shapes } from './rows/load.ts'
import { eachServer } from './rows/servers.ts'
import { compareSpeeds } from './rows/throughput.ts'

/** Changes per second through the code of apply-changes, beside bare calls of what it does for each row. */

const timesMax = 1.5
const rowsPerCpuSecondMin = 3000

export const benchRows = ({ quick }: { quick: boolean }): Promise<Section[]> =>
  withFolder(async (dir) => {
    const rows: string[][] = []
    await eachServer(dir, async (server) => {
      for (const shape of shapes) {
        const speeds = await compareSpeeds(server, shape, {
          rounds: quick ? 3 : 7,
          changesPerRound: shape.attributes > 100 ? 1000 : 4000,
        })
        const [ours] = speeds
        for (const speed of speeds)
          rows.push([
            `${server.name}, ${shape.name}: ${speed.name}`,
            speed.rowsPerSecond.toFixed(0),
            speed.changesPerSecond.toFixed(0),
            ratio(speed.rowsPerSecond / (ours?.rowsPerSecond ?? Number.NaN)),
            speed.rowsPerCpuSecond.toFixed(0),
          ])
      }
    })
    return [
      {
        id: 'rows',
        title: 'Rows applied',
        head: ['what', 'rows/s', 'changes/s', 'x apply-changes', 'rows per CPU second'],
        rows,
        notes: [judged(`t ${timesMax} ${rowsPerCpuSecondMin}`, true)],
      },
    ]
  })
