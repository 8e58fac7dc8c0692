import { type Command, InvalidArgumentError } from 'commander'
import type { BlobStore } from '../../shared/ports.ts'
import {
  findRelease,
  type FoundRelease,
  listFailures,
  listObjects,
  listReleases,
  listWaiting,
} from '../../shared/weights/catalog.ts'
import type { ReleaseManifest } from '../../shared/weights/manifest.ts'
import { InvalidInputError, NotFoundError } from '../../shared/errors.ts'
import type { CliContext, GlobalOptions } from '../context.ts'
import { humanAge, humanBytes, plural, renderJson, renderTable } from '../output.ts'
import { parseTarget } from '../target.ts'

type LsOptions = GlobalOptions & { failed?: boolean; limit: number }

const sizeOf = (release: ReleaseManifest): number => release.members.reduce((sum, { size }) => sum + size, 0)

const releaseFacts = ({ release }: FoundRelease): Record<string, unknown> => ({
  model: release.model,
  version: release.version,
  releaseId: release.releaseId,
  state: release.state,
  completeness: release.completeness,
  publishedAt: release.publishedAt,
  objects: release.members.length,
  bytes: sizeOf(release),
  parent: release.parent,
})

type Listing = { json: Record<string, unknown>; text: string }

const listModels = async (store: BlobStore, nowMs: number): Promise<Listing> => {
  const releases = await listReleases(store)
  const waiting = await listWaiting(store, releases)
  const models = Map.groupBy(releases, ({ release }) => release.model)
  const names = [...new Set([...models.keys(), ...waiting.map(({ model }) => model)])].sort()
  const facts = names.map((model) => {
    const versions = models.get(model) ?? []
    const newest = versions.find(({ release }) => release.state === 'protected') ?? versions[0]
    return {
      model,
      newest: newest ? releaseFacts(newest) : null,
      versions: versions.length,
      waiting: waiting.filter((record) => record.model === model).length,
    }
  })
  const rows = facts.map(({ model, versions, waiting: open }) => {
    const found = models.get(model) ?? []
    const release = (found.find((entry) => entry.release.state === 'protected') ?? found[0])?.release
    const state = release?.state ?? 'waiting'
    return [
      model,
      release?.version ?? '-',
      state,
      String(versions),
      String(release?.members.length ?? 0),
      release ? humanBytes(sizeOf(release)) : '-',
      release ? humanAge(release.publishedAt, nowMs) : '-',
      open > 0 ? `${open} waiting` : '',
    ]
  })
  const head = ['model', 'newest', 'state', 'versions', 'objects', 'size', 'published', '']
  const text =
    rows.length === 0
      ? 'no releases in the replica; "lifeboat ls s3://bucket/" lists single objects, "lifeboat ls --failed" what was refused\n'
      : renderTable(head, rows, ['versions', 'objects', 'size'])
  return { json: { models: facts }, text }
}

const listVersions = async (store: BlobStore, model: string, nowMs: number): Promise<Listing> => {
  const releases = await listReleases(store, model)
  const waiting = (await listWaiting(store, releases)).filter((record) => record.model === model)
  if (releases.length + waiting.length === 0)
    throw new NotFoundError(`the replica has no model ${model}: "lifeboat ls" lists what it has`)
  const rows = [
    ...waiting.map(({ version, reason, at }) => [version, 'waiting', '-', '-', '-', humanAge(at, nowMs), reason]),
    ...releases.map(({ release }) => [
      release.version,
      release.state,
      release.completeness,
      String(release.members.length),
      humanBytes(sizeOf(release)),
      humanAge(release.publishedAt, nowMs),
      release.parent ? `after ${release.parent.version}` : '',
    ]),
  ]
  const text = renderTable(['version', 'state', 'complete by', 'objects', 'size', 'published', ''], rows, [
    'objects',
    'size',
  ])
  return { json: { model, versions: releases.map(releaseFacts), waiting }, text }
}

const listMembers = async (store: BlobStore, model: string, version: string): Promise<Listing> => {
  const found = await findRelease(store, model, version)
  const members = found.release.members
  const rows = members.map(({ path, size, version: objectVersion }) => [path, humanBytes(size), objectVersion])
  return {
    json: { ...releaseFacts(found), members },
    text: renderTable(['path', 'size', 'object version'], rows, ['size']),
  }
}

const listKeys = async (
  store: BlobStore,
  target: { bucket: string; key: string },
  limit: number,
  nowMs: number,
): Promise<Listing> => {
  const { objects, truncated } = await listObjects(store, target.bucket, target.key, limit)
  const facts = objects.map(({ name, object }) => ({
    bucket: object.source.bucket,
    key: object.source.key,
    version: object.source.version,
    state: object.state,
    bytes: object.size,
    lastModified: object.source.lastModified,
    sealedAt: object.sealedAt,
    manifest: name,
  }))
  const rows = facts.map(({ key, version, state, bytes, lastModified }) => [
    key,
    version,
    state,
    humanBytes(bytes),
    humanAge(lastModified, nowMs),
  ])
  const none = `nothing in the replica begins with s3://${target.bucket}/${target.key}\n`
  const more = truncated ? `and more: this is the first ${plural(limit, 'record')}, --limit shows others\n` : ''
  const text = rows.length === 0 ? none : renderTable(['key', 'version', 'state', 'size', 'modified'], rows, ['size'])
  return { json: { objects: facts, truncated }, text: text + more }
}

const listFailed = async (store: BlobStore, nowMs: number): Promise<Listing> => {
  const failed = await listFailures(store)
  const waiting = await listWaiting(store, await listReleases(store))
  const rows = [
    ...waiting.map(({ bucket, model, version, reason, at }) => [
      'waiting',
      `${model}@${version} (s3://${bucket})`,
      humanAge(at, nowMs),
      reason,
    ]),
    ...failed.map(({ state, bucket, key, version, name, reason, at }) => [
      state,
      key === undefined ? (name ?? '-') : `s3://${bucket ?? ''}/${key}${version === undefined ? '' : `#${version}`}`,
      humanAge(at, nowMs),
      reason,
    ]),
  ]
  const text =
    rows.length === 0 ? 'nothing failed and nothing waits\n' : renderTable(['state', 'what', 'since', 'reason'], rows)
  return { json: { failed, waiting }, text }
}

const ls = async (context: CliContext, what: string | undefined, options: LsOptions): Promise<void> => {
  const target = what === undefined ? undefined : parseTarget(what)
  if (target && options.failed) throw new InvalidInputError('--failed lists all of the replica and takes no name')
  const { store } = await context.openReplica(options)
  const nowMs = context.now()
  const list = (): Promise<Listing> => {
    if (options.failed) return listFailed(store, nowMs)
    if (!target) return listModels(store, nowMs)
    if (target.kind === 'objects') return listKeys(store, target, options.limit, nowMs)
    return target.version === undefined
      ? listVersions(store, target.model, nowMs)
      : listMembers(store, target.model, target.version)
  }
  const { json, text } = await list()
  context.stdout.write(options.json ? renderJson(json) : text)
}

const parseLimit = (text: string): number => {
  const limit = Number(text)
  if (!Number.isSafeInteger(limit) || limit < 1) throw new InvalidArgumentError('expected a whole number from 1.')
  return limit
}

export const register = (program: Command, context: CliContext): void => {
  program
    .command('ls')
    .description('list what the replica holds')
    .argument('[what]', 'MODEL, MODEL@VERSION or s3://bucket/prefix; without it every model')
    .option('--failed', 'what was refused, quarantined or superseded, and releases that wait, with reasons')
    .option('--limit <records>', 'at most so many records of an s3:// listing', parseLimit, 1000)
    .addHelpText(
      'after',
      `
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
