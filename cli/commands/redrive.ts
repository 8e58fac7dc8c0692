import type { Command } from 'commander'
import { z } from 'zod'
import { FunctionError } from '../../shared/errors.ts'
import type { Redriven } from '../../shared/features/redrive.ts'
import { type CliContext, configFile, type GlobalOptions, loadConfig } from '../context.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { plural, renderJson, renderTable, widthOf } from '../output.ts'
import { configuredTable } from '../rows/place.ts'

type RedriveOptions = GlobalOptions & { table?: string }

const redrivenSchema = z.object({
  redriven: z.int(),
  failures: z.int(),
  failed: z.array(z.object({ name: z.string(), reason: z.string() })),
  isComplete: z.boolean(),
})

type Invoke = (payload: unknown) => Promise<unknown>

/** All calls together; `failures` and `failed` are those of the last, which tried the earlier ones again. */
type Total = Redriven & { calls: number }

/**
 * Calls until all is done, or until a call ended before its time and redrove nothing: the next would do no better, since
 * what fails is tried first again.
 */
const redriveAll = async (
  payload: object,
  invoke: Invoke,
  name: string,
  report: (total: Total) => void,
): Promise<Total> => {
  let total: Total = { redriven: 0, failures: 0, failed: [], isComplete: false, calls: 0 }
  for (;;) {
    const parsed = redrivenSchema.safeParse(await invoke(payload))
    if (!parsed.success)
      throw new FunctionError(`${name} answered something else than counts: is it of another version?`)
    const { data } = parsed
    total = { ...data, redriven: total.redriven + data.redriven, calls: total.calls + 1 }
    if (data.isComplete || data.redriven === 0) return total
    report(total)
  }
}

const textOf = ({ redriven, failures, failed, isComplete }: Total, width: number | undefined): string => {
  const lines = [`redriven ${plural(redriven, 'change')}${failures > 0 ? `, ${failures} failed and stay` : ''}\n`]
  const rows = failed.map(({ name, reason }) => [name, reason])
  const squeezes = [{ column: 'reason', to: 'wrap', charactersMin: 30 }] as const
  if (failed.length > 0) lines.push(renderTable(['change', 'reason'], rows, [], { width, squeezes }))
  if (failures > failed.length) lines.push(`and ${failures - failed.length} more\n`)
  if (!isComplete) lines.push('not all were tried: what failed took all of the time that the function has\n')
  return lines.join('\n')
}

const findings = ({ failures, isComplete }: Total): string | undefined => {
  if (failures > 0) return `${plural(failures, 'change')} could not be redriven`
  return isComplete ? undefined : 'the function ran out of time before the first change'
}

const redrive = async (context: CliContext, options: RedriveOptions): Promise<void> => {
  const config = await loadConfig(context, options)
  const { table } = options
  if (table !== undefined) configuredTable(config, table, configFile(context, options))
  const name = `lifeboat-${options.stage}-redrive`
  // The only command that needs AWS: its client is loaded here.
  const { createFunctionInvoker } = await import('../../shared/clouds/aws/function-invoker.ts')
  const functions = createFunctionInvoker({ region: config.source.region })
  const isSilent = options.quiet === true || options.json === true
  const report = ({ redriven, failures, calls }: Total): void => {
    if (!isSilent) context.stderr.write(`call ${calls}: ${redriven} redriven, ${failures} failed so far; going on\n`)
  }
  try {
    const payload = { lifeboat: 'redrive', ...(table !== undefined && { table }) }
    if (!isSilent) context.stderr.write(`calling ${name}, which may take minutes\n`)
    const total = await unlessInterrupted(context.signal, () =>
      redriveAll(payload, (input) => functions.invoke(name, input), name, report),
    )
    const { isComplete, ...counts } = total
    const json = { function: name, table: table ?? null, ...counts, complete: isComplete }
    context.stdout.write(options.json ? renderJson(json) : textOf(total, widthOf(context.stdout)))
    const found = findings(total)
    if (found !== undefined) throw new AnsweredError(exitCodes.findings, found)
  } finally {
    functions.close()
  }
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('redrive')
    .description('have quarantined changes of rows read again from their source')
    .option('--table <name>', 'only those of this table of the configuration')
    .addHelpText(
      'after',
      `
Invokes the function lifeboat-STAGE-redrive in the region of the source, with AWS credentials (lambda:InvokeFunction), again
until all quarantined changes were tried. Ends with 1 where some could not be applied; they stay where they are.

Examples:
  lifeboat --stage prod redrive
  lifeboat redrive --table users --json`,
    )
    .action((_options, command: Command) => redrive(context, command.optsWithGlobals<RedriveOptions>()))
}
