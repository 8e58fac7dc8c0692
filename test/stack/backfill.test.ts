import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, it } from 'vitest'
import { backfillRun, judgeBackfillRun } from './backfill-run.ts'

const dir = mkdtempSync(join(tmpdir(), 'lifeboat-backfill-'))
afterAll(() => rmSync(dir, { recursive: true, force: true }))

it('brings in what was there before while production goes on, killed twice, paused and resumed', async () => {
  const options = { objects: 200, rows: 5000, seconds: 8 }
  const run = await backfillRun(dir, options)
  expect(judgeBackfillRun(run, options)).toEqual([])
  // Each kill may have a page of each part repeated: of rows these count as there already.
  expect(run.accounts.rows.counts['alreadyThere'] ?? 0).toBeLessThanOrEqual(
    2 * 2 * (options.rows / options.seconds / 2),
  )
}, 400_000)
