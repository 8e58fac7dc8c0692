import { emulatorFile } from '../../test/support/bigtable.ts'
import { required } from '../../test/contract/bigtable-fuzz.ts'
import { runAgainstReference, runControl } from '../../test/contract/bigtable-fuzz-run.ts'
import { plantedBugs } from '../../test/contract/bigtable-planted.ts'

const controlOperations = 5000
const plantedOperations = 5000
const atLeastEach = 100

const say = (line: string): void => void process.stdout.write(`${line}\n`)

/**
 * The embedded Bigtable against Google's cbtemulator: the reference against itself, at least 20,000 seeded operations with
 * every operation and filter at least 100 times, and servers with planted bugs. Resolves false where anything of it fails.
 */
export const fuzzBigtableEvidence = async (options: { seed?: number; operations?: number } = {}): Promise<boolean> => {
  const { seed = 20261121, operations = 24_000 } = options
  const file = emulatorFile()
  if (file === undefined) {
    say('fuzz-bigtable: no cbtemulator on this machine (gcloud components install bigtable), nothing can be shown')
    return false
  }
  const control = await runControl(file, { seed, operations: controlOperations })
  say(`cbtemulator against itself: ${control.mismatch ?? `${control.operations} operations, 0 mismatches`}`)
  const run = await runAgainstReference(file, { seed, operations })
  say(`embedded against cbtemulator, seed ${seed}: ${run.mismatch ?? `${run.operations} operations, 0 mismatches`}`)
  const seldom = required.filter((kind) => (run.counts[kind] ?? 0) < atLeastEach)
  for (const kind of required) say(`  ${kind}: ${run.counts[kind] ?? 0}`)
  if (seldom.length > 0) say(`used fewer than ${atLeastEach} times: ${seldom.join(', ')}`)
  const missed: string[] = []
  for (const [name, rules] of Object.entries(plantedBugs)) {
    const planted = await runAgainstReference(file, { seed, operations: plantedOperations, rules })
    say(`planted, ${name}: ${planted.mismatch ? `found at operation ${planted.operations}` : 'NOT FOUND'}`)
    if (!planted.mismatch) missed.push(name)
  }
  return !control.mismatch && !run.mismatch && seldom.length === 0 && missed.length === 0
}

if (import.meta.main) process.exitCode = (await fuzzBigtableEvidence()) ? 0 : 1
