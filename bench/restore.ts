import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { humanBytes } from '../cli/output.ts'
import { differences, runLifeboat } from '../local/start/verify.ts'
import type { LocalStack } from '../local/stack.ts'
import { bucket, replicate, withStack } from './local-stack.ts'
import { writeModelFile } from './model-file.ts'
import { absentNote, peers, timeMedian, timePeer } from './peers.ts'
import { judged, median, megabytesPerSecond, ratio, seconds, type Section } from './report.ts'

/** Restore with every proof, by the command and from the embedded GCS alone, beside `zstd -d` and sha256sum. */

const key = 'model.safetensors'
const rounds = 3

/** One restore by the command as an operator runs it; seconds of its whole process. */
const restoreOnce = async (stack: LocalStack, to: string): Promise<number> => {
  const replica = `gs://${stack.config.replica.bucket}`
  const args = ['restore', `s3://${bucket}/${key}`, '--replica', replica, '--to', to, '--quiet']
  const startedAt = performance.now()
  const { code, stderr } = await runLifeboat(args, stack.environment)
  if (code !== 0) throw new Error(`lifeboat restore ended with ${code}: ${stderr}`)
  return (performance.now() - startedAt) / 1000
}

const sum = (a: number | undefined, b: number | undefined): number | undefined =>
  a === undefined || b === undefined ? undefined : a + b

const measure = (mib: number) =>
  withStack(async (stack) => {
    const file = await writeModelFile(stack.dir, mib, 3)
    await replicate(stack, key, file)
    const to = join(stack.dir, 'restored')
    const times: number[] = []
    for (let round = 0; round < rounds; round += 1) {
      await rm(to, { recursive: true, force: true })
      times.push(await restoreOnce(stack, to))
    }
    const found = await differences([{ ...file, path: key }], to)
    if (found.length > 0) throw new Error(`the restore is not what was published: ${found.join('; ')}`)
    await rm(to, { recursive: true })
    const packed = join(stack.dir, 'peer.zst')
    const unpacked = join(stack.dir, 'peer.out')
    await timePeer(peers.zstd3, file.file, packed)
    return {
      size: file.size,
      restored: median(times),
      unzstd: await timeMedian(peers.unzstd, packed, unpacked),
      sha256: await timeMedian(peers.sha256, file.file, unpacked),
    }
  })

export const benchRestore = async (options: { quick: boolean; mib?: number }): Promise<Section[]> => {
  const { size, restored, unzstd, sha256 } = await measure(options.mib ?? (options.quick ? 256 : 1024))
  const both = sum(unzstd, sha256)
  const row = (what: string, time: number | undefined): string[][] =>
    time === undefined ? [] : [[what, seconds(time), megabytesPerSecond(size, time), ratio(time / restored)]]
  const absent = absentNote([peers.unzstd, peers.sha256])
  return [
    {
      id: 'restore',
      title: `Restore of a ${humanBytes(size)} safetensors file (BF16)`,
      head: ['what', 'seconds', 'MB/s', 'its time / restore time'],
      rows: [
        ...row('lifeboat restore, every chunk and the whole proved, synced to disk', restored),
        ...row('zstd -d', unzstd),
        ...row('sha256sum', sha256),
        ...row('zstd -d, then sha256sum', both),
      ],
      notes: [
        `Median of ${rounds}; the whole process of the command, with the embedded GCS on the same cores.`,
        ...(both === undefined ? [] : [judged('Target, at least 1.0 x zstd -d and sha256sum', both / restored >= 1)]),
        ...(absent === undefined ? [] : [absent]),
      ],
    },
  ]
}
