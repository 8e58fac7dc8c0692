import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Command } from 'commander'
import { toArray, mapInOrder } from '../../shared/bounded.ts'
import { collectLessOften } from '../../shared/collector.ts'
import { benchCopy } from '../copy.ts'
import { loadNote, loadOf } from '../load.ts'
import { withFolder } from '../local-stack.ts'
import { describeMachine } from '../machine.ts'
import { findProgram } from '../peers.ts'
import { renderSection, type Section, writeSections } from '../report.ts'
import { benchRestore } from '../restore.ts'
import { benchStage } from '../stage.ts'
import { trainedPairs } from './checkpoints.ts'
import { compete, type Contestant, contestants } from './contestants.ts'
import { benchEncode } from './encode.ts'
import { competeLifeboat } from './lifeboat.ts'
import { fullShape, quickShape } from './model.ts'
import { generatedPairs, type Pair, writePair } from './pairs.ts'
import { type Outcome, sectionsOf } from './sections.ts'

/** `npm run bench:peers`: what Lifeboat and others keep of two versions of a model, and how fast, on the same files. */

const documentFile = join(import.meta.dirname, '../../docs/benchmarks.md')
/** Small files of the speed tables, where a look has to do. */
const quickMib = 64
/** A share, all and nothing changed, and one of trained weights. */
const quickPairs = new Set(['share', 'all-5', 'renamed', 'trained-bf16'])

type Options = { quick?: boolean; write?: boolean; only?: string[]; bytes?: boolean }

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const measure = (pair: Pair, present: readonly Contestant[], atOnce: number): Promise<Outcome> =>
  withFolder(async (dir) => {
    const versions = await writePair(dir, pair)
    const inFolder = async <T>(name: string, work: (folder: string) => Promise<T>): Promise<T> => {
      const folder = join(dir, name)
      const result = await work(folder)
      await rm(folder, { recursive: true, force: true })
      return result
    }
    const lifeboat = await inFolder('lifeboat', async (folder) => competeLifeboat(folder, versions))
    const peers = await toArray(
      mapInOrder([...present.entries()], atOnce, async ([index, one]) =>
        inFolder(`peer-${index}`, async (folder) => compete(one, folder, versions)),
      ),
    )
    return { pair, sizes: [versions[0].size, versions[1].size], lifeboat, peers }
  })

const bytesSections = async (quick: boolean, only: readonly string[] | undefined): Promise<Section[]> => {
  const load = loadOf()
  const present = contestants.filter(({ needs }) => findProgram(needs) !== undefined)
  const absent = [...new Set(contestants.filter((one) => !present.includes(one)).map(({ needs }) => needs))]
  const notes: string[] = []
  if (absent.length > 0)
    notes.push(`${absent.join(', ')} not on the PATH: no comparison with ${absent.length > 1 ? 'them' : 'it'}.`)
  for (const note of notes) say(note)
  const training: string[] = []
  const trained = trainedPairs({ quick }, (line) => {
    say(line)
    training.push(`The network of the checkpoints: ${line}.`)
  })
  const all = [...generatedPairs(quick ? quickShape : fullShape), ...trained]
  const isWanted = ({ id }: Pair): boolean => only?.includes(id) ?? (!quick || quickPairs.has(id))
  const [pairs, left] = [all.filter(isWanted), all.filter((pair) => !isWanted(pair))]
  const outcomes: Outcome[] = []
  for (const pair of pairs) {
    const startedAt = performance.now()
    const outcome = await measure(pair, present, quick ? 2 : 1)
    outcomes.push(outcome)
    const kept = outcome.lifeboat.versions.map(({ bytes }, index) =>
      ((100 * bytes) / (outcome.sizes[index] ?? 0)).toFixed(2),
    )
    const seconds = ((performance.now() - startedAt) / 1000).toFixed(1)
    say(`${pair.id}: ${pair.kind}, ${pair.change}: Lifeboat keeps ${kept.join('% and then ')}%; ${seconds} s for all`)
  }
  if (quick) notes.push('Small files, and two peers at a time: bytes are a look, times are nothing.')
  if (left.length > 0) notes.push(`Left out: ${left.map(({ id }) => id).join(', ')}.`)
  return sectionsOf(outcomes, present, { training, notes: [...notes, ...loadNote(load)] })
}

const main = async ({ quick = false, write = false, only, bytes = false }: Options): Promise<void> => {
  collectLessOften()
  const machine = describeMachine(new Date())
  say(machine)
  const sections = await bytesSections(quick, only)
  for (const section of sections) process.stdout.write(renderSection(section))
  if (!bytes && only === undefined) {
    const size = quick ? { mib: quickMib } : {}
    // What needs the clouds takes as long to start as a look may take.
    for (const bench of quick ? [benchEncode, benchStage] : [benchEncode, benchStage, benchCopy, benchRestore]) {
      const found = await bench({ quick, ...size })
      for (const section of found) process.stdout.write(renderSection(section))
      sections.push(...found)
    }
  }
  if (write) await writeSections(documentFile, sections, machine)
}

await new Command('npm run bench:peers --')
  .description(
    'Keeps two versions of generated and trained models with Lifeboat and with zstd, rclone, restic, borg, casync and Xet’s chunks, and measures bytes, time, CPU and memory.',
  )
  .option('--quick', 'small files, two minutes: a look, not a result')
  .option('--write', 'put the results into docs/benchmarks.md')
  .option('--only <pair...>', 'some pairs of versions, without the tables of speed')
  .option('--bytes', 'without the tables of speed')
  .addHelpText(
    'after',
    '\nLIFEBOAT_BENCH_DIR names a folder for the files, up to 5 GB, where the temporary one is small.',
  )
  .action(main)
  .parseAsync()
