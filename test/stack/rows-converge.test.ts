import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { emulatorFile } from '../support/bigtable.ts'
import { convergeRun } from './rows-converge.ts'

/** `SEED=7 npx vitest run test/stack/rows-converge.test.ts` repeats a run; `npm run evidence -- rows` runs longer ones. */
const seed = Number(process.env['SEED'] ?? 1 + (Date.now() % 1_000_000))
const operations = 600

const emulator = emulatorFile()
const targets = [
  { name: 'the embedded Bigtable' },
  ...(emulator === undefined ? [] : [{ name: 'cbtemulator', emulator }]),
]

test.each(targets)(
  `rows converge while $name answers 503 and loses replies (SEED=${seed})`,
  { timeout: 400_000 },
  async ({ name: _name, ...target }) => {
    const dir = mkdtempSync(join(tmpdir(), 'lifeboat-converge-'))
    try {
      const report = await convergeRun({ seed, operations, dir, ...target })
      console.log(JSON.stringify(report))
      expect(report.problems).toEqual([])
      const wanted = ['CheckAndMutateRow after', 'CheckAndMutateRow before', 'MutateRows after', 'MutateRows before']
      expect(wanted.filter((fault) => (report.faults[fault] ?? 0) < 2)).toEqual([])
      expect(report.reread).toBeGreaterThan(0)
      expect(report.stale).toBeGreaterThan(0)
    } finally {
      rmSync(dir, { recursive: true, force: true })
    }
  },
)
