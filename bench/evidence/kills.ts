import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { killRun } from '../../test/stack/kill.ts'
import type { RunResult, Topic } from './topic.ts'

/** Of each kind at least a quarter, so that two seeds have ten and more of each. */
const killsPerSeed = 26

const runSeed = async (seed: number, say: (line: string) => void): Promise<RunResult> => {
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-kills-'))
  try {
    const report = await killRun({ seed, kills: killsPerSeed, dir, say })
    const { kills, targets, versions, releases, redriven, seconds, problems } = report
    if (problems.length === 0) await rm(dir, { recursive: true, force: true })
    else say(`what was left is in ${dir}`)
    return { figures: { kills, targets, versions, releases, redriven, seconds }, problems }
  } catch (error) {
    say(`what was left is in ${dir}`)
    throw error
  }
}

export const kills: Topic = {
  name: 'kills',
  about: 'publishes that go on while functions, runner and servers are killed: all arrive, whole and once',
  seedsDefault: 2,
  runs: (seeds) =>
    Array.from({ length: seeds }, (_, index) => ({
      name: `seed ${index + 1}`,
      run: (say) => runSeed(index + 1, say),
    })),
}
