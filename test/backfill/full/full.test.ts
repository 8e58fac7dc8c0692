import { expect, it } from 'vitest'
import { fullRun } from './run.ts'

it('brings in objects and rows together amid live work, killed twice, paused and resumed', async () => {
  const { figures, problems } = await fullRun({ objects: 2000, rows: 50_000, seed: 42 })
  expect(problems).toEqual([])
  expect(figures['kills']).toBe(2)
  expect(figures['objectsCompared']).toBeGreaterThan(2000)
  expect(figures['rowsCompared']).toBeGreaterThan(45_000)
}, 120_000)
