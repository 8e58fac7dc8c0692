import { createNumbers, standardNormal } from '../../local/start/synthetic-model.ts'

/**
 * A small network that really learns: from the 8 characters before it guesses the next one, in plain loops, with Adam.
 * The same seed gives the same weights on the same engine; Math.exp may differ between engines.
 */

export type Layer = { name: string; inputs: number; outputs: number; values: Float32Array }
export type Network = { layers: Layer[]; moments: { mean: Float32Array; square: Float32Array }[]; steps: number }
export type Epoch = { steps: number; rate: number }

const context = 8
const dimensions = 64
const letters = 32
const batch = 8
const [keepMean, keepSquare, tiny] = [0.9, 0.99, 1e-8]

const layer = (name: string, inputs: number, outputs: number, next: () => number): Layer => {
  const spread = Math.sqrt(2 / inputs)
  const values = Float32Array.from({ length: inputs * outputs }, () => spread * (standardNormal[next() & 0xffff] ?? 0))
  return { name, inputs, outputs, values }
}

/** `hidden` squared is most of its size. */
export const createNetwork = (hidden: number, seed: number): Network => {
  const next = createNumbers(seed)
  const layers = [
    layer('embedding.weight', dimensions, letters, next),
    layer('hidden.0.weight', context * dimensions, hidden, next),
    layer('hidden.1.weight', hidden, hidden, next),
    layer('output.weight', hidden, letters, next),
  ]
  const moments = layers.map(({ values }) => ({
    mean: new Float32Array(values.length),
    square: new Float32Array(values.length),
  }))
  return { layers, moments, steps: 0 }
}

/** Text of words that a grammar of `seed` strings together: what can be learnt is which letters follow which. */
export const createText = (length: number, seed: number): Uint8Array => {
  const next = createNumbers(seed)
  const words = Array.from({ length: 64 }, () =>
    Array.from({ length: 2 + (next() % 7) }, () => 1 + (next() % (letters - 1))),
  )
  const text = new Uint8Array(length)
  let word = 0
  for (let at = 0; at < length;) {
    for (const letter of words[word] ?? []) if (at < length) text[at++] = letter
    if (at < length) text[at++] = 0
    word = (word * 5 + (next() % 4)) % words.length
  }
  return text
}

const dot = (a: Float32Array, from: number, b: Float32Array, at: number, count: number): number => {
  let [one, two] = [0, 0]
  for (let index = 0; index < count; index += 2) {
    one += (a[from + index] ?? 0) * (b[at + index] ?? 0)
    two += (a[from + index + 1] ?? 0) * (b[at + index + 1] ?? 0)
  }
  return one + two
}

const forward = ({ values, inputs, outputs }: Layer, given: Float32Array, rectify: boolean): Float32Array => {
  const out = new Float32Array(batch * outputs)
  for (let output = 0; output < outputs; output += 1)
    for (let one = 0; one < batch; one += 1) {
      const sum = dot(values, output * inputs, given, one * inputs, inputs)
      out[one * outputs + output] = rectify && sum < 0 ? 0 : sum
    }
  return out
}

type Moments = Network['moments'][number]

const adam = (
  values: Float32Array,
  { mean, square }: Moments,
  gradient: Float32Array,
  from: number,
  rate: number,
): void => {
  for (let index = 0; index < gradient.length; index += 1) {
    const at = from + index
    const slope = gradient[index] ?? 0
    const first = (mean[at] = keepMean * (mean[at] ?? 0) + (1 - keepMean) * slope)
    const second = (square[at] = keepSquare * (square[at] ?? 0) + (1 - keepSquare) * slope * slope)
    values[at] = (values[at] ?? 0) - (rate * first) / (Math.sqrt(second) + tiny)
  }
}

/** Updates the layer from the slopes of what it gave, and answers the slopes of what it was given. */
const backward = (
  { values, inputs, outputs }: Layer,
  moments: Moments,
  given: Float32Array,
  slopes: Float32Array,
  rate: number,
): Float32Array => {
  const before = new Float32Array(batch * inputs)
  const gradient = new Float32Array(inputs)
  for (let output = 0; output < outputs; output += 1) {
    gradient.fill(0)
    for (let one = 0; one < batch; one += 1) {
      const slope = slopes[one * outputs + output] ?? 0
      if (slope === 0) continue
      const [row, at] = [output * inputs, one * inputs]
      for (let input = 0; input < inputs; input += 1) {
        gradient[input] = (gradient[input] ?? 0) + slope * (given[at + input] ?? 0)
        before[at + input] = (before[at + input] ?? 0) + slope * (values[row + input] ?? 0)
      }
    }
    adam(values, moments, gradient, output * inputs, rate)
  }
  return before
}

/** Softmax and cross entropy: makes slopes of the outputs in place, answers the mean loss. */
const judge = (outputs: Float32Array, wanted: Uint8Array): number => {
  let loss = 0
  for (let one = 0; one < batch; one += 1) {
    const row = outputs.subarray(one * letters, (one + 1) * letters)
    const most = row.reduce((max, value) => Math.max(max, value), -Infinity)
    const powers = row.map((value) => Math.exp(value - most))
    const sum = powers.reduce((total, value) => total + value, 0)
    const right = wanted[one] ?? 0
    loss -= Math.log((powers[right] ?? 0) / sum)
    for (let letter = 0; letter < letters; letter += 1)
      row[letter] = ((powers[letter] ?? 0) / sum - (letter === right ? 1 : 0)) / batch
  }
  return loss / batch
}

const rectified = (slopes: Float32Array, outputs: Float32Array): Float32Array =>
  slopes.map((slope, index) => ((outputs[index] ?? 0) > 0 ? slope : 0))

const learnEmbedding = (
  { values, inputs }: Layer,
  moments: Moments,
  read: readonly Uint8Array[],
  slopes: Float32Array,
  rate: number,
): void => {
  const gradient = new Float32Array(values.length)
  for (const [one, characters] of read.entries())
    for (const [place, letter] of characters.entries())
      for (let index = 0; index < inputs; index += 1)
        gradient[letter * inputs + index] =
          (gradient[letter * inputs + index] ?? 0) + (slopes[(one * context + place) * inputs + index] ?? 0)
  adam(values, moments, gradient, 0, rate)
}

const learnOnce = (network: Network, text: Uint8Array, starts: readonly number[], rate: number): number => {
  const [embedding, first, second, output] = network.layers
  const [ofEmbedding, ofFirst, ofSecond, ofOutput] = network.moments
  if (!embedding || !first || !second || !output || !ofEmbedding || !ofFirst || !ofSecond || !ofOutput)
    throw new Error('a network has four layers')
  const read = starts.map((start) => text.subarray(start, start + context))
  const given = new Float32Array(batch * context * dimensions)
  for (const [one, characters] of read.entries())
    for (const [place, letter] of characters.entries())
      given.set(
        embedding.values.subarray(letter * dimensions, (letter + 1) * dimensions),
        (one * context + place) * dimensions,
      )
  const one = forward(first, given, true)
  const two = forward(second, one, true)
  const guesses = forward(output, two, false)
  const loss = judge(
    guesses,
    Uint8Array.from(starts, (start) => text[start + context] ?? 0),
  )
  const slopesTwo = rectified(backward(output, ofOutput, two, guesses, rate), two)
  const slopesOne = rectified(backward(second, ofSecond, one, slopesTwo, rate), one)
  learnEmbedding(embedding, ofEmbedding, read, backward(first, ofFirst, given, slopesOne, rate), rate)
  network.steps += 1
  return loss
}

/** Trains in place; answers the mean loss over the epoch, in nats a character. */
export const train = (network: Network, text: Uint8Array, { steps, rate }: Epoch): number => {
  const next = createNumbers(network.steps + 1)
  let loss = 0
  for (let step = 0; step < steps; step += 1) {
    const starts = Array.from({ length: batch }, () => next() % (text.length - context - 1))
    loss += learnOnce(network, text, starts, rate)
  }
  return loss / steps
}
