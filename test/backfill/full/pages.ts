import type { Page } from './process.ts'

/** Which pages the calls of a backfill ask for: each goes on where the one before ended, but for one behind every kill. */

type Part = { last: string | undefined; kills: number; count: number; seen: Set<string> }

export type Pages = {
  asked(page: Page, kills: number): void
  /** Of all parts, those asked for again too. */
  total(part: 'objects' | 'rows'): number
  repeated: { pages: number; items: number }
  problems: string[]
}

export const watchPages = (): Pages => {
  const parts = new Map<string, Part>()
  const totals = new Map<string, number>()
  const repeated = { pages: 0, items: 0 }
  const problems: string[] = []
  return {
    repeated,
    problems,
    total: (part) => totals.get(part) ?? 0,
    asked: ({ part: name, from, count }, kills) => {
      const kind = name.split(' ')[0] ?? name
      totals.set(kind, (totals.get(kind) ?? 0) + 1)
      const part = parts.get(name) ?? { last: undefined, kills: 0, count: 0, seen: new Set<string>() }
      parts.set(name, part)
      if (part.seen.has(from)) {
        repeated.pages += 1
        repeated.items += part.count
        if (part.last !== from) problems.push(`${name} went back more than a page, to ${from}`)
        else if (part.kills === kills) problems.push(`${name} asked twice for the page behind ${from}`)
      }
      part.seen.add(from)
      Object.assign(part, { last: from, kills, count })
    },
  }
}
