import * as fc from 'fast-check'
import { expect, it } from 'vitest'
import { createSortedKeys } from '../../shared/clouds/memory/sorted-keys.ts'

const many = Array.from({ length: 3000 }, (_, index) => String((index * 7919) % 3001))

it('has every key once, in order, whatever was there first and whatever was added', () => {
  fc.assert(
    fc.property(fc.array(fc.string()), fc.array(fc.string()), fc.string(), (first, added, asked) => {
      const keys = createSortedKeys([...first, ...many])
      for (const key of added) keys.add(key)
      const all = [...new Set([...first, ...many, ...added])].toSorted()
      const walked: string[] = []
      for (let at = keys.from(''); at !== undefined; at = keys.behind(at)) walked.push(at)
      expect(walked).toEqual(all)
      expect(keys.from(asked)).toBe(all.find((key) => key >= asked))
      expect(keys.behind(asked)).toBe(all.find((key) => key > asked))
    }),
  )
})

it('keeps the order of thousands that are added one by one', () => {
  const keys = createSortedKeys()
  for (const key of many) keys.add(key)
  const walked: string[] = []
  for (let at = keys.from(''); at !== undefined; at = keys.behind(at)) walked.push(at)
  expect(walked).toEqual(many.toSorted())
})
