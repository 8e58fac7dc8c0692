import {
  type BigtableApi,
  bytes,
  connectBigtable,
  parent,
  type RowRead,
  setCell,
  tableNameOf,
} from '../support/bigtable.ts'
import {
  anyFilterOf,
  type Choose,
  families,
  filterKinds,
  keyOf,
  mutationsOf,
  type Note,
  randomOf,
  readOf,
} from './bigtable-fuzz-random.ts'

type Json = Record<string, unknown>
/** One side of the comparison and what the operation is to be called with there. */
type Operation = (api: BigtableApi) => Promise<unknown>
type Planned = { what: Json; run: Operation }
export type FuzzResult = { operations: number; counts: Record<string, number>; mismatch?: string }

const table = 'fuzz'
const tableName = tableNameOf(table)
/** Later than any timestamp that a test writes: the server's own clock. */
const nowMicrosMin = 1e14

const plainRows = (rows: RowRead[]): unknown =>
  rows.map(({ key, cells }) => [
    key,
    cells.map(({ family, qualifier, timestamp, value, labels = [] }) =>
      [family, qualifier, Number(timestamp) > nowMicrosMin ? 'now' : timestamp, value, ...labels].join('|'),
    ),
  ])

const read =
  (request: Json): Operation =>
  async (api) =>
    plainRows(await api.read(table, request))

/** The planners of all operations; what they choose is the same for both sides. */
const planners: Record<string, (choose: Choose, note: Note, index: number) => Planned> = {
  read: (choose, note) => {
    const request = readOf(choose, note)
    return { what: request, run: read(request) }
  },
  mutateRow: (choose, note) => {
    const request = { tableName, rowKey: bytes(keyOf(choose)), mutations: mutationsOf(choose, note) }
    return { what: request, run: (api) => api.call('data', 'MutateRow', request) }
  },
  mutateRows: (choose, note) => {
    const entry = (): Json => ({ rowKey: bytes(keyOf(choose)), mutations: mutationsOf(choose, note) })
    const request = { tableName, entries: Array.from({ length: choose([1, 2, 4]) }, entry) }
    type Answer = { entries: { index?: string; status?: { code?: number } }[] }
    return {
      what: request,
      run: async (api) => {
        const answers = (await api.stream('MutateRows', request)) as unknown as Answer[]
        return answers.flatMap(({ entries }) =>
          entries.map(({ index, status }) => [index ?? '0', status?.code ? 'refused' : 'done']),
        )
      },
    }
  },
  checkAndMutateRow: (choose, note) => {
    const branch = choose(['both', 'true', 'false'])
    const request = {
      tableName,
      rowKey: bytes(keyOf(choose)),
      ...(choose([true, true, true, false]) && { predicateFilter: anyFilterOf(choose, note) }),
      ...(branch !== 'false' && { trueMutations: mutationsOf(choose, note) }),
      ...(branch !== 'true' && { falseMutations: mutationsOf(choose, note) }),
    }
    return {
      what: request,
      run: async (api) => (await api.call('data', 'CheckAndMutateRow', request))['predicateMatched'] ?? false,
    }
  },
  race: (choose, _note, index) => {
    const rowKey = bytes(choose(['race', 'run']) + index)
    const request = (value: number): Json => ({
      tableName,
      rowKey,
      falseMutations: [setCell('f', 'x', 1000, String(value))],
    })
    return {
      what: { rowKey: rowKey.toString() },
      // Which one is first is chance; that there is one is not. The row is taken away again, so that it stays so.
      run: async (api) => {
        const racers = [1, 2, 3, 4].map((value) => api.call('data', 'CheckAndMutateRow', request(value)))
        const first = (await Promise.all(racers)).filter((answer) => answer['predicateMatched'] !== true)
        await api.call('data', 'MutateRow', { tableName, rowKey, mutations: [{ deleteFromRow: {} }] })
        return first.length
      },
    }
  },
  sampleRowKeys: () => ({
    what: {},
    run: async (api) => {
      const samples = await api.stream('SampleRowKeys', { tableName })
      const keys = samples.map(({ rowKey }) => ((rowKey as Buffer | undefined) ?? Buffer.of()).toString('latin1'))
      return [keys.at(-1), keys.slice(0, -1).every((key, at) => at === 0 || key > keys[at - 1]!)]
    },
  }),
  dropRowRange: (choose) => {
    const request = { name: tableName, rowKeyPrefix: bytes(choose(['a', 'a\0', 'ab', '\xff', 'z1', 'nothing'])) }
    return { what: request, run: (api) => api.call('tableAdmin', 'DropRowRange', request) }
  },
  modifyColumnFamilies: (choose) => {
    const drop = { id: 'h', drop: true }
    const modifications = choose([
      [drop, { id: 'h', create: {} }],
      [{ id: 'g', create: {} }],
      [{ id: 'nope', drop: true }],
    ])
    return {
      what: { modifications },
      run: async (api) => Object.keys((await api.modify(table, modifications)).columnFamilies ?? {}).toSorted(),
    }
  },
  tables: (choose, _note, index) => {
    const id = `extra-${index}`
    const steps = choose([['create', 'create', 'delete'], ['create', 'get', 'delete', 'get'], ['delete']])
    const step: Record<string, Operation> = {
      create: (api) => api.createTable(id, {}).then(({ name }) => name),
      get: (api) => api.call('tableAdmin', 'GetTable', { name: tableNameOf(id) }).then(({ name }) => name),
      delete: (api) => api.call('tableAdmin', 'DeleteTable', { name: tableNameOf(id) }),
    }
    return {
      what: { steps },
      run: async (api) => {
        const outcomes: unknown[] = []
        for (const name of steps) outcomes.push(await outcomeOf(step[name]!, api))
        const { tables } = (await api.call('tableAdmin', 'ListTables', { parent })) as { tables: { name: string }[] }
        return [outcomes, tables.map(({ name }) => name).toSorted()]
      },
    }
  },
}

/** Codes of refusals differ (the reference has UNKNOWN for much); that there is one does not. */
const outcomeOf = async (run: Operation, api: BigtableApi): Promise<unknown> => {
  try {
    return await run(api)
  } catch (error) {
    if (typeof (error as { code?: unknown }).code !== 'number') throw error
    return 'refused'
  }
}

const odds: [string, number][] = [
  ['read', 40],
  ['mutateRow', 25],
  ['mutateRows', 9],
  ['checkAndMutateRow', 18],
  ['race', 2],
  ['sampleRowKeys', 2],
  ['dropRowRange', 1],
  ['modifyColumnFamilies', 2],
  ['tables', 1],
]
const deck = odds.flatMap(([name, count]) => Array.from({ length: count }, () => name))

const gcRules: Record<string, Json> = {
  one: { maxNumVersions: 1 },
  two: { maxNumVersions: 2 },
  age: { maxAge: { seconds: '5400' } },
  union: { union: { rules: [{ maxNumVersions: 2 }, { maxAge: { seconds: '5400' } }] } },
}
const gcColumns = 120
const gcTimeoutMs = 6000

/** What every run must have used, `atLeast` times each: all operations, kinds of mutation, filters and GC rules. */
export const required = [
  ...Object.keys(planners).map((name) => `operation:${name}`),
  ...filterKinds.map((kind) => `filter:${kind}`),
  ...['setCell', 'column', 'range', 'family', 'row', 'now', 'refused'].map((kind) => `mutation:${kind}`),
  ...['keys', 'ranges', 'limit', 'reversed'].map((kind) => `read:${kind}`),
  ...Object.keys(gcRules).map((rule) => `gc:${rule}`),
]

const show = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => {
    const { type, data } = (typeof each === 'object' && each !== null ? each : {}) as { type?: string; data?: number[] }
    return type === 'Buffer' && data ? Buffer.from(data).toString('latin1') : each
  }).slice(0, 2000)

/** Columns of many cells under every rule: what is left on both sides, once the reference has got round to it. */
const compareGarbage = async (apis: BigtableApi[], choose: Choose, note: Note): Promise<string | undefined> => {
  const hour = 3_600_000_000
  const now = Math.floor(Date.now() / 1000) * 1_000_000
  const entries = Array.from({ length: gcColumns }, (_, row) => ({
    rowKey: bytes(`gc${row}`),
    mutations: Object.keys(gcRules).flatMap((family) => {
      note(`gc:${family}`)
      return Array.from({ length: choose([1, 2, 3, 4]) }, () =>
        setCell(family, 'x', now - choose([0, 1, 2, 3, 4]) * hour, 'v'),
      )
    }),
  }))
  const distinct = entries.map(({ mutations }) => new Set(mutations.map((mutation) => JSON.stringify(mutation))).size)
  const written = distinct.reduce((sum, count) => sum + count, 0)
  const sides = apis.map(async (api) => {
    await api.createTable('garbage', {})
    for (const [id, gcRule] of Object.entries(gcRules)) await api.modify('garbage', [{ id, create: { gcRule } }])
    await api.stream('MutateRows', { tableName: tableNameOf('garbage'), entries })
  })
  await Promise.all(sides)
  const deadline = Date.now() + gcTimeoutMs
  for (;;) {
    const [left = [], right] = await Promise.all(apis.map((api) => api.read('garbage')))
    const isCollected = left.reduce((sum, { cells }) => sum + cells.length, 0) < written
    // Both alike before the reference has collected anything says nothing.
    if (isCollected && JSON.stringify(left) === JSON.stringify(right)) return undefined
    if (Date.now() > deadline) return `after garbage collection: ${show(left)} and ${show(right)}`
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
}

/** Runs the same seeded operations on two servers until they first differ or all are done. */
export const fuzzBigtable = async (options: {
  hosts: readonly [string, string]
  seed: number
  operations: number
}): Promise<FuzzResult> => {
  const { hosts, seed, operations } = options
  const counts: Record<string, number> = {}
  const note: Note = (kind) => {
    counts[kind] = (counts[kind] ?? 0) + 1
  }
  const apis = hosts.map(connectBigtable)
  const choose = randomOf(seed)
  const compare = async ({ what, run }: Planned, index: number, name: string): Promise<string | undefined> => {
    const [left, right] = await Promise.all(apis.map((api) => outcomeOf(run, api)))
    if (JSON.stringify(left) === JSON.stringify(right)) return undefined
    return `seed ${seed}, operation ${index}, ${name} ${show(what)}: ${show(left)} and ${show(right)}`
  }
  const runAll = async (): Promise<FuzzResult> => {
    for (const api of apis) {
      await api.createTable(table, {})
      for (const id of families) await api.modify(table, [{ id, create: {} }])
    }
    for (let index = 1; index <= operations; index += 1) {
      const name = choose(deck)
      note(`operation:${name}`)
      const different =
        (await compare(planners[name]!(choose, note, index), index, name)) ??
        (index % 250 === 0 ? await compare({ what: {}, run: read({}) }, index, 'all rows') : undefined)
      if (different !== undefined) return { operations: index, counts, mismatch: different }
    }
    const garbage = await compareGarbage(apis, choose, note)
    return { operations, counts, ...(garbage !== undefined && { mismatch: garbage }) }
  }
  try {
    return await runAll()
  } finally {
    for (const api of apis) api.close()
  }
}
