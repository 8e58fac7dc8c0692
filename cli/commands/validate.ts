import { randomBytes } from 'node:crypto'
import { type Command, InvalidArgumentError } from 'commander'
import { collectLessOften } from '../../shared/collector.ts'
import { InvalidInputError } from '../../shared/errors.ts'
import type { Telemetry } from '../../shared/ports.ts'
import { scrubByHand, validateByHand } from '../../shared/proof/by-hand.ts'
import { type Report, writeReport } from '../../shared/proof/report.ts'
import { slices } from '../../shared/proof/scrub-body.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { AnsweredError, exitCodes, unlessInterrupted } from '../exit-codes.ts'
import { keySqueeze, noteSqueeze } from '../ls/listing.ts'
import { humanBytes, humanDuration, plural, printable, renderJson, renderTable, widthOf } from '../output.ts'
import { createProgress, type Progress } from '../progress.ts'
import { parseTarget } from '../target.ts'

type ValidateFlags = GlobalOptions & { scrub?: boolean; slice?: number | 'today'; report?: boolean }

const dayMs = 86_400_000

const silent: Telemetry = { count: () => undefined, log: () => undefined }

const scopeOf = (what: string | undefined): { model: string; version?: string } | undefined => {
  if (what === undefined) return undefined
  const target = parseTarget(what)
  if (target.kind !== 'model') throw new InvalidInputError(`found "${what}", expected MODEL or MODEL@VERSION`)
  return target
}

const isScrub = ({ scrub, slice }: ValidateFlags): boolean => scrub === true || slice !== undefined

/** A bar that begins when it is known of how much. */
const watchOf = (context: CliContext, options: ValidateFlags) => {
  let progress: Progress | undefined
  const shown = isScrub(options) ? { label: 'scrub' } : { label: 'validate', noun: 'manifests' }
  return {
    onTotal: (totalBytes: number) => {
      progress ??= createProgress(context, { ...shown, totalBytes, silent: Boolean(options.quiet || options.json) })
    },
    onDone: (done: number) => progress?.add(done),
    stop: () => progress?.stop(),
  }
}

const looked = ({ kind, counts }: Report): string =>
  kind === 'scrub'
    ? `${counts['bodies'] ?? 0} bodies, ${humanBytes(counts['bytes'] ?? 0)}`
    : [
        plural(counts['releases'] ?? 0, 'release'),
        plural(counts['manifests'] ?? 0, 'manifest'),
        plural(counts['parts'] ?? 0, 'part'),
        plural(counts['chunks'] ?? 0, 'chunk'),
      ].join(', ')

const hasLooked = ({ kind, counts }: Report): boolean => (counts[kind === 'scrub' ? 'bodies' : 'manifests'] ?? 0) > 0

const textOf = (context: CliContext, report: Report, reportName: string | undefined): string => {
  const { kind, scope, findings, findingsTotal, outcome } = report
  const took = humanDuration(Date.parse(report.endedAt) - Date.parse(report.startedAt))
  const verb = kind === 'scrub' ? 'read back' : 'looked at'
  const lines = [`${kind} ${outcome}: ${scope ?? 'the whole replica'}: ${verb} ${looked(report)}, in ${took}`]
  if (!hasLooked(report)) lines.push('it looked at nothing, which proves nothing')
  if (kind === 'validate')
    lines.push("compared with the replica's own records; the source and the ledger were not asked")
  if (reportName !== undefined) lines.push(`report: ${reportName}`)
  const head = `${lines.map(printable).join('\n')}\n`
  if (findingsTotal === 0) return head
  const rows = findings.map((finding) => [finding.kind, finding.subject, finding.detail])
  const width = widthOf(context.stdout)
  const table = renderTable(['finding', 'of', 'detail'], rows, [], {
    width,
    squeezes: [noteSqueeze('detail', 24), keySqueeze('of')],
  })
  const more = findingsTotal > findings.length ? `and ${findingsTotal - findings.length} more\n` : ''
  return `${head}\n${table}${more}`
}

const validate = async (context: CliContext, what: string | undefined, options: ValidateFlags): Promise<void> => {
  const scope = scopeOf(what)
  if (scope && isScrub(options))
    throw new InvalidInputError('--scrub and --slice read bodies whatever model they are of, and take no MODEL')
  const watch = watchOf(context, options)
  collectLessOften()
  const run = async (): Promise<{ report: Report; name: string | undefined }> => {
    const { store } = await context.openReplica(options)
    const deps = { store, clock: { now: () => context.now() }, telemetry: silent }
    const slice = options.slice === 'today' ? Math.floor(context.now() / dayMs) % slices : options.slice
    const report = isScrub(options) ? await scrubByHand(deps, slice, watch) : await validateByHand(deps, scope, watch)
    const random = { next: () => 0, hex: (bytes: number) => randomBytes(bytes).toString('hex') }
    return { report, name: options.report ? await writeReport(store, random, report) : undefined }
  }
  let result: Awaited<ReturnType<typeof run>>
  try {
    result = await unlessInterrupted(context.signal, run)
  } finally {
    watch.stop()
  }
  const { report, name } = result
  const { format: _format, formatVersion: _version, ...facts } = report
  if (options.json) context.stdout.write(renderJson({ ...facts, report: name ?? null }))
  else context.stdout.write(textOf(context, report, name))
  if (report.outcome !== 'passed') throw new AnsweredError(exitCodes.findings)
}

const parseSlice = (text: string): number | 'today' => {
  if (text === 'today') return text
  const slice = Number(text)
  if (!/^\d+$/.test(text) || slice >= slices)
    throw new InvalidArgumentError(`expected a whole number from 0 to ${slices - 1}, or today.`)
  return slice
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('validate')
    .description('prove that the replica is whole: every manifest and all that it names')
    .argument('[model]', 'MODEL or MODEL@VERSION; without it everything in the replica')
    .option('--scrub', 'read back, decode and rehash every body instead')
    .option('--slice <number>', `with --scrub: one slice of ${slices}, or "today" for the one of the day`, parseSlice)
    .option('--report', 'write the report into the replica (needs the permission to create objects there)')
    .addHelpText(
      'after',
      `
Reads the replica alone and changes nothing in it. Manifests are read whole and compared with what names them, bodies are
looked at (there, with the recorded size, crc32c and generation); --scrub downloads them, which costs egress outside of
Google: run it in the bucket's region, a slice a day.
Exit codes: 0 passed; 1 there are findings (also where a manifest is corrupt), or it looked at nothing.

Examples:
  lifeboat validate --replica gs://my-replica
  lifeboat validate llama@2026-05-01 --json
  lifeboat validate --scrub --slice today --report`,
    )
    .action((what: string | undefined, _options, command: Command) =>
      validate(context, what, command.optsWithGlobals<ValidateFlags>()),
    )
}
