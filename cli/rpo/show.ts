import { keySqueeze, type Listing, versionSqueeze } from '../ls/listing.ts'
import { humanAge, humanBytes, labelColumns, labelled, plural, printable, renderTable } from '../output.ts'
import { inSeconds, tellsQueues } from '../status/alarms.ts'
import {
  type Loss,
  lossVerdict,
  type LossVerdict,
  messagesIn,
  openSeconds,
  type TableLoss,
  tableLosses,
  unknownSeconds,
} from './loss.ts'

type View = { nowMs: number; width: number | undefined; limit: number }

/** The first ones, and how many more there are. */
const limited = (lines: readonly string[], limit: number): string[] => {
  const more = lines.length - limit
  return more > 0 ? [...lines.slice(0, limit), `and ${more} more: --limit shows them`] : [...lines]
}

const objectLines = ({ objects, bytes }: Loss, { nowMs, width, limit }: View): string[] => {
  const [oldest] = objects
  if (!oldest) return ['none that was announced']
  const rows = objects
    .slice(0, limit)
    .map(({ record: { source, size }, plannedAt }) => [
      `s3://${source.bucket}/${source.key}`,
      source.version,
      humanBytes(size),
      humanAge(source.lastModified, nowMs),
      humanAge(plannedAt, nowMs),
    ])
  const fit = {
    width: width === undefined ? undefined : width - labelColumns,
    squeezes: [versionSqueeze('version'), keySqueeze('object')],
  }
  const table = renderTable(['object', 'version', 'size', 'changed', 'announced'], rows, ['size'], fit)
  const more = objects.length - rows.length
  return [
    `${plural(objects.length, 'version')}, ${humanBytes(bytes)}, the oldest changed ${humanAge(oldest.record.source.lastModified, nowMs)}`,
    ...table.trimEnd().split('\n'),
    ...(more > 0 ? [`and ${more} more: --limit shows them`] : []),
  ]
}

const releaseLines = ({ waiting, damaged }: Loss, limit: number): string[] => {
  const named = waiting.map(
    ({ model, version, bucket, reason }) =>
      `${model}${version === '-' ? '' : `@${version}`} (s3://${bucket}) is not whole: ${reason}`,
  )
  return limited([...damaged.map((name) => `${name} cannot be read`), ...named], limit)
}

const tableText = ({ table, changesAfter, lagSeconds, unknown, quarantined }: TableLoss): string => {
  const reasons = unknown.length > 0 ? `: ${unknown.join('; ')}` : ''
  const lag = lagSeconds === null ? `unknown how late${reasons}` : `${inSeconds(lagSeconds)} behind`
  const after = changesAfter === null ? lag : `changes after ${changesAfter} (${lag})`
  return `${table}: ${after}${quarantined > 0 ? `, and ${plural(quarantined, 'change')} in quarantine` : ''}`
}

const queueLines = ({ heartbeat }: Loss): string[] => {
  const messages = messagesIn(heartbeat)
  if (!heartbeat || messages === 0) return []
  const { queues, deadLetters } = heartbeat.objects
  const oldest = Math.max(0, ...queues.map(({ oldestSeconds }) => oldestSeconds ?? 0))
  const age = oldest > 0 ? `, the oldest of ${inSeconds(oldest)}` : ''
  return [`${plural(messages, 'message')} not worked off${age}; dead letters ${deadLetters}`]
}

const unknownLines = (loss: Loss, nowMs: number): string[] => {
  const { heartbeat } = loss
  const seconds = unknownSeconds(loss, nowMs)
  if (!heartbeat || seconds === null)
    return ['queues, tables and what was not yet announced: there is no heartbeat in the replica']
  const { lagSeconds, unknown } = heartbeat.objects
  return [
    `changes of the last ${inSeconds(seconds)}, since the heartbeat at ${heartbeat.at}`,
    ...(lagSeconds === null ? [`how late objects are: ${unknown.join('; ') || 'no reason was given'}`] : []),
  ]
}

const headline = ({ heartbeat }: Loss, verdict: LossVerdict, nowMs: number): string => {
  const texts = {
    nothing: `nothing would be lost but changes of the last ${heartbeat ? inSeconds(openSeconds(heartbeat, nowMs)) : ''}`,
    something: 'this would be lost:',
    unknown: 'nothing known would be lost, but not all is known:',
  }
  return `If AWS were gone for good now, ${texts[verdict]}`
}

const render = (loss: Loss, verdict: LossVerdict, view: View): string => {
  const { refused, heartbeat } = loss
  const { nowMs, limit } = view
  const tables = heartbeat ? tableLosses(heartbeat).map(tableText) : []
  const lines = [
    headline(loss, verdict, nowMs),
    ...labelled('objects', objectLines(loss, view)),
    ...(refused.length > 0
      ? labelled('refused', [`${plural(refused.length, 'version')}: "lifeboat ls --failed" has the reasons`])
      : []),
    ...labelled('releases', releaseLines(loss, limit)),
    ...labelled('queues', queueLines(loss)),
    ...labelled('rows', limited(tables, limit)),
    ...labelled('not known', unknownLines(loss, nowMs)),
  ]
  return `${lines.map(printable).join('\n')}\n`
}

const objectJson = ({ record: { source, size, traceId }, plannedAt }: Loss['objects'][number]) => ({
  bucket: source.bucket,
  key: source.key,
  version: source.version,
  bytes: size,
  changedAt: source.lastModified,
  plannedAt,
  traceId,
})

/** What `lifeboat rpo` prints. */
export const showLoss = (loss: Loss, view: View): Listing & { verdict: LossVerdict } => {
  const { objects, bytes, refused, waiting, damaged, heartbeat } = loss
  const { nowMs, limit } = view
  const verdict = lossVerdict(loss, nowMs)
  const json = {
    at: new Date(nowMs).toISOString(),
    lost: verdict,
    unknownSeconds: unknownSeconds(loss, nowMs),
    heartbeatAt: heartbeat?.at ?? null,
    totals: {
      objects: objects.length,
      bytes,
      oldestChangeAt: objects[0]?.record.source.lastModified ?? null,
      refused: refused.length,
      waiting: waiting.length,
      damaged: damaged.length,
      messages: heartbeat && tellsQueues(heartbeat) ? messagesIn(heartbeat) : null,
    },
    objects: objects.slice(0, limit).map(objectJson),
    refused: refused.slice(0, limit).map(({ bucket, key, version, reason, at, traceId }) => ({
      bucket: bucket ?? null,
      key: key ?? null,
      version: version ?? null,
      reason,
      at,
      traceId,
    })),
    waiting: waiting
      .slice(0, limit)
      .map(({ bucket, model, version, reason, at }) => ({ bucket, model, version, reason, at })),
    damaged: damaged.slice(0, limit),
    queues: heartbeat?.objects.queues ?? null,
    deadLetters: heartbeat?.objects.deadLetters ?? null,
    objectsLag: heartbeat ? { lagSeconds: heartbeat.objects.lagSeconds, unknown: heartbeat.objects.unknown } : null,
    tables: heartbeat ? tableLosses(heartbeat) : null,
  }
  return { json, text: render(loss, verdict, view), verdict }
}
