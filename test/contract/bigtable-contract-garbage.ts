import { describe, expect, it } from 'vitest'
import { setCell } from '../support/bigtable.ts'
import type { World } from './bigtable-world.ts'

type Json = Record<string, unknown>

const hourAgo = (hours: number): number => (Math.floor(Date.now() / 1000) - hours * 3600) * 1_000_000

/** What the rules of families take. */
export const itCollects = ({ api, newTable, mutate }: World): void => {
  const versions = { maxNumVersions: 2 }
  const age = { maxAge: { seconds: '5400' } }
  const fill = async (table: string): Promise<void> => {
    const cells = [0, 1, 2, 3].flatMap((hours) => [setCell('f', 'x', hourAgo(hours), String(hours))])
    await mutate(table, 'k', ...cells, setCell('f', 'y', hourAgo(9), '9'), setCell('g', 'z', 1000, 'kept'))
  }
  const left = async (table: string): Promise<string[]> =>
    (await api.read(table)).flatMap(({ cells }) => cells.map(({ qualifier, value }) => qualifier + value))
  const whenSet = async (gcRule: Json): Promise<string> => {
    const table = await newTable()
    await fill(table)
    await api.modify(table, [{ id: 'f', update: { gcRule } }])
    return table
  }

  describe('garbage collection', () => {
    const soon = { timeout: 5000, interval: 100 }

    it('keeps the newest versions', async () => {
      const table = await whenSet(versions)
      await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'y9', 'zkept'])
    })
    it('keeps what is young', async () => {
      const table = await whenSet(age)
      await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'zkept'])
    })
    it('takes with a union what any rule takes', async () => {
      const table = await whenSet({ union: { rules: [{ maxNumVersions: 1 }, age] } })
      await expect.poll(() => left(table), soon).toEqual(['x0', 'zkept'])
    })
    it('takes with an intersection only what every rule takes', async () => {
      const table = await whenSet({ intersection: { rules: [{ maxNumVersions: 1 }, age] } })
      await expect.poll(() => left(table), soon).toEqual(['x0', 'x1', 'y9', 'zkept'])
    })
  })
}
