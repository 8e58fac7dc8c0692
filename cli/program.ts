import { Command, CommanderError, Option } from 'commander'
import { LifeboatError } from '../shared/errors.ts'
import manifest from '../package.json' with { type: 'json' }
import * as backfill from './commands/backfill.ts'
import * as completion from './commands/completion.ts'
import * as config from './commands/config.ts'
import * as doctor from './commands/doctor.ts'
import * as diff from './commands/diff.ts'
import * as ls from './commands/ls.ts'
import * as redrive from './commands/redrive.ts'
import * as restore from './commands/restore.ts'
import * as rows from './commands/rows.ts'
import * as rpo from './commands/rpo.ts'
import * as status from './commands/status.ts'
import * as trace from './commands/trace.ts'
import * as validate from './commands/validate.ts'
import type { CliContext, GlobalOptions } from './context.ts'
import { AnsweredError, exitCodeOf, exitCodes, exitCodesHelp, InterruptedError } from './exit-codes.ts'
import { renderJson } from './output.ts'

const examples = `Examples:
  lifeboat status
  lifeboat doctor
  lifeboat config init --account 123456789012 --bucket my-models
  lifeboat ls --replica gs://my-replica
  lifeboat restore llama --replica gs://my-replica --to ./llama
  lifeboat restore llama@2026-05-01 --to ./llama
  lifeboat restore s3://my-models/configs/app.json --to ./configs
  lifeboat validate llama
  lifeboat rows get users user=alice,at=17 --at 2026-05-01T12:00:00Z

Results are on stdout, progress is on stderr. With --json stdout is one JSON object with "schema": 1.
Reading a replica needs Google credentials alone (gcloud auth application-default login, or a service account).`

/** The whole command; every file of `commands/` adds its own. */
export const createProgram = (context: CliContext): Command => {
  const program = new Command('lifeboat')
  program
    .description('A verified, restorable copy of model weights and feature rows in a second cloud.')
    .version(manifest.version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help of a command')
    .addOption(new Option('--config <file>', 'configuration file (default: lifeboat.yml here)').env('LIFEBOAT_CONFIG'))
    .addOption(new Option('--stage <name>', 'stage of the configuration').env('LIFEBOAT_STAGE').default('dev'))
    .option('--replica <url>', 'gs://bucket[/prefix]: use this replica and no configuration')
    .option('--json', 'print one JSON object on stdout')
    .option('--quiet', 'no progress on stderr')
    .option('--debug', 'print where an error came from')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => void context.stdout.write(text),
      writeErr: (text) => void context.stderr.write(text),
      outputError: (text, write) => write(`lifeboat: ${text.replace(/^error: /, '')}`),
    })
    .addHelpText('after', `\n${examples}`)
    .addHelpText('afterAll', `\n${exitCodesHelp}`)
  for (const command of [
    status,
    rpo,
    ls,
    restore,
    validate,
    rows,
    diff,
    redrive,
    backfill,
    trace,
    doctor,
    config,
    completion,
  ])
    command.register(program, context)
  return program
}

const messageOf = (error: unknown): string => {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof LifeboatError) return message
  return `unexpected: ${message.split('\n')[0] ?? ''} (run again with --debug to see where)`
}

const report = (context: CliContext, options: GlobalOptions, error: unknown): number => {
  const code = exitCodeOf(error)
  const message = messageOf(error)
  if (message !== '') context.stderr.write(`lifeboat: ${message}\n`)
  const origin = error instanceof AnsweredError ? error.cause : error
  if (options.debug && origin instanceof Error) context.stderr.write(`${origin.stack ?? ''}\n`)
  if (options.json && !(error instanceof AnsweredError)) {
    const name = error instanceof Error ? error.name : 'Error'
    context.stdout.write(renderJson({ error: { name, message, exitCode: code } }))
  }
  return code
}

/** Runs one command line (without `node` and the script) and answers its exit code; prints every error as one message. */
export const run = async (args: readonly string[], context: CliContext): Promise<number> => {
  const program = createProgram(context)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return exitCodes.fine
  } catch (error) {
    if (error instanceof CommanderError) return exitCodeOf(error)
    const interrupted = context.signal.aborted && !(error instanceof LifeboatError)
    const cause = interrupted ? new InterruptedError('interrupted', { cause: error }) : error
    return report(context, program.opts<GlobalOptions>(), cause)
  }
}
