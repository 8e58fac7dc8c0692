import { rmSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { copyRssMaxBytes, replicate, warmUp, withStack } from './local-stack.ts'
import { writeModelFile } from './model-file.ts'
import { humanBytes } from '../cli/output.ts'
import { judged, mebibytes, type Section } from './report.ts'

/** Peak memory of the processes that copy, for objects of very different size. */

const aboveIdleMibMax = 200
/** The file and the embedded S3's copy of it, then that copy and the bodies, with room to spare. */
const diskPerByte = 4

const freeBytes = async (): Promise<number> => {
  const { bavail, bsize } = await statfs(process.env['LIFEBOAT_BENCH_DIR'] ?? tmpdir())
  return bavail * bsize
}

/** `tuned` is the peak when another version has been copied after it, of which every chunk was tried as a difference. */
type Peak = { mib: number; segments: number; idle: number; peak: number; tuned: number }

const measure = (mib: number): Promise<Peak> =>
  withStack(async (stack) => {
    const file = await writeModelFile(stack.dir, mib, 2)
    await warmUp(stack)
    const idle = await copyRssMaxBytes(stack)
    const { copy } = await replicate(stack, 'model.safetensors', file, () => rmSync(file.file))
    const peak = await copyRssMaxBytes(stack)
    const other = await writeModelFile(stack.dir, mib, 3)
    await replicate(stack, 'model.safetensors', other, () => rmSync(other.file))
    return { mib, segments: copy.segments, idle, peak, tuned: await copyRssMaxBytes(stack) }
  })

export const benchMemory = async (options: { quick: boolean }): Promise<Section[]> => {
  const peaks: Peak[] = []
  const notes: string[] = []
  for (const mib of options.quick ? [64, 512] : [64, 1024, 4096]) {
    const needed = mib * 2 ** 20 * diskPerByte
    const free = await freeBytes()
    if (free >= needed) peaks.push(await measure(mib))
    else notes.push(`${mib} MiB left out: ${humanBytes(needed)} of disk are needed, ${humanBytes(free)} are free.`)
  }
  const above = peaks.map(({ tuned, idle }) => tuned - idle)
  return [
    {
      id: 'memory',
      title: 'Memory of the copy function by object size',
      head: ['object MiB', 'segments', 'idle MiB', 'peak MiB', 'above idle MiB', 'next version, above idle MiB'],
      rows: peaks.map(({ mib, segments, idle, peak, tuned }) => [
        String(mib),
        String(segments),
        mebibytes(idle),
        mebibytes(peak),
        mebibytes(peak - idle),
        mebibytes(tuned - idle),
      ]),
      notes: [
        'The largest resident set of any instance, as the kernel counts it for that process; idle is after an invocation without work. The next version has other weights, of which every chunk is encoded both ways.',
        ...notes,
        judged(
          `Target, at most ${aboveIdleMibMax} MiB above the idle runtime for any size`,
          above.every((bytes) => bytes <= aboveIdleMibMax * 2 ** 20),
        ),
      ],
    },
  ]
}
