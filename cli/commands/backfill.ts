import { type Command, InvalidArgumentError } from 'commander'
import { exportsMax, isRunId, type Limits, specSchema } from '../../shared/backfill/run.ts'
import { InvalidInputError, NotConfiguredError, NotFoundError } from '../../shared/errors.ts'
import { parseLimit } from '../arguments.ts'
import { changeBackfill, type BackfillOptions, listBackfills, runBackfill, showBackfill } from '../backfill/run.ts'
import { type CliContext, configFile, type GlobalOptions, loadConfig } from '../context.ts'
import { configuredTable } from '../rows/place.ts'
import { parseTarget } from '../target.ts'

type LimitOptions = { itemsPerSecond?: number; bytesPerSecond?: number; readUnitsPerSecond?: number }
type ObjectsOptions = BackfillOptions & LimitOptions & { current?: boolean }
type TableOptions = BackfillOptions & LimitOptions & { segments: number; export?: string[] }

const segmentsDefault = 4

const parseBytes = (text: string): number => {
  const [, digits, unit = ''] = /^(\d+(?:\.\d+)?)\s*(?:([KMG])i?B?)?$/i.exec(text) ?? []
  if (digits === undefined) throw new InvalidArgumentError('expected bytes, such as 500000, 64K, 20M or 1G.')
  const bytes = Math.round(Number(digits) * 1024 ** ' KMG'.indexOf(unit.toUpperCase() || ' '))
  if (!Number.isSafeInteger(bytes) || bytes < 1) throw new InvalidArgumentError('expected at least one byte.')
  return bytes
}

const limitsOf = ({
  itemsPerSecond: items,
  bytesPerSecond: bytes,
  readUnitsPerSecond: readUnits,
}: LimitOptions): Limits => ({
  ...(items === undefined ? {} : { items }),
  ...(bytes === undefined ? {} : { bytes }),
  ...(readUnits === undefined ? {} : { readUnits }),
})

const objects = async (context: CliContext, text: string, options: ObjectsOptions): Promise<void> => {
  const target = parseTarget(text)
  if (target.kind !== 'objects') throw new InvalidInputError(`found "${text}", expected s3://BUCKET/PREFIX`)
  const { bucket, key: prefix } = target
  const { buckets } = await loadConfig(context, options)
  if (!buckets.some(({ name }) => name === bucket)) {
    const names = [...new Set(buckets.map(({ name }) => name))].join(', ') || 'no buckets'
    throw new NotConfiguredError(`bucket ${bucket} is not configured: ${configFile(context, options)} names ${names}`)
  }
  const spec = specSchema.parse({ kind: 'objects', bucket, prefix, versions: options.current ? 'current' : 'all' })
  return runBackfill(context, options, { spec, limits: limitsOf(options) })
}

const problemOf = ({ segments, export: exports = [] }: TableOptions, path: readonly PropertyKey[]): string => {
  const [field, index] = path
  if (field === 'segments') return `--segments: found ${segments}, allowed: 1 to 32`
  return index === undefined
    ? `--export: found ${exports.length}, allowed: ${exportsMax} at most`
    : `--export: found "${exports[Number(index)]}", expected s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID`
}

const parseId = (text: string): string => {
  if (isRunId(text)) return text
  throw new InvalidInputError(`found "${text}", expected an id as "lifeboat backfill list" names it`)
}

const table = async (context: CliContext, name: string, options: TableOptions): Promise<void> => {
  const config = await loadConfig(context, options)
  try {
    configuredTable(config, name, configFile(context, options))
  } catch (error) {
    if (!(error instanceof NotFoundError)) throw error
    throw new NotConfiguredError(error.message, { cause: error })
  }
  const spec = specSchema.safeParse({
    kind: 'table',
    table: name,
    segments: options.segments,
    exports: options.export ?? [],
  })
  if (!spec.success) throw new InvalidInputError(problemOf(options, spec.error.issues[0]?.path ?? []))
  return runBackfill(context, options, { spec: spec.data, limits: limitsOf(options) })
}

const withRunOptions = (command: Command): Command =>
  command
    .option('--dry-run', 'only say what it would take, send and cost')
    .option('--no-estimate', 'begin at once: without an estimate there is no bar, and nothing beside what it cost')
    .option('--prices <file>', 'JSON with your prices in dollars, in the place of list prices')
    .option('--items-per-second <number>', 'at most so many objects or items (default: no limit)', parseLimit)
    .option(
      '--bytes-per-second <bytes>',
      'read at most so much, such as 20M (default: no limit); of objects it paces what is planned, not the copies',
      parseBytes,
    )
    .option('--detach', 'do not follow it')

const runHelp = `
It goes on by itself in the function lifeboat-STAGE-backfill, invoked with AWS credentials (lambda:InvokeFunction): an
interrupt of this command stops nothing. A second one of the very same joins it; one that overlaps is refused.

Ends with 0 when all is in the replica, with 1 where some could not be brought in or is under way by an event, or there
was nothing.
`

export const register = (program: Command, context: CliContext): void => {
  const backfill = program
    .command('backfill')
    .description('bring in what was there before Lifeboat, while production runs')
    .addHelpText(
      'after',
      `
Examples:
  lifeboat backfill objects s3://my-models/llama/ --dry-run
  lifeboat backfill table users --read-units-per-second 500
  lifeboat backfill list`,
    )
  withRunOptions(backfill.command('objects'))
    .description('objects of a bucket under a prefix')
    .argument('<url>', 's3://BUCKET/PREFIX')
    .option('--current', 'of every key only the version that is there now (default: all versions)')
    .addHelpText(
      'after',
      `${runHelp}
Examples:
  lifeboat backfill objects s3://my-models/ --dry-run
  lifeboat backfill objects s3://my-models/llama/ --bytes-per-second 50M`,
    )
    .action((url: string, _options, command: Command) =>
      objects(context, url, command.optsWithGlobals<ObjectsOptions>()),
    )
  withRunOptions(backfill.command('table'))
    .description('items of a table, by a scan or from an export')
    .argument('<table>', 'a table of the configuration')
    .option('--segments <number>', 'parts that are read at the same time', parseLimit, segmentsDefault)
    .option('--read-units-per-second <number>', 'take at most so much read capacity (default: no limit)', parseLimit)
    .option(
      '--export <urls...>',
      's3://BUCKET/PREFIX/AWSDynamoDB/ID of a full export, and of incremental ones after it, in the place of a scan',
    )
    .addHelpText(
      'after',
      `${runHelp}
Examples:
  lifeboat backfill table users --dry-run
  lifeboat backfill table users --segments 8 --read-units-per-second 2000
  lifeboat backfill table users --export s3://my-exports/AWSDynamoDB/01700000000000-abcdef01`,
    )
    .action((name: string, _options, command: Command) => table(context, name, command.optsWithGlobals<TableOptions>()))
  backfill
    .command('list')
    .description('the last backfills, newest first')
    .action((_options, command: Command) => listBackfills(context, command.optsWithGlobals<GlobalOptions>()))
  backfill
    .command('show')
    .description('how far one is, what it could not bring in, and its account at the end')
    .argument('<id>', 'as list names it')
    .action((id: string, _options, command: Command) =>
      showBackfill(context, command.optsWithGlobals<GlobalOptions>(), parseId(id)),
    )
  const changes = {
    pause: 'nothing more is sent, within seconds, until it is resumed',
    resume: 'go on where it was paused',
    cancel: 'end it for good: its report says where it was left',
  } as const
  for (const action of ['pause', 'resume', 'cancel'] as const)
    backfill
      .command(action)
      .description(changes[action])
      .argument('<id>', 'as list names it')
      .action((run: string, _options, command: Command) =>
        changeBackfill(context, command.optsWithGlobals<GlobalOptions>(), { action, run: parseId(run) }),
      )
}
