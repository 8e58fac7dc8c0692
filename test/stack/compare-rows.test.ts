import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { compareRun, judgeCompareRun } from './rows-compare.ts'

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-compare-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it('over real sockets finds and repairs what was planted, and nothing of what is in flight', async () => {
  const run = await compareRun(dir, { rows: 3000, changesPerSecond: 100, lagMs: 1000 })
  expect(judgeCompareRun(run)).toEqual([])
  expect(run.changes).toBeGreaterThan(50)
  expect(run.found.counts['items']).toBeGreaterThan(2500)
}, 180_000)
