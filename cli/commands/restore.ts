import { resolve } from 'node:path'
import type { Command } from 'commander'
import { collectLessOften } from '../../shared/collector.ts'
import { InvalidInputError } from '../../shared/errors.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { findRelease } from '../../shared/weights/catalog.ts'
import { findObject } from '../../shared/weights/catalog-objects.ts'
import { createDecodePool } from '../../shared/weights/decode-pool.ts'
import { restoreFiles, type RestoredFile, type RestoreTarget } from '../../shared/weights/restore.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { unlessInterrupted } from '../exit-codes.ts'
import { openDisk } from '../disk.ts'
import { humanAge, humanBytes, humanDuration, plural, printable, renderJson } from '../output.ts'
import { createProgress } from '../progress.ts'
import { parseTarget, type Target } from '../target.ts'

type RestoreFlags = GlobalOptions & { to: string; overwrite?: boolean; allowCaseCollisions?: boolean }

/** `facts` go into the JSON as they are. */
type Chosen = {
  title: string
  state: string
  since: string
  facts: Record<string, unknown>
  files: RestoreTarget[]
  passedOver?: readonly string[]
}

const chooseRelease = async (store: BlobStore, model: string, version?: string): Promise<Chosen> => {
  const { release, passedOver } = await findRelease(store, model, version)
  const { state, publishedAt, releaseId, completeness } = release
  return {
    title: `${model}@${release.version}`,
    state,
    since: publishedAt,
    facts: { model, version: release.version, releaseId, state, completeness, publishedAt },
    files: release.members.map((member) => ({
      path: member.path,
      size: member.size,
      manifest: member.manifest,
      manifestDigest: member.manifestDigest,
      member,
    })),
    ...(version === undefined ? { passedOver } : {}),
  }
}

const chooseObject = async (store: BlobStore, target: Extract<Target, { kind: 'objects' }>): Promise<Chosen> => {
  if (target.key === '')
    throw new InvalidInputError('which object? expected s3://bucket/key; "lifeboat ls s3://bucket/" lists them')
  const { name, object } = await findObject(store, target.bucket, target.key)
  const { source, state, size, planId } = object
  const path = source.key.slice(source.key.lastIndexOf('/') + 1)
  if (path === '') throw new InvalidInputError(`s3://${target.bucket}/${source.key} is a folder and no file`)
  const { bucket, key, version, lastModified } = source
  return {
    title: `s3://${bucket}/${key}#${version}`,
    state,
    since: lastModified,
    facts: { bucket, key, version, state, lastModified },
    files: [{ path, size, manifest: name, member: { bucket, key, version, planId } }],
  }
}

const choose = async (
  context: CliContext,
  target: Target,
  options: RestoreFlags,
): Promise<{ store: BlobStore; chosen: Chosen }> => {
  const { store } = await context.openReplica(options)
  const chosen =
    target.kind === 'model' ? chooseRelease(store, target.model, target.version) : chooseObject(store, target)
  return { store, chosen: await chosen }
}

const summary = (
  chosen: Chosen,
  files: readonly RestoredFile[],
  to: string,
  context: CliContext,
  startedAt: number,
): string => {
  const restored = files.filter(({ outcome }) => outcome === 'restored')
  const kept = files.length - restored.length
  const bytes = restored.reduce((sum, file) => sum + file.bytes, 0)
  const unproved = restored.filter(({ provedBy }) => provedBy !== 'source checksum').length
  const lines = [
    `${chosen.title} (${chosen.state}, ${humanAge(chosen.since, context.now())}) is in ${to}`,
    `restored ${plural(restored.length, 'file')}, ${humanBytes(bytes)}, in ${humanDuration(context.now() - startedAt)}${kept > 0 ? `; kept ${kept} that had the same bytes` : ''}`,
  ]
  if (unproved > 0)
    lines.push(
      `${plural(unproved, 'file')} could be checked against the chunks' digests only: the manifest has no checksum of the source's to compute`,
    )
  return `${lines.map(printable).join('\n')}\n`
}

const restore = async (context: CliContext, text: string, options: RestoreFlags): Promise<void> => {
  const startedAt = context.now()
  const target = parseTarget(text)
  const { store, chosen } = await unlessInterrupted(context.signal, () => choose(context, target, options))
  for (const name of chosen.passedOver ?? [])
    context.stderr.write(
      `lifeboat: ${printable(name)} cannot be read and was passed over; restored is ${printable(chosen.title)}\n`,
    )
  const to = resolve(context.cwd, options.to)
  const progress = createProgress(context, {
    label: 'restore',
    totalBytes: chosen.files.reduce((sum, { size }) => sum + size, 0),
    silent: Boolean(options.quiet || options.json),
  })
  collectLessOften()
  const pool = createDecodePool()
  let files: RestoredFile[]
  try {
    files = await restoreFiles(store, await openDisk(to), chosen.files, {
      overwrite: options.overwrite ?? false,
      allowCaseCollisions: options.allowCaseCollisions ?? false,
      signal: context.signal,
      decode: pool.decode,
      onBytes: (bytes) => progress.add(bytes),
    })
  } finally {
    progress.stop()
    await pool.close()
  }
  if (options.json) context.stdout.write(renderJson({ ...chosen.facts, to, files }))
  else context.stdout.write(summary(chosen, files, to, context, startedAt))
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('restore')
    .description('restore a model or an object from the replica alone, verified')
    .argument('<what>', 'MODEL (its newest protected version), MODEL@VERSION or s3://bucket/key[#versionId]')
    .requiredOption('--to <dir>', 'folder to restore into; an object gets the last part of its key as its name')
    .option('--overwrite', 'replace files that have other content')
    .option('--allow-case-collisions', 'allow names that differ only in case or Unicode form')
    .addHelpText(
      'after',
      `
Every chunk is rehashed and every file is compared with the source's checksum before it gets its name. What an
interruption leaves are *.lifeboat-partial files; the same command goes on from there.

Examples:
  lifeboat restore llama --to ./llama
  lifeboat restore llama@2026-05-01 --replica gs://my-replica --to /models/llama
  lifeboat restore s3://my-models/configs/app.json --to ./configs`,
    )
    .action((what: string, _options, command: Command) =>
      restore(context, what, command.optsWithGlobals<RestoreFlags>()),
    )
}
