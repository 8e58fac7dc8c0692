import type { Command } from 'commander'
import { newestHeartbeat } from '../../shared/proof/heartbeat.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { humanAge, printable, renderJson, widthOf } from '../output.ts'
import { asStored, viewReplica } from '../replica-view.ts'
import { ageSeconds, heartbeatAlarms } from '../status/alarms.ts'
import { gather } from '../status/gather.ts'
import { showStatus } from '../status/screen.ts'

type StatusFlags = GlobalOptions & { heartbeat?: boolean }

/** The age of the heartbeat and nothing else: a list of a day's heartbeats and one read, whatever the replica holds. */
const heartbeatStatus = async (context: CliContext, options: StatusFlags): Promise<void> => {
  const facts = await unlessInterrupted(context.signal, async () => {
    const { store, url } = await context.openReplica(options)
    const nowMs = context.now()
    return { url, nowMs, heartbeat: await asStored(newestHeartbeat(store, nowMs)) }
  })
  const { url, nowMs, heartbeat } = facts
  const alarms = heartbeatAlarms(facts)
  const seen = heartbeat
    ? { stage: heartbeat.stage, at: heartbeat.at, ageSeconds: ageSeconds(heartbeat.at, nowMs) }
    : null
  if (options.json) context.stdout.write(renderJson({ replica: url, heartbeat: seen, alarms }))
  else {
    const when = heartbeat ? `stage ${heartbeat.stage}, heartbeat ${humanAge(heartbeat.at, nowMs)}` : 'none'
    context.stdout.write(`${printable(alarms[0]?.text ?? `${url}: ${when}`)}\n`)
  }
  if (alarms.length > 0) throw new AnsweredError(exitCodes.findings)
}

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
    .option('--heartbeat', 'only how old the heartbeat is, which costs little at any size: for a watch that runs often')
    .addHelpText(
      'after',
      `
The first line is the verdict: Protected, Behind (something is later than the RPO), Unknown (nobody can tell: no heartbeat,
no lag, no validation) or Problems found (dead letters, quarantine, a check that failed). All but Protected end with 1.

The AWS side writes a heartbeat into the replica every minute. Lags, queues and checks are those of the last heartbeat,
whose age is shown; models and pending objects are read from the replica as they are now. AWS is never asked.

With --heartbeat: 0 where it is there and no more than two were missed, 1 where it is older or there is none.

Examples:
  lifeboat status
  lifeboat status --replica gs://my-replica
  lifeboat status --json | jq -r '.alarms[].text'
  lifeboat status --heartbeat --replica gs://my-replica`,
    )
    .action((_options, command: Command) => {
      const options = command.optsWithGlobals<StatusFlags>()
      return options.heartbeat ? heartbeatStatus(context, options) : status(context, options)
    })
}
