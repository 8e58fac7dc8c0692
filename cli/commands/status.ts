import type { Command } from 'commander'
import type { CliContext, GlobalOptions } from '../context.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { renderJson, widthOf } from '../output.ts'
import { viewReplica } from '../replica-view.ts'
import { gather } from '../status/gather.ts'
import { showStatus } from '../status/screen.ts'

const status = async (context: CliContext, options: GlobalOptions): Promise<void> => {
  const facts = await unlessInterrupted(context.signal, async () =>
    gather(await viewReplica(context, options), context.now()),
  )
  const { json, text, alarms } = showStatus(facts, widthOf(context.stdout))
  context.stdout.write(options.json ? renderJson(json) : text)
  if (alarms.length > 0) throw new AnsweredError(exitCodes.findings)
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('status')
    .description('one screen: what is protected, what is late, what was proved; from the replica alone')
    .addHelpText(
      'after',
      `
The first line is the verdict: Protected, Behind (something is later than the RPO), Unknown (nobody can tell: no heartbeat,
no lag, no validation) or Problems found (dead letters, quarantine, a check that failed). All but Protected end with 1.

The AWS side writes a heartbeat into the replica every minute. Lags, queues and checks are those of the last heartbeat,
whose age is shown; models and pending objects are read from the replica as they are now. AWS is never asked.

Examples:
  lifeboat status
  lifeboat status --replica gs://my-replica
  lifeboat status --json | jq -r '.alarms[].text'`,
    )
    .action((_options, command: Command) => status(context, command.optsWithGlobals<GlobalOptions>()))
}
