import { join } from 'node:path'
import { Argument, Command } from 'commander'
import { collectLessOften } from '../shared/collector.ts'
import { benchCodec } from './codec.ts'
import { benchCompare } from './compare.ts'
import { benchCopy } from './copy.ts'
import { benchImport } from './import.ts'
import { describeMachine } from './machine.ts'
import { benchMemory } from './memory.ts'
import { renderSection, type Section, writeSections } from './report.ts'
import { benchRestore } from './restore.ts'
import { benchRows } from './rows.ts'
import { benchStage } from './stage.ts'

/** `npm run bench`: what the functions and the command reach on this machine, beside programs that do a part of it. */

const benchmarks = {
  codec: benchCodec,
  stage: benchStage,
  copy: benchCopy,
  restore: benchRestore,
  memory: benchMemory,
  import: benchImport,
  rows: benchRows,
  compare: benchCompare,
} as const
type Name = keyof typeof benchmarks
const names = Object.keys(benchmarks) as Name[]

const documentFile = join(import.meta.dirname, '../docs/benchmarks.md')

const main = async (which: Name | 'all', options: { quick?: boolean; write?: boolean }): Promise<void> => {
  collectLessOften()
  const machine = describeMachine(new Date())
  process.stdout.write(`${machine}\n`)
  const sections: Section[] = []
  for (const name of which === 'all' ? names : [which]) {
    const found = await benchmarks[name]({ quick: options.quick === true })
    for (const section of found) process.stdout.write(renderSection(section))
    sections.push(...found)
  }
  if (options.write) await writeSections(documentFile, sections, machine)
}

await new Command('npm run bench --')
  .description(
    'Measures throughput, memory and import times on the embedded clouds, beside zstd, sha256sum and bare calls.',
  )
  .addArgument(new Argument('[which]', 'what to measure').choices([...names, 'all']).default('all'))
  .option('--quick', 'smaller files: a look, not a result')
  .option('--write', 'put the results into docs/benchmarks.md')
  .addHelpText(
    'after',
    '\nLIFEBOAT_BENCH_DIR names a folder for the files, up to 10 GB, where the temporary one is small.',
  )
  .action(main)
  .parseAsync()
