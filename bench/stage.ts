import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { openDisk } from '../cli/disk.ts'
import { humanBytes } from '../cli/output.ts'
import type { LocalFile } from '../local/start/publish.ts'
import { combinePieces } from '../shared/weights/checksums.ts'
import { decodeBody } from '../shared/weights/codec.ts'
import { createDecodePool } from '../shared/weights/decode-pool.ts'
import type { ObjectManifest } from '../shared/weights/manifest.ts'
import { chunksOfParts } from '../shared/weights/read.ts'
import { fetchToPartial } from '../shared/weights/restore-file.ts'
import { bodyName } from '../shared/weights/store.ts'
import { createDiskStore } from './disk.ts'
import { withFolder } from './local-stack.ts'
import { writeModelFile } from './model-file.ts'
import { absentNote, peers, timeMedian, timePeer } from './peers.ts'
import { judged, median, megabytesPerSecond, ratio, seconds, type Section } from './report.ts'
import type { StageShare } from './stage-alone.ts'

/** Copy and restore by the product's own code between a file and a folder: no cloud takes anything of the two cores. */

const instances = 2
const rounds = 3
const entry = fileURLToPath(new URL('stage-alone.ts', import.meta.url))

type How = 'checked' | 'unchecked'

/** A share that is ready; `run` answers when it is done. */
const startShare = async (args: string[]): Promise<{ run(): Promise<StageShare> }> => {
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('a share of the copy ended before it was done')
    return value
  }
  if ((await next()) !== 'ready') throw new Error('a share of the copy is not ready')
  return {
    run: async () => {
      child.stdin.write('go\n')
      const share = JSON.parse(await next()) as StageShare
      if (child.exitCode === null) await once(child, 'exit')
      return share
    },
  }
}

/** `manifest` has what fetchToPartial asks of one. */
type Copied = { seconds: number; cpuSeconds: number; bytesSent: number; manifest: ObjectManifest }

const manifestOf = (size: number, shares: readonly StageShare[]): ObjectManifest => {
  const pieces = shares.flatMap((share) => share.pieces).sort((a, b) => a.start - b.start)
  const verified = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT', value: combinePieces('CRC64NVME', pieces) }
  const parts = shares.flatMap((share) => share.parts).sort((a, b) => a.offset - b.offset)
  return { size, parts, checksums: { verified } } as unknown as ObjectManifest
}

const copyOnce = async ({ file, size }: LocalFile, folder: string, how: How): Promise<Copied> => {
  await rm(folder, { recursive: true, force: true })
  const shares = await Promise.all(
    Array.from({ length: instances }, (_, index) => startShare([file, folder, String(index), String(instances), how])),
  )
  const done = await Promise.all(shares.map((share) => share.run()))
  return {
    seconds: Math.max(...done.map((share) => share.seconds)),
    cpuSeconds: done.reduce((sum, share) => sum + share.cpuSeconds, 0),
    bytesSent: done.reduce((sum, share) => sum + share.bytesSent, 0),
    manifest: manifestOf(size, done),
  }
}

const restoreOnce = async (folder: string, to: string, manifest: ObjectManifest): Promise<number> => {
  await rm(to, { recursive: true, force: true })
  const disk = await openDisk(to)
  await disk.makeFolder('')
  const pool = createDecodePool(instances)
  const deps = {
    store: createDiskStore(folder),
    disk,
    signal: new AbortController().signal,
    chunksAtOnce: 8,
    decode: pool.decode,
    onBytes: () => undefined,
  }
  try {
    const startedAt = performance.now()
    await fetchToPartial(deps, 'model.safetensors', manifest, 'bench')
    return (performance.now() - startedAt) / 1000
  } finally {
    await pool.close()
  }
}

/** Seconds of one thread that does nothing but decode, over the cores. */
const decodeAlone = async (folder: string, { parts }: ObjectManifest): Promise<number> => {
  const store = createDiskStore(folder)
  let spent = 0
  for await (const { ref } of chunksOfParts(store, parts)) {
    const body = await store.read(bodyName(ref, 'chunk'))
    if (!body) throw new Error(`${ref.id} is not in the folder`)
    const startedAt = performance.now()
    decodeBody(body, { plainBytesMax: ref.length })
    spent += (performance.now() - startedAt) / 1000
  }
  return spent / instances
}

const timesOf = async <T extends { seconds: number }>(run: () => Promise<T>): Promise<T> => {
  const all: T[] = []
  for (let round = 0; round < rounds; round += 1) all.push(await run())
  const middle = median(all.map((one) => one.seconds))
  return all.find((one) => one.seconds === middle) ?? (all[0] as T)
}

const measure = (mib: number) =>
  withFolder(async (dir) => {
    const file = await writeModelFile(dir, mib, 5)
    const [folder, out, packed] = [join(dir, 'replica'), join(dir, 'out'), join(dir, 'packed.zst')]
    const zstd = await timeMedian(peers.zstd3, file.file, packed)
    const zstdParallel = await timeMedian(peers.zstd3Parallel, file.file, packed)
    const unchecked = await timesOf(() => copyOnce(file, folder, 'unchecked'))
    const checked = await timesOf(() => copyOnce(file, folder, 'checked'))
    const restored = await timesOf(async () => ({
      seconds: await restoreOnce(folder, join(dir, 'restored'), checked.manifest),
    }))
    const decode = await decodeAlone(folder, checked.manifest)
    await rm(folder, { recursive: true })
    await timePeer(peers.zstd3, file.file, packed)
    const unzstd = await timeMedian(peers.unzstd, packed, out)
    const sha256 = await timeMedian(peers.sha256, file.file, out)
    return { file, zstd, zstdParallel, unchecked, checked, restored: restored.seconds, decode, unzstd, sha256 }
  })

const over = (peer: number | undefined, time: number): string => (peer === undefined ? '-' : ratio(peer / time))

const target = (what: string, peer: number | undefined, time: number, least: number): string[] =>
  peer === undefined ? [] : [judged(`${what} at least ${least}`, peer / time >= least)]

export const benchStage = async (options: { quick: boolean; mib?: number }): Promise<Section[]> => {
  const mib = options.mib ?? (options.quick ? 256 : 1024)
  const { file, zstd, zstdParallel, unchecked, checked, restored, decode, unzstd, sha256 } = await measure(mib)
  const { size } = file
  const timed = (what: string, time: number | undefined, cpu?: number): string[] =>
    time === undefined
      ? [what, '-', '-', '-', '-', '-']
      : [
          what,
          seconds(time),
          megabytesPerSecond(size, time),
          cpu === undefined ? '-' : ((cpu * 1e9) / size).toFixed(2),
          over(zstd, time),
          over(zstdParallel, time),
        ]
  const both = unzstd === undefined || sha256 === undefined ? undefined : unzstd + sha256
  const back = (what: string, time: number | undefined): string[] => [
    what,
    time === undefined ? '-' : seconds(time),
    time === undefined ? '-' : megabytesPerSecond(size, time),
    time === undefined ? '-' : ratio(time / restored),
  ]
  const absent = absentNote([peers.zstd3, peers.sha256])
  const missing = absent === undefined ? [] : [absent]
  return [
    {
      id: 'stage',
      title: `Copy of a ${humanBytes(size)} safetensors file (BF16) from disk to disk`,
      head: ['what', 'seconds', 'MB/s', 'CPU ms per MB', 'x zstd -3', 'x zstd -3 -T2'],
      rows: [
        timed(`copy stage, ${instances} instances, every body read back`, checked.seconds, checked.cpuSeconds),
        timed(`copy stage, ${instances} instances, without that check`, unchecked.seconds, unchecked.cpuSeconds),
        timed('zstd -3', zstd),
        timed('zstd -3 -T2', zstdParallel),
      ],
      notes: [
        `Median of ${rounds}. The copy function's own code with the ledger in memory: it cuts, hashes, encodes, takes CRC-64/NVME and CRC32C and writes ${((100 * checked.bytesSent) / size).toFixed(1)}% of the bytes. The functions always check; what that costs can be seen here alone.`,
        ...target('Target, with the check, x zstd -3 -T2', zstdParallel, checked.seconds, 0.9),
        ...target('Target, without it, x zstd -3 -T2', zstdParallel, unchecked.seconds, 1.5),
        ...missing,
      ],
    },
    {
      id: 'stage-restore',
      title: `Restore of a ${humanBytes(size)} safetensors file (BF16) from disk to disk`,
      head: ['what', 'seconds', 'MB/s', 'its time / restore time'],
      rows: [
        back('restore, every chunk and the whole proved, synced to disk', restored),
        back(`decoding the chunks alone, by ${instances} cores`, decode),
        back('zstd -d', unzstd),
        back('sha256sum', sha256),
        back('zstd -d, then sha256sum', both),
      ],
      notes: [
        `Median of ${rounds}; the command's own code with ${instances} threads that decode. Decoding alone is one thread's time over ${instances}.`,
        ...target('Target, of decoding alone', decode, restored, 0.8),
        ...target('Target, of zstd -d and sha256sum', both, restored, 1),
        ...missing,
      ],
    },
  ]
}
