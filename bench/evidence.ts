import { Command, InvalidArgumentError } from 'commander'
import { backfill } from './evidence/backfill.ts'
import { commitModel } from './evidence/commit-model.ts'
import { fuzzBigtable } from './evidence/fuzz-bigtable.ts'
import { fuzzDynamoDb } from './evidence/fuzz-dynamodb.ts'
import { kills } from './evidence/kills.ts'
import { evidenceFile, openEvidence, saveRun } from './evidence/progress.ts'
import { rows } from './evidence/rows.ts'
import { rowsSim } from './evidence/rows-sim.ts'
import { rowsCompare } from './evidence/rows-compare.ts'
import type { Run, RunResult, Topic } from './evidence/topic.ts'
import { weightsSim } from './evidence/weights-sim.ts'

/** `npm run evidence -- TOPIC`: the long runs, recorded in docs/evidence/TOPIC.json with machine, commit and seeds. */

const topics: readonly Topic[] = [
  kills,
  commitModel,
  weightsSim,
  fuzzDynamoDb,
  fuzzBigtable,
  rows,
  rowsSim,
  rowsCompare,
  backfill,
]

const say = (line: string): void => void process.stdout.write(`${line}\n`)

const perform = async (run: Run): Promise<RunResult> => {
  try {
    return await run.run((line) => say(`  ${line}`))
  } catch (error) {
    return { figures: {}, problems: [error instanceof Error ? error.message : String(error)] }
  }
}

const gather = async (topic: Topic, options: { seeds?: number; again?: boolean }): Promise<boolean> => {
  let evidence = await openEvidence(topic, options.again === true)
  const wanted = topic.runs(options.seeds ?? topic.seedsDefault ?? 0)
  const done = new Set(evidence.runs.filter(({ passed }) => passed).map(({ name }) => name))
  for (const run of wanted) {
    if (done.has(run.name)) {
      say(`${topic.name}, ${run.name}: passed before, on this source`)
      continue
    }
    say(`${topic.name}, ${run.name} ...`)
    const startedAt = Date.now()
    const { figures, problems } = await perform(run)
    const seconds = Math.round((Date.now() - startedAt) / 1000)
    const passed = problems.length === 0
    const at = new Date().toISOString()
    evidence = await saveRun(evidence, { name: run.name, at, seconds, passed, figures, problems })
    for (const problem of problems) say(`  ${problem}`)
    say(`${topic.name}, ${run.name}: ${passed ? 'passed' : 'FAILED'} after ${seconds} s ${JSON.stringify(figures)}`)
  }
  const failed = evidence.runs.filter(({ passed }) => !passed).map(({ name }) => name)
  say(`${topic.name}: ${evidence.passed} passed, ${evidence.failed} failed ${JSON.stringify(evidence.figures)}`)
  if (failed.length > 0) say(`failed: ${failed.join(', ')}`)
  say(`recorded in ${evidenceFile(topic.name)}`)
  return failed.length === 0
}

const parseSeeds = (text: string): number => {
  const seeds = Number(text)
  if (!Number.isSafeInteger(seeds) || seeds < 1) throw new InvalidArgumentError('expected a whole number from 1.')
  return seeds
}

const listOf = (topic: Topic): string =>
  `  ${topic.name.padEnd(14)} ${topic.about}${topic.seedsDefault === undefined ? '' : ` (${topic.seedsDefault} seeds)`}`

const program = new Command('npm run evidence --')
  .description('Long runs that show what the design promises. One that was interrupted goes on where it was.')
  .argument('<topic>', 'what to show')
  .option('--seeds <number>', 'seeds 1 to this one', parseSeeds)
  .option('--again', 'forget what is on record of this source')
  .addHelpText(
    'after',
    `\nTopics:\n${topics.map(listOf).join('\n')}\n\nExit codes: 0 all passed, 1 something failed, 2 wrong usage.`,
  )
  .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : 2))
  .parse()

const topic = topics.find(({ name }) => name === program.args[0])
if (!topic) {
  process.stderr.write(`no topic ${program.args[0] ?? ''}: expected ${topics.map(({ name }) => name).join(', ')}\n`)
  process.exit(2)
}
process.exit((await gather(topic, program.opts<{ seeds?: number; again?: boolean }>())) ? 0 : 1)
