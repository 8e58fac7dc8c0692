import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { killRun } from './kill.ts'

/** `SEED=7 npx vitest run test/stack/kill.test.ts` repeats a run; `npm run evidence -- kills` kills more. */
const seed = Number(process.env['SEED'] ?? 1 + (Date.now() % 1_000_000))
const kills = 12

test(`whatever is killed, every publish arrives whole and once (SEED=${seed})`, { timeout: 900_000 }, async () => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-kill-'))
  try {
    const report = await killRun({ seed, kills, dir, say: console.log })
    console.log(JSON.stringify(report))
    expect(report.problems).toEqual([])
    expect(report.kills).toEqual({ upload: 3, seal: 3, anywhere: 6 })
    expect(report.releases).toBeGreaterThanOrEqual(kills)
    expect(report.versions).toBeGreaterThanOrEqual(6 * kills)
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})
