import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { itemAt } from '../../shared/features/as-of.ts'
import { encodeRowKey } from '../../shared/features/row-key.ts'
import { emulatorFile } from '../support/bigtable.ts'
import { embedded, emulator, memory, type Opened } from '../support/row-stores.ts'
import { apply, createRowsTest, rowsConfig, type RowsTest, type WrittenChange } from '../support/rows-deps.ts'

/**
 * A key that changes four times a second: every second is answered, whatever was coalesced. `CHANGES` is how often it does,
 * a multiple of 2,000; `npm run evidence -- rows` has 100,000.
 */

const changes = Number(process.env['CHANGES'] ?? 20_000)
const perSecond = 4
const perBatch = 2000
const t0 = 1_790_000_000
const nowSecond = t0 + changes / perSecond + 10

const valueAt = (second: number): string => String((second - t0 + 1) * perSecond - 1)
const change = (index: number): WrittenChange => ({
  pk: 'hot',
  second: t0 + Math.floor(index / perSecond),
  sequence: index + 1,
  before: index === 0 ? undefined : { v: { N: String(index - 1) } },
  after: { v: { N: String(index) } },
})

const file = emulatorFile()

describe.each([memory, embedded, ...(file === undefined ? [] : [emulator(file)])])('a hot key on $name', (target) => {
  let opened: Opened
  let deps: RowsTest
  beforeAll(async () => {
    opened = await target.open()
    deps = createRowsTest({ nowSecond: () => nowSecond, rows: opened.store, config: rowsConfig([1], 'rows') })
    for (let first = 0; first < changes; first += perBatch)
      await apply(
        deps,
        Array.from({ length: perBatch }, (_, index) => change(first + index)),
      )
  }, 120_000)
  afterAll(() => opened?.close())

  it('was written once a batch, and is known at every second', { timeout: 120_000 }, async () => {
    const stale = deps.telemetry.total('RowsStale')
    expect([deps.telemetry.total('RowsApplied'), stale]).toEqual([changes / perBatch, changes - changes / perBatch])
    const seconds = [0, 1, 2, 499, 500, 3210, changes / perSecond - 2, changes / perSecond - 1].map((at) => t0 + at)
    const rowKey = encodeRowKey({ partition: { S: 'hot' } })
    for (const second of seconds) {
      const answer = await itemAt(deps, 'rows', rowKey, { second, nowSecond })
      expect(answer).toEqual({ state: 'present', item: { pk: { S: 'hot' }, v: { N: valueAt(second) } } })
    }
    const before = await itemAt(deps, 'rows', rowKey, { second: t0 - 1, nowSecond })
    expect(before).toEqual({ state: 'unknown', reason: 'before first sight', knownFrom: t0 })
  })
})
