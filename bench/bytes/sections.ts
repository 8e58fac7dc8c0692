import { judged, mebibytes, ratio, type Section, seconds } from '../report.ts'
import type { Contestant, Kept, Result } from './contestants.ts'
import { lifeboatName, type LifeboatResult } from './lifeboat.ts'
import type { Pair } from './pairs.ts'

/** The tables of what each keeps of a first and of a second version, and of what that takes. */

/** `sizes` of the two versions in bytes; `peers` in the order of the columns. */
export type Outcome = { pair: Pair; sizes: [number, number]; lifeboat: LifeboatResult; peers: Result[] }

const percent = (bytes: number, size: number): number => (100 * bytes) / size

/** Enough digits that a small share is not zero. */
const share = (value: number): string => (value === 0 ? '0' : value.toFixed(value < 1 ? 3 : value < 10 ? 2 : 1))

const nameOf = ({ pair }: Outcome): string => `${pair.kind}: ${pair.change}`

const bestOf = ({ peers }: Outcome, version: 0 | 1): number =>
  Math.min(...peers.map(({ versions }) => versions[version].bytes))

const besideBest = (outcome: Outcome, version: 0 | 1): string => {
  const own = outcome.lifeboat.versions[version].bytes
  return outcome.peers.length === 0 ? '-' : ratio(bestOf(outcome, version) / own)
}

const shares = ({ sizes, lifeboat, peers }: Outcome, version: 0 | 1): string[] =>
  [lifeboat, ...peers].map(({ versions }) => share(percent(versions[version].bytes, sizes[version])))

const mib = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)

const firstVersions = (outcomes: readonly Outcome[], names: string[], notes: string[]): Section => {
  const kinds = new Map(outcomes.toReversed().map((outcome) => [outcome.pair.kind, outcome]))
  return {
    id: 'peers-first',
    title: 'Bytes kept of a first version, % of its files',
    head: ['weights', 'MiB', lifeboatName, ...names, 'smallest peer / Lifeboat'],
    rows: [...kinds.values()]
      .toReversed()
      .map((outcome) => [outcome.pair.kind, mib(outcome.sizes[0]), ...shares(outcome, 0), besideBest(outcome, 0)]),
    notes,
  }
}

const secondVersions = (outcomes: readonly Outcome[], names: string[], notes: string[]): Section => ({
  id: 'peers-second',
  title: 'Bytes kept more for a second version, % of its files',
  head: ['weights: what the version changes', lifeboatName, 'of that bodies', ...names, 'smallest peer / Lifeboat'],
  rows: outcomes.map((outcome) => {
    const [own = '', ...others] = shares(outcome, 1)
    const bodies = share(percent(outcome.lifeboat.bodyBytes[1], outcome.sizes[1]))
    return [nameOf(outcome), own, bodies, ...others, besideBest(outcome, 1)]
  }),
  notes,
})

const costs = ({ cost: { seconds: time, cpuSeconds, rssMaxBytes } }: Kept): string[] => [
  seconds(time),
  seconds(cpuSeconds),
  rssMaxBytes === undefined ? '-' : mebibytes(rssMaxBytes),
]

const costRows = ({ pair, lifeboat, peers }: Outcome): string[][] => {
  const [own, ownNext] = lifeboat.versions
  return [lifeboat, ...peers].map(({ name, versions: [first, next] }) => [
    `${pair.kind}: ${name}`,
    ...costs(first),
    ratio(first.bytes / own.bytes),
    ratio(first.cost.cpuSeconds / own.cost.cpuSeconds),
    ...costs(next),
    ratio(next.bytes / ownNext.bytes),
    ratio(next.cost.cpuSeconds / ownNext.cost.cpuSeconds),
  ])
}

/** Pairs whose times are shown: one for each sort of work. */
const costed = new Set(['all-1', 'moved', 'fp32', 'trained-fp32'])

const costHead = (number: number): string[] => [
  `v${number} s`,
  `v${number} CPU s`,
  `v${number} peak MiB`,
  `v${number} bytes / Lifeboat's`,
  `v${number} CPU / Lifeboat's`,
]

const costSection = (outcomes: readonly Outcome[], notes: string[]): Section => {
  const shown = outcomes.filter(({ pair }) => costed.has(pair.id))
  return {
    id: 'peers-cost',
    title: 'What keeping both versions takes',
    head: ['weights: who', ...costHead(1), ...costHead(2)],
    rows: shown.flatMap(costRows),
    notes: [
      `The second version: ${shown.map(nameOf).join('; ')}.`,
      'Lifeboat reads from the embedded S3 and writes to the embedded GCS over sockets, each a process on the same cores whose CPU is not counted; its figures begin when its clients are built and end with the release sealed, every chunk decoded again before it was sent and the source’s checksum compared. Peers read and write files, their starting included, and have the cores to themselves.',
      ...notes,
    ],
  }
}

/** A target of DESIGN section 10 on bytes: % of the files, of bodies alone where records are not meant. */
type Target = { pair: string; version: 0 | 1; what: string; percentMax: number; bodies?: boolean }

const targets: readonly Target[] = [
  { pair: 'all-1', version: 0, what: 'first upload of BF16', percentMax: 67 },
  { pair: 'fp32', version: 0, what: 'first upload of FP32', percentMax: 83.5 },
  { pair: 'share', version: 1, what: '5% of the tensors changed by 1%', percentMax: 1.97 },
  { pair: 'grown', version: 1, what: 'vocabulary resized, chunk bytes', percentMax: 0.02, bodies: true },
  { pair: 'moved', version: 1, what: 'tensors moved, chunk bytes', percentMax: 0.01, bodies: true },
  { pair: 'renamed', version: 1, what: 'renamed, chunk bytes', percentMax: 0, bodies: true },
  { pair: 'all-1', version: 1, what: 'every tensor changed by 1%', percentMax: 27 },
  { pair: 'all-5', version: 1, what: 'every tensor changed by 5%', percentMax: 42 },
  { pair: 'all-10', version: 1, what: 'every tensor changed by 10%', percentMax: 49 },
]

/** What a larger vocabulary cannot do without: its new rows, at the ratio of a first upload. */
const grownNotes = (outcomes: readonly Outcome[]): string[] => {
  const grown = outcomes.find(({ pair: { id } }) => id === 'grown')
  if (!grown) return []
  const { lifeboat, sizes } = grown
  const rows = percent(sizes[1] - sizes[0], sizes[1])
  const packed = (rows * lifeboat.bodyBytes[0]) / sizes[0]
  return [
    `The new rows of the vocabulary are ${share(rows)}% of this file, and ${share(packed)}% at the ratio of a first upload: less can be kept of a larger model alone.`,
  ]
}

const targetSection = (outcomes: readonly Outcome[], notes: string[]): Section => {
  const rows: string[][] = []
  const missed: string[] = []
  for (const { pair, version, what, percentMax, bodies } of targets) {
    const outcome = outcomes.find(({ pair: { id } }) => id === pair)
    if (!outcome) continue
    const { lifeboat, sizes } = outcome
    const bytes = bodies === true ? lifeboat.bodyBytes[version] : lifeboat.versions[version].bytes
    const reached = percent(bytes, sizes[version]) <= percentMax
    if (!reached) missed.push(what)
    rows.push([what, share(percentMax), share(percent(bytes, sizes[version])), reached ? 'reached' : 'MISSED'])
  }
  return {
    id: 'peers-targets',
    title: 'Targets on bytes',
    head: ['what', 'target, % at most', 'kept %', 'verdict'],
    rows,
    notes: [
      judged(`All targets on bytes${missed.length > 0 ? ` (not: ${missed.join('; ')})` : ''}`, missed.length === 0),
      'Chunk bytes are those of chunks and deltas; the other targets are held against everything kept, with records.',
      ...grownNotes(outcomes),
      ...notes,
    ],
  }
}

const whatIsCounted = (contestants: readonly Contestant[]): string[] => [
  'Kept is the growth of the whole store: of Lifeboat chunks, deltas, parts, pending and sealed manifests and the release, as the replica’s own listing says them, after `lifeboat restore` of the second version compared equal to its files; of a peer every file of its repository or output.',
  ...contestants.map(({ name, what }) => `${name}: ${what}.`),
  'Of Xet this cannot show: its index records and shards, that it sends some known chunks again to keep files in few pieces, what others have uploaded, and the speed of its client, which is Rust on all cores and not this JavaScript.',
]

/** `notes` go below every table, `training` where the checkpoints are. */
export const sectionsOf = (
  outcomes: readonly Outcome[],
  contestants: readonly Contestant[],
  { notes, training }: { notes: string[]; training: string[] },
): Section[] => {
  const names = contestants.map(({ name }) => name)
  return [
    targetSection(outcomes, notes),
    firstVersions(outcomes, names, [...whatIsCounted(contestants), ...notes]),
    secondVersions(outcomes, names, [
      'Bodies are chunks and deltas; the rest are records, whose size hardly depends on that of the files.',
      'An update of 1% adds to each value a normal one with 1% of the tensor’s own standard deviation.',
      ...training,
      ...notes,
    ]),
    costSection(outcomes, notes),
  ]
}
