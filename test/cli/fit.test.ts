import { expect, test } from 'vitest'
import { fitRows, type Squeeze } from '../../cli/fit.ts'
import { renderTable } from '../../cli/output.ts'

const head = ['key', 'version', 'size', '']
const row = [
  'models/llama/model-00001-of-00042.safetensors',
  'vbHjtqFfzM9MlrhYZq.p8FElBGqUKSPd',
  '12.0 MiB',
  'deleted in the source 1m ago',
]
const squeezes: Squeeze[] = [
  { column: 'version', to: 'end', charactersMin: 9 },
  { column: '', to: 'wrap', charactersMin: 12 },
  { column: 'key', to: 'middle', charactersMin: 20 },
]
const linesAt = (width: number): string[] =>
  renderTable(head, [row], ['size'], { width, squeezes }).trimEnd().split('\n')

test('what fits stays whole, and so does everything without a terminal', () => {
  expect(fitRows(head, [row], 200, squeezes)).toEqual([row])
  expect(renderTable(head, [row], ['size'], { width: undefined, squeezes })).toContain(row[1])
})

test('columns give way in order and no more than needed', () => {
  expect(fitRows(head, [row], 100, squeezes)).toEqual([[row[0], 'vbHjtqFf…', row[2], row[3]]])
  const [key, version, size, note] = fitRows(head, [row], 84, squeezes)[0]!
  expect([key, version, size]).toEqual([row[0], 'vbHjtqFf…', row[2]])
  expect(note).toBe('deleted in the\nsource 1m ago')
  expect(fitRows(head, [row], 70, squeezes)[0]![0]).toMatch(/^models.+….+42\.safetensors$/)
})

test.each([100, 90, 80, 70, 60])('no line is wider than a terminal of %i columns', (width) => {
  for (const line of linesAt(width)) expect(line.length).toBeLessThanOrEqual(width)
})

test('wide characters count twice and a long word breaks', () => {
  const [cells] = fitRows(['k'], [['重'.repeat(20)]], 24, [{ column: 'k', to: 'wrap', charactersMin: 4 }])
  expect(cells![0]!.includes('\n')).toBe(true)
  expect(fitRows(['k'], [['重'.repeat(20)]], 40, [{ column: 'k', to: 'wrap', charactersMin: 4 }])).toEqual([
    ['重'.repeat(20)],
  ])
  const [words] = fitRows(['k'], [['a'.repeat(25)]], 10, [{ column: 'k', to: 'wrap', charactersMin: 10 }])
  expect(words![0]).toBe(`${'a'.repeat(10)}\n${'a'.repeat(10)}\n${'a'.repeat(5)}`)
})
