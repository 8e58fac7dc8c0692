import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { backfillRun } from './backfill-run.ts'

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-backfill-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it('brings in what was there before while production goes on, killed twice, paused and resumed', async () => {
  const run = await backfillRun(dir, { objects: 200, rows: 5000, seconds: 10, say: console.log })
  console.log(JSON.stringify(run, undefined, 1))
  expect(run.missing).toBe(0)
}, 900_000)
