import { decodeCells } from '../../../shared/features/cells.ts'
import { isTombstone } from '../../../shared/features/row-digest.ts'
import { equalItems, type Item } from '../../../shared/features/item.ts'
import { encodeRowKey } from '../../../shared/features/row-key.ts'
import { isStartKey } from '../../../shared/features/start.ts'
import type { Report } from '../../../shared/proof/report.ts'
import { objectManifestSchema, parseRecord } from '../../../shared/weights/manifest.ts'
import { type BackfillWorld, table } from '../../support/backfill-world.ts'
import { bucketName } from '../../support/weights-world.ts'

/** What is not as it should be once everything has come to rest. */

const shownMax = 5
const batchItems = 500

/** Counts all and keeps the first. */
const createProblems = () => {
  const shown: string[] = []
  let count = 0
  return {
    add: (text: string): void => {
      count += 1
      if (shown.length < shownMax) shown.push(text)
    },
    all: (): string[] => (count > shownMax ? [...shown, `${count - shownMax} more`] : shown),
  }
}

const idOf = (key: string, versionId: string | undefined): string => `${key}#${versionId}`

/** Every version of the bucket has a manifest, and what it names are the version's bytes. */
export const judgeObjects = async ({ world }: BackfillWorld): Promise<{ objects: number; problems: string[] }> => {
  const problems = createProblems()
  const found = new Set<string>()
  for await (const { name } of world.store.list('objects/')) {
    const manifest = parseRecord(objectManifestSchema, name, (await world.store.read(name))!)
    const { key, versionId } = manifest.source
    const body = world.source.bodyOf({ bucket: bucketName, key, ...(versionId === undefined ? {} : { versionId }) })
    if (manifest.state !== 'protected') problems.add(`${name} is ${manifest.state}`)
    else if (!body || !(await world.restore(manifest)).equals(body)) problems.add(`${name} is of other bytes`)
    else found.add(idOf(key, versionId))
  }
  let objects = 0
  for await (const { key, versionId } of world.source.versions(bucketName, '')) {
    objects += 1
    if (!found.has(idOf(key, versionId))) problems.add(`${key} ${versionId} has no manifest`)
  }
  return { objects, problems: problems.all() }
}

const keyOf = ({ pk }: Item): string => (pk && 'S' in pk ? pk.S : '')

/** Every row is what its item is, and there is none beside them. */
export const judgeRows = async ({ rows, items }: BackfillWorld): Promise<{ rows: number; problems: string[] }> => {
  const problems = createProblems()
  const compare = async (batch: readonly Item[]): Promise<void> => {
    const stored = await rows.read(
      table,
      batch.map((item) => encodeRowKey({ partition: { S: keyOf(item) } })),
    )
    for (const [index, item] of batch.entries()) {
      const row = stored[index]
      if (!row || isTombstone(row)) problems.add(`${keyOf(item)} is not there`)
      else if (!equalItems(decodeCells(row.cells), item)) problems.add(`${keyOf(item)} is another`)
    }
  }
  let batch: Item[] = []
  for await (const item of items.scan(table)) {
    if (batch.push(item) < batchItems) continue
    await compare(batch)
    batch = []
  }
  await compare(batch)
  let present = 0
  for await (const row of rows.scan(table, { start: Buffer.alloc(0) }))
    if (!isStartKey(row.key) && !isTombstone(row)) present += 1
  const count = items.count(table)
  if (present !== count) problems.add(`${present} rows are of ${count} items`)
  return { rows: count, problems: problems.all() }
}

/** Everything that was read became something, and nothing was counted twice. */
export const judgeAccounts = (
  accounts: Record<'objects' | 'rows', Report>,
  expected: { objects: number; bytes: number; pages: number },
): string[] => {
  const problems: string[] = []
  const equal = (what: string, found: number, wanted: number): void => {
    if (found !== wanted) problems.push(`${what}: ${found}, expected ${wanted}`)
  }
  const of = (name: keyof typeof accounts, count: string): number => accounts[name].counts[count] ?? 0
  for (const [name, { outcome, findings }] of Object.entries(accounts))
    if (outcome !== 'passed')
      problems.push(`the backfill of ${name} ${outcome}: ${JSON.stringify(findings.slice(0, 3))}`)
  for (const count of ['planned', 'done', 'protected'])
    equal(`objects ${count}`, of('objects', count), expected.objects)
  equal('bytes of objects', of('objects', 'bytesRead'), expected.bytes)
  equal('objects read', of('objects', 'read'), of('objects', 'done') + of('objects', 'leftToEvents'))
  const written = of('rows', 'done') + of('rows', 'newer') + of('rows', 'alreadyThere')
  equal('rows read', of('rows', 'read'), written)
  equal('pages', of('objects', 'pages') + of('rows', 'pages'), expected.pages)
  return problems
}
