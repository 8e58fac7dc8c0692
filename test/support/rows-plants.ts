import type { Item } from '../../shared/features/item.ts'
import type { StoredRow } from '../../shared/features/row-store.ts'
import type { Report } from '../../shared/proof/report.ts'
import { createProofWorld, keyItem, rowKeyOf } from './rows-proof-world.ts'
import { markStart } from '../../shared/features/start.ts'

/** What is done behind the back of the one who replicates, and how a comparison is asked for. */

export type World = ReturnType<typeof createProofWorld>

export const rowOf = (world: World, item: Item): StoredRow =>
  world.rows.rows(world.table).find(({ key }) => Buffer.compare(key, rowKeyOf(item)) === 0)!
export const tamper = (world: World, item: Item, change: (row: StoredRow) => StoredRow | undefined): void =>
  world.rows.tamper(world.table, rowKeyOf(item), change(rowOf(world, item)))
export const withCell = (row: StoredRow, name: string, value: string): StoredRow => ({
  ...row,
  cells: new Map([...row.cells, [name, Buffer.from(value)]]),
})
export const full = async (world: World, repair = false): Promise<Report> => {
  const { report } = await world.check({ mode: 'full', repair })
  return report!
}
export const recent = async (world: World, repair = false): Promise<Report> => {
  const { report } = await world.check({ mode: 'recent', repair })
  return report!
}
export const kinds = ({ findings }: Report): string[] => findings.map(({ kind }) => kind).toSorted()
export const filled = async (count = 300, options: Parameters<typeof createProofWorld>[0] = {}): Promise<World> => {
  const world = createProofWorld(options)
  await world.fill(count)
  await markStart({ rows: world.rows }, world.table, 1, 1)
  return world
}

/** A row that no item has: of the same bucket as `item`, by its first two bytes. */
export const alienKey = (item: Item): Buffer => Buffer.concat([rowKeyOf(item).subarray(0, 2), Buffer.from('alien')])
export const alien = (key: Buffer): StoredRow => ({ key, cells: new Map([['x', Buffer.from('y')]]) })
export const marker = { version: `0000000001.${'9'.repeat(40)}.${'0'.repeat(16)}`, time: 1, tombstone: false }

export type Plant = { name: string; kind: string; plant: (world: World) => void }
export const plants: Plant[] = [
  { name: 'a row removed', kind: 'row-missing', plant: (world) => tamper(world, keyItem(17), () => undefined) },
  {
    name: 'a row made a tombstone',
    kind: 'row-missing',
    plant: (world) =>
      tamper(world, keyItem(17), (row) => ({ ...row, cells: new Map(), marker: { ...row.marker!, tombstone: true } })),
  },
  {
    name: 'a value changed',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => withCell(row, 'n', '?')),
  },
  {
    name: 'a column added',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => withCell(row, 'm', '?')),
  },
  {
    name: 'a column removed',
    kind: 'row-changed',
    plant: (world) =>
      tamper(world, keyItem(17), (row) => ({
        ...row,
        cells: new Map([...row.cells].filter(([name]) => name !== 'n')),
      })),
  },
  {
    name: 'a marker removed',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), ({ key, cells }) => ({ key, cells })),
  },
  {
    name: 'a version that is none',
    kind: 'row-changed',
    plant: (world) => tamper(world, keyItem(17), (row) => ({ ...row, marker: { ...row.marker!, version: 'zz' } })),
  },
  {
    name: 'a row added for a key that the source has not',
    kind: 'row-extra',
    plant: (world) =>
      world.rows.tamper(world.table, rowKeyOf(keyItem(9001)), {
        ...rowOf(world, keyItem(17)),
        key: rowKeyOf(keyItem(9001)),
      }),
  },
  {
    name: 'a row added that no item can have',
    kind: 'row-extra',
    plant: (world) => world.rows.tamper(world.table, alienKey(keyItem(17)), alien(alienKey(keyItem(17)))),
  },
  {
    name: 'a row added before the first and behind the last bucket',
    kind: 'row-extra',
    plant: (world) => {
      world.rows.tamper(world.table, Buffer.of(0), { ...alien(Buffer.of(0)), marker })
      world.rows.tamper(world.table, Buffer.of(0xff, 0xff, 0xff), { ...alien(Buffer.of(0xff, 0xff, 0xff)), marker })
    },
  },
  {
    name: 'an item that was deleted and whose row stayed',
    kind: 'row-extra',
    plant: (world) => void world.items.delete(world.table, keyItem(17)),
  },
  {
    name: 'an item that was put and whose row never came',
    kind: 'row-missing',
    plant: (world) => void world.items.put(world.table, keyItem(9002)),
  },
]
