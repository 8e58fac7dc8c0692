import { describe, expect, it } from 'vitest'
import { ageSeconds, queueReading, seeQueue, worstOf } from '../../shared/proof/lag.ts'

const now = 1_800_000_000_000
const minutesAgo = (minutes: number): number => now - minutes * 60_000

describe('the worst of readings', () => {
  it('is the highest age', () => {
    expect(worstOf([{ ageSeconds: 3 }, { ageSeconds: 90 }, { ageSeconds: 0 }])).toEqual({ lagSeconds: 90, unknown: [] })
  })

  it('is unknown where one reading is, with every reason', () => {
    const readings = [{ ageSeconds: 3 }, { unknown: 'a' }, { unknown: 'b' }]
    expect(worstOf(readings)).toEqual({ lagSeconds: null, unknown: ['a', 'b'] })
  })

  it('is unknown, not 0, where there is no reading', () => {
    expect(worstOf([]).lagSeconds).toBeNull()
  })
})

it('an age is never negative, whatever the clock of the source says', () => {
  expect(ageSeconds(now + 5000, now)).toBe(0)
  expect(ageSeconds(minutesAgo(1), now)).toBe(60)
})

const read = (messages: number, seen: Parameters<typeof seeQueue>[0], gaugeSeconds?: number) =>
  queueReading({ name: 'objects', messages, seen, gaugeSeconds, nowMs: now })

describe('the age of the oldest message of a queue', () => {
  it('is 0 where the queue is empty, whatever CloudWatch remembers', () => {
    expect(read(0, {}, 500)).toEqual({ ageSeconds: 0 })
  })

  it('is what CloudWatch says', () => {
    expect(read(2, { emptyAt: minutesAgo(60) }, 500)).toEqual({ ageSeconds: 500 })
  })

  it('is no more than since the queue was empty, where CloudWatch tells of what has gone', () => {
    expect(read(2, { emptyAt: minutesAgo(1) }, 840)).toEqual({ ageSeconds: 60 })
  })

  it('counts since the queue was last empty, where CloudWatch says nothing', () => {
    expect(read(1, { emptyAt: minutesAgo(20) })).toEqual({ ageSeconds: 1200 })
  })

  it('is unknown where nobody has seen the queue empty and CloudWatch says nothing', () => {
    expect(read(1, {})).toEqual({ unknown: 'queue objects holds 1 messages, and nothing says for how long' })
  })

  it('counts since the queue was last empty where messages go on as new ones, which CloudWatch takes for young', () => {
    const empty = seeQueue({}, { messages: 0, delayed: 0 }, minutesAgo(30))
    const delayed = seeQueue(empty, { messages: 1, delayed: 1 }, minutesAgo(20))
    const visible = seeQueue(delayed, { messages: 1, delayed: 0 }, now)
    expect(read(1, visible, 70)).toEqual({ ageSeconds: 1800 })
    expect(seeQueue(visible, { messages: 0, delayed: 0 }, now)).toEqual({ emptyAt: now })
  })
})
