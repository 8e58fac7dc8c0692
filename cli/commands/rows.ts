import type { Command } from 'commander'
import { parseLimit, parsePastSecond } from '../arguments.ts'
import type { CliContext } from '../context.ts'
import { AnsweredError, unlessInterrupted } from '../exit-codes.ts'
import { printable, renderJson, widthOf } from '../output.ts'
import { getRow } from '../rows/get.ts'
import { keyHelp, parseKeyText } from '../rows/key-text.ts'
import { type RowsOptions, withRows } from '../rows/place.ts'
import { printScan } from '../rows/print-scan.ts'

type GetOptions = RowsOptions & { at?: string }
type ScanOptions = GetOptions & { partition?: string; limit?: number }

const secondOf = (context: CliContext, { at }: GetOptions): number | undefined =>
  at === undefined ? undefined : parsePastSecond(at, context.now())

const get = async (context: CliContext, table: string, key: string, options: GetOptions): Promise<void> => {
  const readings = parseKeyText(key, 2)
  const second = secondOf(context, options)
  const moment = second === undefined ? undefined : { second, nowSecond: Math.floor(context.now() / 1000) }
  const answer = await unlessInterrupted(context.signal, () =>
    withRows(context, table, options, (rows, target) =>
      getRow(rows, { table, target }, readings, { moment, width: widthOf(context.stdout) }),
    ),
  )
  for (const warning of answer.warnings) context.stderr.write(`lifeboat: ${printable(warning)}\n`)
  context.stdout.write(options.json ? renderJson(answer.json) : answer.text)
  if (answer.exitCode > 0) throw new AnsweredError(answer.exitCode)
}

const scan = async (context: CliContext, table: string, options: ScanOptions): Promise<void> => {
  const partition = options.partition === undefined ? undefined : parseKeyText(options.partition, 1)
  const second = secondOf(context, options)
  await withRows(context, table, options, (rows, target) =>
    printScan(
      context,
      rows,
      { table, target, partition, second, limit: options.limit },
      { json: options.json === true, quiet: options.quiet === true },
    ),
  )
}

const timeHelp = `TIME is RFC 3339 with a zone, and the answer is what the item was at the end of that second. What the replica did not
see is unknown, and said to be. Changes that have not yet arrived are in no answer.`

const instance = '--instance <project/instance>'
const instanceHelp = 'use this Bigtable and no configuration; TABLE is then its name there'
const at = '--at <time>'
const atHelp = 'as it was at the end of this second, such as 2026-05-01T12:00:00Z'

export const register = (program: Command, context: CliContext): void => {
  const rows = program.command('rows').description('read replicated DynamoDB items; needs Google credentials alone')
  rows
    .command('get')
    .description('print one item as it is, or as it was')
    .argument('<table>', 'a table of the configuration')
    .argument('<key>', 'NAME=VALUE[,NAME=VALUE] or DynamoDB JSON')
    .option(at, atHelp)
    .option(instance, instanceHelp)
    .addHelpText(
      'after',
      `
${keyHelp}
A deleted item is no longer there to compare with: its values are then taken in the order given, partition key first.

${timeHelp}
Ends with 0 for an item, 4 where there is (was) none, 1 where it is unknown. --json: state, item (DynamoDB JSON), reason.

Examples:
  lifeboat rows get users user=alice,at=17
  lifeboat rows get users user=alice,at=17 --at 2026-05-01T12:00:00+02:00 --json
  lifeboat rows get users '{"user":{"S":"alice"}}' --instance my-project/features`,
    )
    .action((table: string, key: string, _options, command: Command) =>
      get(context, table, key, command.optsWithGlobals<GetOptions>()),
    )
  rows
    .command('scan')
    .description('print every item of a table or a partition, as they are or as they were')
    .argument('<table>', 'a table of the configuration')
    .option('--partition <key>', 'only items with this partition key, as NAME=VALUE or DynamoDB JSON')
    .option(at, atHelp)
    .option('--limit <rows>', 'at most so many items (default: all)', parseLimit)
    .option(instance, instanceHelp)
    .addHelpText(
      'after',
      `
One item a line, in the order of partitions by their hash and then of sort keys; shortened on a terminal only.
Rows that are unknown at the time are listed and make the exit code 1, damaged ones 5; the others are printed all the same.
--json prints {..., "items": [...], "counts": {...}}, an item a line as they come, with "error" where it broke off.

A partition is given as the partition key of "lifeboat rows get --help" is: user=alice, user=S:alice or '{"user":{"S":"alice"}}'.

${timeHelp}

Examples:
  lifeboat rows scan users --limit 10
  lifeboat rows scan users --partition user=alice --at 2026-05-01T12:00:00Z
  lifeboat rows scan users --json > users.json`,
    )
    .action((table: string, _options, command: Command) => scan(context, table, command.optsWithGlobals<ScanOptions>()))
}
