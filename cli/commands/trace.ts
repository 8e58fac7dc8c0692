import type { Command } from 'commander'
import { InvalidInputError } from '../../shared/errors.ts'
import { parseLimit } from '../arguments.ts'
import { type CliContext, configFile, loadConfig } from '../context.ts'
import { unlessInterrupted } from '../exit-codes.ts'
import { failIfDamaged, type Listing } from '../ls/listing.ts'
import { printable, renderJson, widthOf } from '../output.ts'
import { viewReplica } from '../replica-view.ts'
import { keyHelp, parseKeyText } from '../rows/key-text.ts'
import { configuredTable, type RowsOptions, withRows } from '../rows/place.ts'
import { parseTarget } from '../target.ts'
import { findById, findByUrl } from '../trace/find-object.ts'
import { traceRow } from '../trace/row.ts'
import { showObject } from '../trace/show-object.ts'

type TraceOptions = RowsOptions & { limit?: number }

const limitDefault = 20

const traceOfObject = async (context: CliContext, what: string, options: TraceOptions): Promise<Listing> => {
  const width = widthOf(context.stdout)
  if (/^[0-9a-f]{32}$/.test(what)) {
    const { store } = await viewReplica(context, options)
    return showObject({ trace: await findById(store, what), others: [] }, width, what)
  }
  const target = what.includes('://') ? parseTarget(what) : undefined
  if (target?.kind !== 'objects' || target.key === '')
    throw new InvalidInputError(
      `found "${what}", expected a trace id (32 hex digits), s3://bucket/key[#versionId], or TABLE KEY for a row`,
    )
  const { store } = await viewReplica(context, options)
  return showObject(await findByUrl(store, target.bucket, target.key), width)
}

const traceOfRow = async (context: CliContext, table: string, key: string, options: TraceOptions): Promise<Listing> => {
  const readings = parseKeyText(key, 2)
  const streams =
    options.instance === undefined
      ? configuredTable(await loadConfig(context, options), table, configFile(context, options)).streams
      : []
  const limits = { limit: options.limit ?? limitDefault, width: widthOf(context.stdout) }
  const found = await withRows(context, table, options, (rows, target) =>
    traceRow(rows, { table, target, streams }, readings, limits),
  )
  for (const warning of found.warnings) context.stderr.write(`lifeboat: ${printable(warning)}\n`)
  return found
}

const trace = async (
  context: CliContext,
  what: string,
  key: string | undefined,
  options: TraceOptions,
): Promise<void> => {
  const listing = await unlessInterrupted(context.signal, () =>
    key === undefined ? traceOfObject(context, what, options) : traceOfRow(context, what, key, options),
  )
  context.stdout.write(options.json ? renderJson(listing.json) : listing.text)
  failIfDamaged(listing)
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('trace')
    .description('the path of one object version, or the changes of one row, from the replica alone')
    .argument('<what>', 'a trace id of an object as logs have it, s3://bucket/key[#versionId], or a table')
    .argument('[key]', 'with a table: the key of the row')
    .option('--limit <changes>', `the last so many changes of a row (default: ${limitDefault})`, parseLimit)
    .option('--instance <project/instance>', 'use this Bigtable and no configuration; the table is then its name there')
    .addHelpText(
      'after',
      `
An object: when it was written in the source, planned, sealed, released, refused or deleted, with the time between. Of a
trace id nothing can be told but by reading records until one has it; s3://bucket/key is faster.

A row: the changes that its history keeps, with the trace id that the logs have for each. What was before a change is an
item (--json prints it), absent, or unknown. A trace id of a change does not tell the row: its key is needed.

${keyHelp}

Examples:
  lifeboat trace 5f0c3a1d9b7e42c68a1f0e3d2c4b5a69
  lifeboat trace s3://my-models/llama/2026-05-01/model.safetensors
  lifeboat trace users user=alice,at=17 --json`,
    )
    .action((what: string, key: string | undefined, _options, command: Command) =>
      trace(context, what, key, command.optsWithGlobals<TraceOptions>()),
    )
}
