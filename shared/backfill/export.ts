import { createHash } from 'node:crypto'
import { pipeline, Readable } from 'node:stream'
import { createGunzip } from 'node:zlib'
import * as z from 'zod'
import { CorruptError } from '../errors.ts'
import { parseItem } from '../features/attribute-json.ts'
import type { Scanned } from '../features/backfill-row.ts'
import { itemKeyOf, type KeyNames, ruleOfTable } from '../features/change.ts'
import type { ObjectSource, SourceObject } from '../ports.ts'
import { chainOf, type Export, type ExportFile, openExport } from './export-manifest.ts'
import { cursorOf, type PageDone } from './page.ts'
import { readParts } from './records.ts'
import { checkPage, type RowsPageDeps, writePage } from './rows.ts'
import { add, type Part, type Run, type TableSpec } from './run.ts'

/** Pages of the data files of exports: DynamoDB JSON, one item or change a line, in gzip. */

type Reader = Pick<ObjectSource, 'head' | 'read'>
export type ExportPageDeps = RowsPageDeps & { source: Reader }

/** `stage` counts exports from the newest on, `file` those of the part, `line` what was read of it. */
const cursorSchema = z.object({ stage: z.number(), file: z.number(), line: z.number() })
type Cursor = z.infer<typeof cursorSchema>
const atStart: Cursor = { stage: 0, file: 0, line: 0 }

const cursorOfPart = ({ cursor }: Part): Cursor =>
  cursorOf((value) => cursorSchema.safeParse(value).data, cursor) ?? atStart

export const openChain = async (
  source: Reader,
  { config, spec, checked }: { config: RowsPageDeps['config']; spec: TableSpec; checked: boolean },
): Promise<Export[]> => {
  const all: Export[] = []
  for (const url of spec.exports) all.push(await openExport(source, { config, table: spec.table, url, checked }))
  return chainOf(all)
}

const openFile = async (source: Reader, { bucket, key, md5, etag }: ExportFile): Promise<SourceObject> => {
  const object = await source.head({ bucket, key })
  if (object?.etag !== etag.replaceAll('"', ''))
    throw new CorruptError(`s3://${bucket}/${key} has ETag ${object?.etag ?? 'none'}, expected ${etag}`)
  const found = createHash('md5')
  for await (const piece of source.read(object, 0, object.size)) found.update(piece)
  const digest = found.digest('base64')
  if (digest !== md5) throw new CorruptError(`s3://${bucket}/${key} has MD5 ${digest}, expected ${md5}`)
  return object
}

async function* unzipped(source: Reader, object: SourceObject): AsyncGenerator<Buffer> {
  const plain = createGunzip()
  // Destroys `plain` with what the source throws, and the source where nobody reads on: the loop throws it.
  pipeline(Readable.from(source.read(object, 0, object.size)), plain, () => undefined)
  try {
    yield* plain as AsyncIterable<Buffer>
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && String(error.code).startsWith('Z_'))) throw error
    throw new CorruptError(`s3://${object.bucket}/${object.key} is not whole in gzip: ${error.message}`, {
      cause: error,
    })
  }
}

async function* linesOf(source: Reader, file: ExportFile): AsyncGenerator<string> {
  const object = await openFile(source, file)
  if (object.size === 0) return
  const decoder = new TextDecoder()
  let rest = ''
  for await (const piece of unzipped(source, object)) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) if (line.trim() !== '') yield line
  }
  if (rest.trim() !== '') yield rest
}

/** Of a full export `Item`; of an incremental one `Keys` and, unless the item is gone, `NewImage`. */
const scannedOf = (line: string, names: KeyNames, where: string): Scanned => {
  let record: { Item?: unknown; Keys?: unknown; NewImage?: unknown }
  try {
    record = JSON.parse(line) as typeof record
  } catch (cause) {
    throw new CorruptError(`${where} is not JSON`, { cause })
  }
  const image = record.Item ?? record.NewImage
  const item = image === undefined ? undefined : parseItem(image, where)
  const keys = item ?? parseItem(record.Keys, `${where}: Keys`)
  return { key: itemKeyOf(keys, names), item }
}

type Open = { id: string; line: number; lines: AsyncGenerator<string> }
const open = new WeakMap<object, Map<number, Open>>()

/** The lines of a file from `line` on; those of a call that goes on are not read again. */
const linesFrom = async (deps: ExportPageDeps, index: number, file: ExportFile, line: number): Promise<Open> => {
  const all = open.get(deps.rows) ?? new Map<number, Open>()
  open.set(deps.rows, all)
  const id = `${file.bucket}/${file.key}#${file.etag}`
  const known = all.get(index)
  if (known?.id === id && known.line === line) return known
  await known?.lines.return(undefined)
  const opened: Open = { id, line: 0, lines: linesOf(deps.source, file) }
  while (opened.line < line && !(await opened.lines.next()).done) opened.line += 1
  all.set(index, opened)
  return opened
}

const nextLine = async (reader: Open): Promise<IteratorResult<string>> => {
  try {
    return await reader.lines.next()
  } catch (error) {
    // What has thrown once says that it is at its end: the next call opens the file again.
    reader.line = Number.NaN
    throw error
  }
}

const isBehind = ({ phase, cursor }: Part, stage: number): boolean =>
  phase === 'pages' && (cursorSchema.safeParse(cursor).data?.stage ?? 0) < stage

const chains = new WeakMap<object, Map<string, Promise<Export[]>>>()

const chainOfRun = (deps: ExportPageDeps, run: Run, spec: TableSpec): Promise<Export[]> => {
  const known = chains.get(deps.rows) ?? new Map<string, Promise<Export[]>>()
  chains.set(deps.rows, known)
  const chain = known.get(run.id) ?? openChain(deps.source, { config: deps.config, spec, checked: true })
  known.set(run.id, chain)
  chain.catch(() => known.delete(run.id))
  return chain
}

/** One page of a part's files; `waits` where another part has not finished a newer export. */
export const exportPage = async (
  deps: ExportPageDeps,
  run: Run & { spec: TableSpec },
  { part, index, itemsMax }: { part: Part; index: number; itemsMax: number },
): Promise<PageDone | 'waits'> => {
  const { spec } = run
  const rule = ruleOfTable(deps.config, spec.table)
  const names = await deps.keys(spec.table)
  const chain = await chainOfRun(deps, run, spec)
  const cursor = cursorOfPart(part)
  const done: PageDone = { items: 0, bytes: 0, readUnits: 0, isLast: false }
  const stateAtMs = chain[0]?.toMs ?? 0
  await checkPage(deps, spec.table, `the export ${chain[0]?.url ?? ''}`, stateAtMs)
  const one = chain[cursor.stage]
  if (!one) return { ...done, isLast: true }
  if (cursor.stage > 0 && (await readParts(deps.state, run)).some((other) => isBehind(other, cursor.stage)))
    return 'waits'
  const file = one.files.filter((_, position) => position % run.parts === index)[cursor.file]
  if (!file) {
    part.cursor = { stage: cursor.stage + 1, file: 0, line: 0 }
    return { ...done, isLast: cursor.stage + 1 >= chain.length }
  }
  const reader = await linesFrom(deps, index, file, cursor.line)
  const scanned: Scanned[] = []
  while (scanned.length < itemsMax) {
    const next = await nextLine(reader)
    if (next.done) break
    reader.line += 1
    scanned.push(scannedOf(next.value, names, `line ${reader.line} of s3://${file.bucket}/${file.key}`))
    done.bytes += Buffer.byteLength(next.value)
  }
  const isFileDone = scanned.length < itemsMax
  if (isFileDone && reader.line !== file.items)
    throw new CorruptError(`s3://${file.bucket}/${file.key} has ${reader.line} items, expected ${file.items}`)
  await writePage(deps, part, { rule, names, stateAtMs }, scanned)
  add(part, 'pages', 1)
  add(part, 'bytesRead', done.bytes)
  part.cursor = isFileDone ? { ...cursor, file: cursor.file + 1, line: 0 } : { ...cursor, line: reader.line }
  return { ...done, items: scanned.length }
}
