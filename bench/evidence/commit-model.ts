import { type CommitRules, designRules, losingRules } from '../../test/sim/commit-actions.ts'
import { exploreCommit } from '../../test/sim/commit-model.ts'
import type { RunResult, Topic } from './topic.ts'

const explore = async (rules: CommitRules, loses: boolean): Promise<RunResult> => {
  const { states, losses, complete } = exploreCommit({ rules, stopAtLoss: loses })
  const problems: string[] = []
  if (!loses && losses > 0) problems.push(`${losses} of ${states} states lose data`)
  if (!loses && !complete) problems.push('not every state was explored')
  if (loses && losses === 0) problems.push('loses nothing, although it must: the model proves nothing')
  return { figures: { states, losses }, problems }
}

export const commitModel: Topic = {
  name: 'commit-model',
  about: 'every interleaving of commit and collection: the design loses nothing, each rule that is left out does',
  seedsDefault: undefined,
  runs: () => [
    { name: 'the design', run: () => explore(designRules, false) },
    { name: 'pending before the last look', run: () => explore({ ...designRules, pendingBefore: 'look' }, false) },
    ...Object.entries(losingRules).map(([name, rules]) => ({ name, run: () => explore(rules, true) })),
  ],
}
