import { type Command, Option } from 'commander'
import type { Config } from '../../shared/config.ts'
import { bothChecks } from '../../shared/doctor/both-checks.ts'
import { type Check, type Checked, unknown } from '../../shared/doctor/check.ts'
import { replicaChecks } from '../../shared/doctor/replica-checks.ts'
import { runChecks } from '../../shared/doctor/run.ts'
import { sourceChecks } from '../../shared/doctor/source-checks.ts'
import { type CliContext, configFile, type GlobalOptions, loadConfig } from '../context.ts'
import { showChecked, totalsOf } from '../doctor/show.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { renderJson, widthOf } from '../output.ts'
import { viewReplica } from '../replica-view.ts'

type DoctorOptions = GlobalOptions & { only?: 'source' | 'replica'; all?: boolean }

/** With --replica, or without a file here, the rules are those of the copy in the replica. */
const configOf = async (context: CliContext, options: DoctorOptions): Promise<{ config: Config; from: string }> => {
  if (options.replica === undefined)
    return { config: await loadConfig(context, options), from: configFile(context, options) }
  const { config, url } = await viewReplica(context, { ...options, quiet: true })
  if (!config)
    throw new AnsweredError(exitCodes.notFound, `there is no configuration in ${url}config/: give one by --config`)
  return { config, from: `${url}config/` }
}

type Opened = { checks: Check[]; close: () => Promise<void> | void }

/** A side that cannot be opened at all is one check that could not be made. */
const closed = (side: 'source' | 'replica', error: unknown): Opened => ({
  checks: [
    {
      id: `${side}-access`,
      side,
      subject: '',
      title: `the ${side} can be looked at`,
      run: async () => unknown(error instanceof Error ? error.message : String(error)),
    },
  ],
  close: () => undefined,
})

const openChecks = async (context: CliContext, options: DoctorOptions, config: Config): Promise<Opened[]> => {
  const { stage, only } = options
  const opened: Opened[] = []
  const open = async <T extends { close: () => Promise<void> | void }>(
    side: 'source' | 'replica',
    how: () => Promise<T>,
  ) => {
    if (only !== undefined && only !== side) return undefined
    try {
      return await how()
    } catch (error) {
      opened.push(closed(side, error))
      return undefined
    }
  }
  const source = await open('source', () => context.openSource(config))
  const replica = await open('replica', () => context.openReplicaFacts(config))
  if (source) opened.push({ checks: sourceChecks({ facts: source.facts, config, stage }), close: () => source.close() })
  if (replica)
    opened.push({ checks: replicaChecks({ facts: replica.facts, config, stage }), close: () => replica.close() })
  if (source && replica) {
    const checks = bothChecks({ source: source.facts, replica: replica.facts, config, stage })
    opened.push({ checks, close: () => undefined })
  }
  return opened
}

const answer = (checked: readonly Checked[]): void => {
  const { finding, unknown: unseen } = totalsOf(checked)
  if (finding > 0) throw new AnsweredError(exitCodes.findings)
  if (unseen > 0) throw new AnsweredError(exitCodes.unreachable)
}

const doctor = async (context: CliContext, options: DoctorOptions): Promise<void> => {
  const asked: DoctorOptions = options.replica === undefined ? options : { only: 'replica', ...options }
  const { config, from } = await configOf(context, asked)
  const opened = await openChecks(context, asked, config)
  try {
    const checks = opened.flatMap((one) => one.checks)
    const checked = await unlessInterrupted(context.signal, () => runChecks(checks))
    const json = {
      configuration: from,
      stage: asked.stage,
      only: asked.only ?? null,
      totals: totalsOf(checked),
      checks: checked,
    }
    const text = showChecked(checked, { width: widthOf(context.stdout), isWhole: options.all === true })
    context.stdout.write(options.json ? renderJson(json) : text)
    answer(checked)
  } finally {
    for (const { close } of opened) await close()
  }
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('doctor')
    .description('look at both sides, change nothing, and say what is missing and how to fix it')
    .addOption(new Option('--only <side>', 'look at one side alone').choices(['source', 'replica']))
    .option('--all', 'list what is right, too')
    .addHelpText(
      'after',
      `
Looks with AWS credentials (infra/aws/doctor-policy.json) and Google credentials (infra/gcp/doctor-role.yaml) at what a
deployment needs: buckets, streams, keys, functions, logins, tables, clocks, quotas, and what a restore needs without AWS.
A check that could not be made is unknown, with the reason. Ends with 0 where everything was looked at and is right, with 1
where something is to fix, and with 3 where nothing is, as far as could be seen.

Examples:
  lifeboat --stage prod doctor
  lifeboat doctor --only replica
  lifeboat doctor --json | jq -r '.checks[] | select(.outcome == "finding") | .fix'`,
    )
    .action((_options, command: Command) => doctor(context, command.optsWithGlobals<DoctorOptions>()))
}
