import { CreateBucketCommand } from '@aws-sdk/client-s3'
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { humanBytes } from '../cli/output.ts'
import { type LocalFile, uploadFile } from '../local/start/publish.ts'
import type { LocalStack } from '../local/stack.ts'
import type { CopyAlone } from './copy-alone.ts'
import { type Kernel, measureKernels } from './kernels.ts'
import { replicate, type Replicated, warmUp, withStack } from './local-stack.ts'
import { writeModelFile } from './model-file.ts'
import { absentNote, type Peer, peers, timeMedian } from './peers.ts'
import { cpuBetween, cpuNow, type CpuUse } from './process-cpu.ts'
import { judged, median, megabytesPerSecond, ratio, seconds, type Section } from './report.ts'

/** Copy throughput, end to end through the handlers and of the copy function alone, beside zstd and sha256sum. */

const quietBucket = 'quiet'
const rounds = 3
const aloneEntry = fileURLToPath(new URL('copy-alone.ts', import.meta.url))

/** Copies an object, which nobody announces, in a process of its own and below a prefix of its own. */
const copyAlone = async (stack: LocalStack, file: LocalFile, round: number): Promise<CopyAlone> => {
  const configFile = join(stack.dir, `alone-${round}.yml`)
  const text = await readFile(stack.configFile, 'utf8')
  await writeFile(configFile, text.replace('bucket: replica', `bucket: replica, prefix: "alone-${round}/"`))
  const env = {
    PATH: process.env['PATH'],
    ...stack.environment,
    LIFEBOAT_CONFIG: configFile,
    STAGE: 'local',
    // Neither the ledger's table nor the queues are touched.
    LEDGER_TABLE: 'none',
    OBJECTS_QUEUE_URL: 'http://127.0.0.1/none',
    SEGMENTS_QUEUE_URL: 'http://127.0.0.1/none',
    BACKFILL_SEGMENTS_QUEUE_URL: 'http://127.0.0.1/none',
    GCP_SERVICE_ACCOUNT: 'lifeboat-writer',
  }
  const args = ['--disable-warning=ExperimentalWarning', aloneEntry, quietBucket, file.path]
  const { stdout } = await promisify(execFile)(process.execPath, args, { env })
  return JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as CopyAlone
}

type Measured = {
  file: LocalFile
  first: Replicated
  again: Replicated
  cpu: CpuUse
  alone: CopyAlone
  kernels: Kernel[]
  zstd: number | undefined
  zstdParallel: number | undefined
  sha256: number | undefined
}

const measure = (mib: number): Promise<Measured> =>
  withStack(async (stack) => {
    const file = await writeModelFile(stack.dir, mib, 1)
    const out = join(stack.dir, 'peer.out')
    const [zstd, zstdParallel, sha256] = [
      await timeMedian(peers.zstd3, file.file, out),
      await timeMedian(peers.zstd3Parallel, file.file, out),
      await timeMedian(peers.sha256, file.file, out),
    ]
    await warmUp(stack)
    const published: CpuUse[] = []
    const first = await replicate(stack, 'first.safetensors', file, () => void published.push(cpuNow(stack)))
    const cpu = cpuBetween(published[0] ?? {}, cpuNow(stack))
    const again = await replicate(stack, 'again.safetensors', file)
    await stack.s3.send(new CreateBucketCommand({ Bucket: quietBucket }))
    await uploadFile(stack.s3, quietBucket, file.path, file)
    const alone: CopyAlone[] = []
    for (let round = 0; round < rounds; round += 1) alone.push(await copyAlone(stack, file, round))
    const middle = median(alone.map((one) => one.seconds))
    const chosen = alone.find((one) => one.seconds === middle)
    if (!chosen) throw new Error('an even number of rounds has no middle one')
    const kernels = await measureKernels(file.file)
    return { file, first, again, cpu, alone: chosen, kernels, zstd, zstdParallel, sha256 }
  })

const stageSeconds = ({ copy }: Replicated): number => (copy.to - copy.from) / 1000

const beside = (peer: number | undefined, time: number): string => (peer === undefined ? '-' : ratio(peer / time))

const throughput = (measured: Measured): Section => {
  const { file, first, again, alone, zstd, zstdParallel, sha256 } = measured
  const row = (what: string, time: number): string[] => [
    what,
    seconds(time),
    megabytesPerSecond(file.size, time),
    beside(zstd, time),
    beside(zstdParallel, time),
    beside(sha256, time),
  ]
  const peer = (one: Peer, time: number | undefined): string[][] => (time === undefined ? [] : [row(one.command, time)])
  const copy = stageSeconds(first)
  const rescan = stageSeconds(again)
  const absent = absentNote([peers.zstd3, peers.sha256])
  return {
    id: 'copy',
    title: `Copy of a ${humanBytes(file.size)} safetensors file (BF16)`,
    head: ['what', 'seconds', 'MB/s', 'x zstd -3', 'x zstd -3 -T2', 'x sha256sum'],
    rows: [
      row('PUT returned to manifest sealed', first.lagMs / 1000),
      row(`copy stage, ${first.copy.segments} segments, 2 instances`, copy),
      row('copy stage of the same bytes under another key', rescan),
      row('copy function alone, one process', alone.seconds),
      ...peer(peers.zstd3, zstd),
      ...peer(peers.zstd3Parallel, zstdParallel),
      ...peer(peers.sha256, sha256),
    ],
    notes: [
      `Sent ${((100 * alone.bytesSent) / file.size).toFixed(1)}% of the bytes in ${alone.chunks} chunks.`,
      'Every figure of Lifeboat has the embedded S3, GCS, DynamoDB and SQS on the same cores; peers have the cores to themselves.',
      ...(zstdParallel === undefined
        ? []
        : [judged('Target, copy stage with the read-back check >= 0.9 x zstd -3 -T2', zstdParallel / copy >= 0.9)]),
      ...(sha256 === undefined ? [] : [judged('Target, unchanged bytes >= 0.9 x sha256sum', sha256 / rescan >= 0.9)]),
      ...(absent === undefined ? [] : [absent]),
    ],
  }
}

const whereCpuGoes = ({ file, cpu, alone, kernels }: Measured): Section => {
  const perMegabyte = (cpuSeconds: number): string => ((cpuSeconds * 1e9) / file.size).toFixed(2)
  return {
    id: 'copy-cpu',
    title: 'Where the CPU of a copy goes',
    head: ['process or step', 'CPU ms per MB of source'],
    rows: [
      ...Object.entries(cpu).map(([name, used]) => [`end to end: ${name}`, perMegabyte(used)]),
      ['copy function alone: all of its threads', perMegabyte(alone.cpuSeconds)],
      ...kernels.map(({ name, cpuMsPerMegabyte }) => [`step: ${name}`, cpuMsPerMegabyte.toFixed(2)]),
    ],
    notes: [
      'Steps are timed on their own, on chunks of this file; what the copy function takes beyond their sum is receiving, sending and the collector.',
      ...(Object.keys(cpu).length === 0 ? ['The CPU of other processes can be read where there is /proc only.'] : []),
    ],
  }
}

export const benchCopy = async (options: { quick: boolean; mib?: number }): Promise<Section[]> => {
  const measured = await measure(options.mib ?? (options.quick ? 256 : 1024))
  return [throughput(measured), whereCpuGoes(measured)]
}
