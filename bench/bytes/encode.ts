import { join } from 'node:path'
import { measureKernels } from '../kernels.ts'
import { withFolder } from '../local-stack.ts'
import { writeModelFile } from '../model-file.ts'
import { findProgram } from '../peers.ts'
import { judged, median, ratio, type Section } from '../report.ts'
import { runMeasured } from './measured.ts'

/** What a core does of a chunk's encoding, with and without the check that it can be read back, beside `zstd -3`. */

const rounds = 3
const fileMib = 256

const zstdCpuMs = async (file: string, out: string): Promise<number | undefined> => {
  if (findProgram('zstd') === undefined) return undefined
  const spent: number[] = []
  for (let round = 0; round < rounds; round += 1)
    spent.push((await runMeasured(['zstd', '-3', '--single-thread', '-q', '-f', '-o', out, file])).cpuSeconds * 1000)
  return median(spent)
}

/** Steps by the beginnings of their names: what both sorts of encoding do, and what only the check does. */
const [always, checking] = [['encode', 'SHA-256', 'CRC32C'], ['read back']]

export const benchEncode = ({ quick }: { quick: boolean }): Promise<Section[]> =>
  withFolder(async (dir) => {
    const { file, size } = await writeModelFile(dir, quick ? fileMib / 4 : fileMib, 4)
    const runs = [await measureKernels(file), await measureKernels(file), await measureKernels(file)]
    const stepMs = (start: string): number => {
      const found = runs.map((run) => run.find(({ name }) => name.startsWith(start))?.cpuMsPerMegabyte ?? Number.NaN)
      return median(found)
    }
    const sum = (starts: readonly string[]): number => starts.reduce((all, start) => all + stepMs(start), 0)
    const plain = sum(always)
    const checked = plain + sum(checking)
    const zstd = await zstdCpuMs(file, join(dir, 'peer.out'))
    const zstdPerMegabyte = zstd === undefined ? undefined : zstd / (size / 1e6)
    const row = (what: string, cpuMs: number): string[] => [
      what,
      cpuMs.toFixed(2),
      (1000 / cpuMs).toFixed(0),
      zstdPerMegabyte === undefined ? '-' : ratio(zstdPerMegabyte / cpuMs),
    ]
    return [
      {
        id: 'peers-encode',
        title: 'A chunk of BF16 encoded, by core',
        head: ['what', 'CPU ms per MB', 'MB/s a core', 'x zstd -3'],
        rows: [
          row('encoded, hashed, CRC32C taken', plain),
          row('the same, decoded and hashed again', checked),
          ...(zstdPerMegabyte === undefined ? [] : [row('zstd -3 --single-thread', zstdPerMegabyte)]),
        ],
        notes: [
          `CPU of all threads, the median of ${rounds}; steps timed one by one on chunks of the same file.`,
          ...(zstdPerMegabyte === undefined
            ? ['zstd is not on the PATH: no comparison with it.']
            : [
                judged('Target, without the check >= 1.9 x zstd -3', zstdPerMegabyte / plain >= 1.9),
                judged('Target, with the check >= 0.75 x zstd -3', zstdPerMegabyte / checked >= 0.75),
              ]),
        ],
      },
    ]
  })
