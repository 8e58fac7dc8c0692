import { expect, test } from 'vitest'
import { createNetwork, createText, train } from '../../bench/bytes/train.ts'

test('the network learns its text, and the same seed learns the same', () => {
  const text = createText(20_000, 5)
  const [network, again] = [createNetwork(64, 1), createNetwork(64, 1)]
  const first = train(network, text, { steps: 50, rate: 1e-3 })
  train(network, text, { steps: 200, rate: 1e-3 })
  const last = train(network, text, { steps: 50, rate: 1e-3 })
  // Guessing among 32 letters is a loss of 3.47.
  expect(first).toBeLessThan(3.6)
  expect(last).toBeLessThan(first - 0.5)
  train(again, text, { steps: 50, rate: 1e-3 })
  train(again, text, { steps: 200, rate: 1e-3 })
  expect(train(again, text, { steps: 50, rate: 1e-3 })).toBe(last)
  expect(again.layers.map(({ values }) => values)).toEqual(network.layers.map(({ values }) => values))
})

test('every layer moves by little at a small rate', () => {
  const network = createNetwork(64, 1)
  const before = network.layers.map(({ values }) => Float32Array.from(values))
  train(network, createText(20_000, 5), { steps: 10, rate: 1e-5 })
  for (const [index, { values }] of network.layers.entries()) {
    const steps = values.map((value, at) => Math.abs(value - before[index]![at]!))
    expect(Math.max(...steps)).toBeGreaterThan(0)
    expect(Math.max(...steps)).toBeLessThan(1e-3)
  }
})
