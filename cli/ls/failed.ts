import { listReleases } from '../../shared/weights/catalog.ts'
import { type Failure, listFailures, listWaiting } from '../../shared/weights/catalog-failures.ts'
import { humanAge, plural, renderTable } from '../output.ts'
import { keySqueeze, type Listing, noteSqueeze, recordsMaxDefault, type View } from './listing.ts'

/** What was refused, quarantined or superseded, and what waits. */

const nameOf = ({ bucket, key, version, name }: Failure): string => {
  if (key === undefined) return name ?? (bucket === undefined ? '-' : `s3://${bucket}`)
  return `s3://${bucket ?? ''}/${key}${version === undefined ? '' : `#${version}`}`
}

/** Failures whose object version was sealed since are in the JSON, with `since`; people see how many they are. */
export const listFailed = async ({ store, nowMs, width, limit }: View): Promise<Listing> => {
  const max = limit ?? recordsMaxDefault
  const { failed, truncated } = await listFailures(store, max)
  const { releases, damaged: unread } = await listReleases(store)
  const damaged = unread.map(({ name }) => name)
  const all = await listWaiting(store, releases, max)
  const open = failed.filter(({ since }) => since === undefined)
  const rows = [
    ...all.waiting.map(({ bucket, model, version, reason, at }) => [
      'waiting',
      `${model}${version === '-' ? '' : `@${version}`} (s3://${bucket})`,
      humanAge(at, nowMs),
      reason,
    ]),
    ...open.map((failure) => [failure.state, nameOf(failure), humanAge(failure.at, nowMs), failure.reason]),
  ]
  const squeezes = [noteSqueeze('reason', 36), keySqueeze('what', 40), noteSqueeze('reason')]
  const table = renderTable(['state', 'what', 'since', 'reason'], rows, [], { width, squeezes })
  const healed = failed.length - open.length
  const notes = [
    ...(healed > 0 ? [`and ${healed} that the replica has since (--json lists them)`] : []),
    ...(truncated || all.truncated ? [`these are the last ${plural(max, 'record')}: --limit shows others`] : []),
  ]
  const text = `${rows.length === 0 ? 'nothing failed and nothing waits\n' : table}${notes.map((line) => `${line}\n`).join('')}`
  return {
    json: {
      failed: failed.map(({ since, ...record }) => ({ ...record, since: since ?? null })),
      waiting: all.waiting,
      damaged,
      truncated: { failed: truncated, waiting: all.truncated },
    },
    text,
    damaged,
  }
}
