/** Query and Scan, whose filter is ours (see conditions.ts); what is read, counted and paged is dynalite's. */
import { type Expression, fulfilled, matches } from './conditions.ts'
import { act, project, type Store, validate } from './dynalite.ts'
import type { Item } from './wire.ts'

type ReadData = {
  Select?: string
  _filter?: { expression: Expression }
  _projection?: { paths: unknown[] }
}
type Page = { Items?: Item[]; Count: number }

const readWith =
  (store: Store, operation: 'Query' | 'Scan') =>
  async (body: unknown): Promise<unknown> => {
    const data = validate(store, operation, body) as ReadData
    const { _filter: filter, _projection: projection, Select: select, ...rest } = data
    if (!filter) return act(store, operation, data)
    // Everything is looked at as dynalite would, but the items come whole and unfiltered.
    const page = await act<Page>(store, operation, {
      ...rest,
      ...(select && select !== 'COUNT' && { Select: select }),
      ...(projection && { _projection: { ...projection, paths: undefined } }),
      _filter: { ...filter, expression: fulfilled },
    })
    const found = (page.Items ?? []).filter((item) => matches(item, filter.expression))
    const { Items: _, ...counts } = { ...page, Count: found.length }
    if (select === 'COUNT') return counts
    return { ...counts, Items: projection ? found.map((item) => project(projection.paths, item)) : found }
  }

export const createReads = (store: Store) => ({ Query: readWith(store, 'Query'), Scan: readWith(store, 'Scan') })
