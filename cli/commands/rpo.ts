import type { Command } from 'commander'
import { parseLimit } from '../arguments.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { renderJson, widthOf } from '../output.ts'
import { viewReplica } from '../replica-view.ts'
import { findLoss } from '../rpo/loss.ts'
import { showLoss } from '../rpo/show.ts'

type RpoOptions = GlobalOptions & { limit?: number }

const limitDefault = 20

const rpo = async (context: CliContext, options: RpoOptions): Promise<void> => {
  const nowMs = context.now()
  const loss = await unlessInterrupted(context.signal, async () => {
    const { store } = await viewReplica(context, options)
    return findLoss(store, nowMs)
  })
  const { json, text, verdict } = showLoss(loss, {
    nowMs,
    width: widthOf(context.stdout),
    limit: options.limit ?? (options.json ? Number.MAX_SAFE_INTEGER : limitDefault),
  })
  context.stdout.write(options.json ? renderJson(json) : text)
  if (verdict !== 'nothing') throw new AnsweredError(exitCodes.findings)
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('rpo')
    .description('what would be lost if AWS were gone for good now, exactly, from the replica alone')
    .option(
      '--limit <records>',
      `list at most so many of each kind (default: ${limitDefault}, with --json all); totals are of everything`,
      parseLimit,
    )
    .addHelpText(
      'after',
      `
Lost are the object versions that were announced and are not in the replica, releases that are not whole, and what the
last heartbeat says of queues and tables. What changed after that heartbeat is not known here, and is said to be.
Ends with 0 where nothing is lost but what may have come since a heartbeat that is not overdue, and with 1 otherwise.

Examples:
  lifeboat rpo
  lifeboat rpo --replica gs://my-replica --limit 100
  lifeboat rpo --json | jq -r '.objects[] | "s3://\\(.bucket)/\\(.key)"'`,
    )
    .action((_options, command: Command) => rpo(context, command.optsWithGlobals<RpoOptions>()))
}
