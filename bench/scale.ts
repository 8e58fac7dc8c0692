import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { humanDuration } from '../cli/output.ts'
import { defaultPrices, pricesAsOf } from '../shared/backfill/prices.ts'
import { dollarsOf, quantitiesOf, speeds, type Work } from '../shared/backfill/quantities.ts'
import type { Spec } from '../shared/backfill/run.ts'

/**
 * `npm run scale`: how long a backfill of an AI service's whole state takes, minute by minute, from speeds that were measured
 * and limits that the clouds document (docs/scale.md has the sources), and what it costs.
 */

const tb = 1e12
const minuteSeconds = 60

type Objects = { name: string; bytes: number; objectBytes: number; sentShare: number; chunkBytes: number }

const datasets: readonly Objects[] = [
  { name: 'vectors', bytes: 2.5 * tb, objectBytes: 64e6, sentShare: 0.835, chunkBytes: 2 ** 20 },
  { name: 'weights', bytes: 0.35 * tb, objectBytes: 2e9, sentShare: 0.67, chunkBytes: 4 * 2 ** 20 },
  { name: 'datasets', bytes: 8 * tb, objectBytes: 16e6, sentShare: 1, chunkBytes: 2 ** 20 },
  { name: 'artefacts', bytes: 0.45 * tb, objectBytes: 5e6, sentShare: 1, chunkBytes: 2 ** 20 },
]
const features = { rows: 1e9, itemBytes: 1200 }

/** A limit that grows with load: it doubles after so long at it. */
type Growing = { perSecond: number; doublesMinutes: number; mostPerSecond: number }

const gcsCreates: Growing = { perSecond: 1000, doublesMinutes: 20, mostPerSecond: 64_000 }
const ledgerWrites: Growing = { perSecond: 4000, doublesMinutes: 30, mostPerSecond: 40_000 }

const at = ({ perSecond, doublesMinutes, mostPerSecond }: Growing, minute: number): number =>
  Math.min(mostPerSecond, perSecond * 2 ** Math.floor(minute / doublesMinutes))

export type Simulated = { minutes: number; boundBy: string }

const shortest = (rates: Readonly<Record<string, number>>): [name: string, rate: number] =>
  Object.entries(rates).reduce((least, entry) => (entry[1] < least[1] ? entry : least))

/** Everything of one kind, one minute after the other, at the rate of what bounds it then. */
const simulate = (total: number, ratesAt: (minute: number) => Record<string, number>): Simulated => {
  let left = total
  let minutes = 0
  const bound = new Map<string, number>()
  while (left > 0) {
    const [name, rate] = shortest(ratesAt(minutes))
    bound.set(name, (bound.get(name) ?? 0) + 1)
    left -= rate * minuteSeconds
    minutes += 1
  }
  const [boundBy = ''] = [...bound].toSorted((a, b) => b[1] - a[1])[0] ?? []
  return { minutes, boundBy }
}

const workOf = ({ bytes, objectBytes, sentShare, chunkBytes }: Objects): Work => {
  const objects = Math.ceil(bytes / objectBytes)
  return {
    read: objects,
    done: objects,
    bytesRead: bytes,
    bytesSent: bytes * sentShare,
    readUnits: 0,
    chunks: Math.ceil(bytes / Math.min(chunkBytes, objectBytes)),
    segments: objects * Math.max(1, Math.ceil(objectBytes / 2 ** 28)),
  }
}

const objectsSpec: Spec = { kind: 'objects', bucket: 'b', prefix: '', versions: 'all' }

/** In objects a second. */
const simulateObjects = (set: Objects, copies: number, listers: number): Simulated => {
  const work = workOf(set)
  const per = (count: number): number => count / work.done
  const { gcsCreates: creates, dynamodbWrites: writes } = quantitiesOf(objectsSpec, work)
  return simulate(work.done, (minute) => ({
    'network of the copies': (copies * speeds.copyBytesPerSecond) / set.objectBytes,
    planning: listers * speeds.objectsPerSecond,
    'creates of the bucket': at(gcsCreates, minute) / per(creates),
    'writes of the ledger': at(ledgerWrites, minute) / per(writes),
  }))
}

/** A row is checked, written, and its history is written: of a node's rows a second read, and twice written. */
const nodeRowsPerSecond = 1 / (1 / 17_000 + 2 / 14_000)
const partitionReadUnits = 3000
const rowsPerReadUnit = 4096 / features.itemBytes

const simulateRows = (segments: number, nodes: number, readUnits: number): Simulated =>
  simulate(features.rows, () => ({
    functions: segments * speeds.rowsPerSecond,
    'nodes of Bigtable': nodes * nodeRowsPerSecond,
    'read capacity': readUnits * rowsPerReadUnit,
    'partitions read at once': segments * partitionReadUnits * rowsPerReadUnit,
  }))

const money = (amount: number): string => `$${amount.toLocaleString('en-US', { maximumFractionDigits: 0 })}`

const objectRows = (): string[][] =>
  [10, 50, 200].flatMap((copies) => {
    const lines = datasets.map((set) => {
      const { minutes, boundBy } = simulateObjects(set, copies, 1)
      const dollars = dollarsOf(quantitiesOf(objectsSpec, workOf(set)), defaultPrices)
      return { set, minutes, boundBy, dollars }
    })
    const all = lines.map(({ set, minutes, boundBy, dollars }) => [
      set.name,
      `${(set.bytes / tb).toFixed(2)} TB`,
      workOf(set).done.toLocaleString('en-US'),
      String(copies),
      humanDuration(minutes * 60_000),
      boundBy,
      money(dollars.egress),
      money(dollars.total - dollars.egress),
    ])
    const sum = (of: (line: (typeof lines)[number]) => number): number =>
      lines.reduce((total, line) => total + of(line), 0)
    return [
      ...all,
      [
        '**all, one after the other**',
        `${(sum(({ set }) => set.bytes) / tb).toFixed(2)} TB`,
        sum(({ set }) => workOf(set).done).toLocaleString('en-US'),
        String(copies),
        humanDuration(sum(({ minutes }) => minutes) * 60_000),
        '',
        money(sum(({ dollars }) => dollars.egress)),
        money(sum(({ dollars }) => dollars.total - dollars.egress)),
      ],
    ]
  })

const featureRows = (): string[][] =>
  [
    { segments: 4, nodes: 1, readUnits: 4000 },
    { segments: 16, nodes: 5, readUnits: 12_000 },
    { segments: 32, nodes: 20, readUnits: 40_000 },
    { segments: 32, nodes: 20, readUnits: Infinity },
  ].map(({ segments, nodes, readUnits }) => {
    const { minutes, boundBy } = simulateRows(segments, nodes, readUnits)
    const isExport = readUnits === Infinity
    const work: Work = {
      read: features.rows,
      done: features.rows,
      bytesRead: features.rows * features.itemBytes,
      bytesSent: features.rows * features.itemBytes * 1.1,
      readUnits: isExport ? 0 : features.rows / rowsPerReadUnit,
    }
    const spec: Spec = { kind: 'table', table: 't', exports: [], segments }
    const dollars = dollarsOf(quantitiesOf(spec, work), defaultPrices)
    // https://aws.amazon.com/dynamodb/pricing/on-demand/: an export is $0.10 a GB.
    const exported = isExport ? (work.bytesRead / 1e9) * 0.1 : 0
    return [
      isExport ? 'an export' : 'a scan',
      String(segments),
      String(nodes),
      isExport ? '-' : readUnits.toLocaleString('en-US'),
      humanDuration(minutes * 60_000),
      boundBy,
      money(dollars.egress),
      money(dollars.total - dollars.egress + exported),
    ]
  })

const markdown = (head: readonly string[], rows: readonly string[][]): string =>
  [head, head.map((_, index) => (index === 0 ? '---' : '---:')), ...rows]
    .map((cells) => `| ${cells.join(' | ')} |`)
    .join('\n')

const tables = (): string =>
  [
    `Simulated by \`npm run scale\`, in dollars of ${pricesAsOf}. One function lists and plans.`,
    '',
    markdown(
      ['objects', 'size', 'objects', 'copies at once', 'takes', 'bound by', 'egress', 'everything else'],
      objectRows(),
    ),
    '',
    '1.2 TB of features: 1,000,000,000 items of 1,200 bytes.',
    '',
    markdown(
      ['from', 'segments', 'Bigtable nodes', 'read units a second', 'takes', 'bound by', 'egress', 'everything else'],
      featureRows(),
    ),
  ].join('\n')

const [begin, end] = ['<!-- scale -->', '<!-- /scale -->']

const main = async ({ write }: { write?: boolean }): Promise<void> => {
  process.stdout.write(`${tables()}\n`)
  if (!write) return
  const file = join(import.meta.dirname, '../docs/scale.md')
  const text = await readFile(file, 'utf8')
  const [before = '', rest = ''] = text.split(begin)
  const [, after = ''] = rest.split(end)
  await writeFile(file, `${before}${begin}\n${tables()}\n${end}${after}`)
}

await new Command('npm run scale --')
  .description('Simulates the backfill of 12.5 TB and a billion rows.')
  .option('--write', 'put the tables into docs/scale.md')
  .action(main)
  .parseAsync()
