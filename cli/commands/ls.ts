import type { Command } from 'commander'
import { InvalidInputError } from '../../shared/errors.ts'
import { parseLimit } from '../arguments.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { unlessInterrupted } from '../exit-codes.ts'
import { listFailed } from '../ls/failed.ts'
import { failIfDamaged, type Listing, type View } from '../ls/listing.ts'
import { listMembers, listModels, listVersions } from '../ls/models.ts'
import { listKeys } from '../ls/objects.ts'
import { renderJson, widthOf } from '../output.ts'
import { parseTarget, type Target } from '../target.ts'

type LsOptions = GlobalOptions & { failed?: boolean; limit?: number }

const list = (view: View, target: Target | undefined, failed: boolean): Promise<Listing> => {
  if (failed) return listFailed(view)
  if (!target) return listModels(view)
  if (target.kind === 'objects') return listKeys(view, target)
  return target.version === undefined
    ? listVersions(view, target.model)
    : listMembers(view, target.model, target.version)
}

const ls = async (context: CliContext, what: string | undefined, options: LsOptions): Promise<void> => {
  const target = what === undefined ? undefined : parseTarget(what)
  if (target && options.failed) throw new InvalidInputError('--failed lists all of the replica and takes no name')
  const listing = await unlessInterrupted(context.signal, async () => {
    const { store } = await context.openReplica(options)
    const view = { store, nowMs: context.now(), width: widthOf(context.stdout), limit: options.limit }
    return list(view, target, options.failed === true)
  })
  context.stdout.write(options.json ? renderJson(listing.json) : listing.text)
  failIfDamaged(listing)
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('ls')
    .description('list what the replica holds and what is on its way there')
    .argument('[what]', 'MODEL, MODEL@VERSION or s3://bucket/prefix; without it every model and source bucket')
    .option('--failed', 'what was refused, quarantined or superseded, and releases that wait, with reasons')
    .option(
      '--limit <records>',
      'at most so many records of each kind (default: 1000; 100000 names to count and to find what is pending)',
      parseLimit,
    )
    .addHelpText(
      'after',
      `
States: protected (checked against the source's own checksum), sealed (the source had none to check against), pending
(planned and not yet sealed), waiting (a release that lacks something), refused, quarantined, superseded.
A terminal shows version ids shortened; s3://bucket/key#BEGINNING names a version by its first 8 characters or more.

Examples:
  lifeboat ls --replica gs://my-replica
  lifeboat ls llama
  lifeboat ls llama@2026-05-01
  lifeboat ls s3://my-models/configs/ --json
  lifeboat ls --failed`,
    )
    .action((what: string | undefined, _options, command: Command) =>
      ls(context, what, command.optsWithGlobals<LsOptions>()),
    )
}
