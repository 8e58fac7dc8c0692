import { execFile } from 'node:child_process'
import { writeFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { discard } from '../shared/weights/buffers.ts'
import {
  type Base,
  crc32c,
  encodeBody,
  encodeDelta,
  type EncodedBody,
  sha256Hex,
  hashBody,
} from '../shared/weights/codec.ts'
import { stored, tunedMatrix, weightMatrix } from './float-weights.ts'
import { withFolder } from './local-stack.ts'
import { loadNote, loadOf } from './load.ts'
import { judged, median, ratio, type Section } from './report.ts'

/** What the codecs make of chunks of each dtype, in bytes and CPU, beside `zstd -3` on the same bytes. */

const chunkBytes = 4 * 2 ** 20
const rounds = 5
const columns = 1024

type Chunk = { plain: Uint8Array; dtype: string; base?: Base }

const encode = ({ plain, dtype, base }: Chunk): EncodedBody =>
  (base && encodeDelta(plain, { dtype, base })) ?? encodeBody(plain, { dtype })

const readBack = ({ base }: Chunk, body: Uint8Array): string => hashBody(body, { plainBytesMax: chunkBytes, base })

const cpuSeconds = (work: () => void): number => {
  const before = process.cpuUsage()
  work()
  const { user, system } = process.cpuUsage(before)
  return (user + system) / 1e6
}

/** User and system time of `zstd -3` with one thread, as its shell counts it; undefined where there is none. */
const zstdCpuSeconds = async (file: string): Promise<number | undefined> => {
  try {
    const script = 'zstd -3 --single-thread -q -f -o "$1.zst" "$1" && times'
    const { stdout } = await promisify(execFile)('sh', ['-c', script, 'sh', file])
    const children = stdout.trim().split('\n').at(-1) ?? ''
    const times = [...children.matchAll(/(\d+)m([\d.]+)s/g)]
    return times.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0)
  } catch {
    return undefined
  }
}

/** Seconds of CPU: `check` decodes and hashes, `rest` is the chunk's id and the body's CRC32C. */
type Step = 'encode' | 'check' | 'rest'

type Measured = {
  name: string
  bytes: number
  storedBytes: number
  zstdBytes: number
  encode: number
  check: number
  rest: number
  zstd: number
}

/** Medians of rounds, in each of which every way runs once: what else uses the machine slows all alike. */
const measure = async (dir: string, name: string, chunks: readonly Chunk[]): Promise<Measured> => {
  const file = join(dir, 'plain')
  await writeFile(file, Buffer.concat(chunks.map(({ plain }) => plain)))
  const bodies: Uint8Array[] = []
  for (const chunk of chunks) bodies.push(encode(chunk).body)
  const steps: Record<Step, () => void> = {
    encode: () => {
      for (const chunk of chunks) discard(encode(chunk).body)
    },
    check: () => {
      for (const [index, chunk] of chunks.entries()) readBack(chunk, bodies[index] ?? new Uint8Array(0))
    },
    rest: () => {
      for (const [index, { plain }] of chunks.entries()) {
        sha256Hex(plain)
        crc32c(bodies[index] ?? new Uint8Array(0))
      }
    },
  }
  const times: Record<Step | 'zstd', number[]> = { encode: [], check: [], rest: [], zstd: [] }
  for (let round = 0; round < rounds; round += 1) {
    for (const [step, work] of Object.entries(steps)) times[step as Step].push(cpuSeconds(work))
    times.zstd.push((await zstdCpuSeconds(file)) ?? Number.NaN)
  }
  const bytes = chunks.reduce((sum, { plain }) => sum + plain.length, 0)
  return {
    name,
    bytes,
    storedBytes: bodies.reduce((sum, body) => sum + body.length, 0),
    zstdBytes: (await stat(`${file}.zst`).catch(() => ({ size: Number.NaN }))).size,
    encode: median(times.encode),
    check: median(times.check),
    rest: median(times.rest),
    zstd: median(times.zstd),
  }
}

const dtypeOf = (kind: string): string => kind.split(' ')[0] ?? kind

const bytesPerElement: Readonly<Record<string, number>> = { BF16: 2, F16: 2, F32: 4, I8: 1, F8_E4M3: 1 }

const matrices = (kind: string, count: number): Float32Array[] => {
  const rows = chunkBytes / columns / (bytesPerElement[dtypeOf(kind)] ?? 1)
  return Array.from({ length: count }, (_, index) => weightMatrix(rows, columns, index + 1))
}

const percent = (part: number, whole: number): string => ((100 * part) / whole).toFixed(2)
const rate = (bytes: number, cpu: number): string => (bytes / 1e6 / cpu).toFixed(0)

const rowOf = (one: Measured): string[] => {
  const { bytes, zstd } = one
  const checked = one.encode + one.check
  return [
    one.name,
    percent(one.storedBytes, bytes),
    percent(one.zstdBytes, bytes),
    rate(bytes, one.encode),
    rate(bytes, one.check),
    rate(bytes, checked + one.rest),
    rate(bytes, zstd),
    ratio(zstd / one.encode),
    ratio(zstd / checked),
    ratio(zstd / (checked + one.rest)),
  ]
}

const first = async (dir: string, count: number): Promise<Measured[]> => {
  const all: Measured[] = []
  for (const [kind, store] of Object.entries(stored)) {
    const chunks = matrices(kind, count).map((values) => ({ plain: store(values), dtype: dtypeOf(kind) }))
    all.push(await measure(dir, kind, chunks))
  }
  return all
}

const strengths = [0.001, 0.01, 0.05, 0.1]

const tuned = async (dir: string, count: number): Promise<Measured[]> => {
  const all: Measured[] = []
  for (const kind of ['BF16', 'F16', 'F32']) {
    const store = stored[kind]
    if (!store) continue
    const before = matrices(kind, count)
    for (const strength of strengths) {
      const chunks = before.map((values, index) => {
        const plain = store(values)
        const base = { id: sha256Hex(plain), plain }
        return { plain: store(tunedMatrix(values, strength, 5000 + index)), dtype: kind, base }
      })
      all.push(await measure(dir, `${kind}, changed by ${strength * 100}%`, chunks))
    }
  }
  return all
}

const judgedBelow = (all: readonly Measured[], targets: Readonly<Record<string, number>>): string[] =>
  Object.entries(targets).map(([name, limit]) => {
    const found = all.find((one) => one.name === name)
    return judged(
      `Target, ${name} at most ${limit}%`,
      found !== undefined && (100 * found.storedBytes) / found.bytes <= limit,
    )
  })

const head = [
  'what',
  'stored %',
  'zstd -3 %',
  'encode',
  'check',
  'all',
  'zstd -3',
  'encode x zstd -3',
  'with check x',
  'all x',
]
const explained =
  'Speeds are MB of plain bytes per second of CPU, of all threads: the check decodes and hashes what was encoded; all is these and the id (SHA-256) and CRC32C of a chunk. The last columns are ratios to `zstd -3 --single-thread`, whose CPU in steps of 10 ms is that of the same rounds.'

export const benchCodec = async ({ quick }: { quick: boolean }): Promise<Section[]> =>
  withFolder(async (dir) => {
    const load = loadOf()
    const count = quick ? 4 : 16
    const alone = await first(dir, count)
    const deltas = await tuned(dir, quick ? 2 : 8)
    const weights = alone.find(({ name }) => name === 'BF16')
    return [
      {
        id: 'codec',
        title: 'Chunks of 4 MiB by dtype, first upload',
        head,
        rows: alone.map(rowOf),
        notes: [
          `${count} matrices of each, normal with scales by row and column and 2% of elements 2.5 times as far out. ${explained}`,
          ...judgedBelow(alone, { BF16: 67, F32: 83.5 }),
          judged(
            'Target, BF16 without the check at least 1.9 times zstd -3',
            !!weights && weights.zstd / weights.encode >= 1.9,
          ),
          judged(
            'Target, BF16 with it at least 0.75 times',
            !!weights && weights.zstd / (weights.encode + weights.check) >= 0.75,
          ),
          ...loadNote(load),
        ],
      },
      {
        id: 'codec-delta',
        title: 'Chunks of 4 MiB as the difference to the version before',
        head,
        rows: deltas.map(rowOf),
        notes: [
          'Every element moved by a normal of that part of its matrix’s deviation. The base is in memory; reading it from the source is not counted.',
          ...judgedBelow(deltas, { 'BF16, changed by 1%': 27, 'BF16, changed by 5%': 42, 'BF16, changed by 10%': 49 }),
          ...loadNote(load),
        ],
      },
    ]
  })
