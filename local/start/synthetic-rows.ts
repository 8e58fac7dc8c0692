import type { Item } from '../../shared/features/item.ts'
import { createNumbers } from './synthetic-model.ts'
import type { RowChange } from './write-rows.ts'

/**
 * Changes of a table of features with keys `pk` (S) and `sk` (N): inserts, updates, deletes, items that are deleted and come
 * back, one hot key, and items that expire. What is left in the end follows from the seed alone.
 */

type Numbers = () => number

const key = (pk: string, sk: number): Item => ({ pk: { S: pk }, sk: { N: String(sk) } })
const keyOf = (index: number): Item => key(`user#${index % 97}`, index)
const hotKey = key('counter#hot', 0)
/** 2100-01-01: it does not expire. */
const farSeconds = 4_102_444_800

/** 38 digits, as many as DynamoDB keeps, none of which a double has to spare. */
const digits38 = (next: Numbers): string => {
  const parts = Array.from({ length: 4 }, () => String(next()).padStart(10, '0'))
  return `1${parts.join('').slice(0, 36)}7`
}
const bytes = (next: Numbers, count: number): Uint8Array => Uint8Array.from({ length: count }, () => next() & 0xff)

/** What most items of such a table have. */
const few = (next: Numbers, revision: number): Item => ({
  revision: { N: String(revision) },
  balance: { N: digits38(next) },
  name: { S: `Zoë ${next() % 1000} \u{1F600}` },
  isActive: { BOOL: next() % 2 === 0 },
})

/** Every type that DynamoDB has, and its limits. */
const all = (next: Numbers): Item => {
  const digits = digits38(next)
  return {
    score: { N: `-${digits.slice(0, 5)}.${digits.slice(5)}` },
    smallest: { N: '1E-130' },
    largest: { N: '9.9999999999999999999999999999999999999E+125' },
    comment: { S: '' },
    embedding: { B: bytes(next, 64) },
    nothing: { B: new Uint8Array() },
    closedAt: { NULL: true },
    tags: { SS: ['new', `group-${next() % 10}`] },
    counts: { NS: ['0', '-1.5', String(1 + (next() % 1_000_000))] },
    hashes: { BS: [bytes(next, 20), new Uint8Array([0])] },
    history: { L: [{ N: String(next()) }, { S: '' }, { L: [] }, { M: { at: { NULL: true } } }] },
    profile: { M: { plan: { S: 'basic' }, limits: { M: { perDay: { N: digits } } }, none: { M: {} } } },
    expiresAt: { N: String(farSeconds) },
  }
}

/** About twice as many changes as `items`. */
export function* syntheticRows(seed: number, items: number, nowSeconds: number): Generator<RowChange> {
  const next = createNumbers(seed)
  let revision = 0
  const put = (itemKey: Item): RowChange => ({
    put: { ...itemKey, ...few(next, (revision += 1)), ...(revision % 4 === 1 ? all(next) : {}) },
  })
  for (let index = 0; index < items; index += 1) {
    yield put(keyOf(index))
    if (index % 2 === 0) yield put(keyOf(next() % (index + 1)))
    if (index % 4 === 0) yield put(hotKey)
    if (index >= 12 && index % 5 === 0) yield { delete: keyOf(index - 10) }
    if (index >= 12 && index % 10 === 2) yield put(keyOf(index - 12))
    if (index % 50 === 7) {
      const expiresAt = { N: String(nowSeconds - 60) }
      yield { put: { ...key(`session#${index}`, 1), ...few(next, 0), expiresAt } }
    }
  }
}
