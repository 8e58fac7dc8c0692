import { encodeFloats, type FloatDtype } from './dtypes.ts'
import type { Pair, Version } from './pairs.ts'
import { createNetwork, createText, type Epoch, type Layer, type Network, train } from './train.ts'

/** Successive checkpoints of a network that is really trained here, and a fine-tune of the last one on another text. */

/** `losses` in nats a character, by epoch. */
export type Trained = { before: Layer[]; after: Layer[]; tuned: Layer[]; losses: number[]; parameters: number }

type Plan = { hidden: number; warmUp: Epoch; epoch: Epoch; tuning: Epoch }

const fullPlan: Plan = {
  hidden: 2048,
  warmUp: { steps: 60, rate: 1e-3 },
  epoch: { steps: 24, rate: 3e-4 },
  tuning: { steps: 24, rate: 1e-5 },
}
const quickPlan: Plan = { ...fullPlan, hidden: 640 }
const textLength = 200_000

const snapshot = ({ layers }: Network): Layer[] =>
  layers.map((layer) => ({ ...layer, values: Float32Array.from(layer.values) }))

export const trainCheckpoints = ({ hidden, warmUp, epoch, tuning }: Plan, seed: number): Trained => {
  const network = createNetwork(hidden, seed)
  const text = createText(textLength, seed)
  const losses = [train(network, text, warmUp), train(network, text, epoch)]
  const before = snapshot(network)
  losses.push(train(network, text, epoch))
  const after = snapshot(network)
  losses.push(train(network, createText(textLength, seed + 1), tuning))
  const parameters = after.reduce((sum, { values }) => sum + values.length, 0)
  return { before, after, tuned: snapshot(network), losses, parameters }
}

const version = (layers: readonly Layer[], dtype: FloatDtype): Version => ({
  'model.safetensors': layers.map(({ name, inputs, outputs, values }) => ({
    name,
    dtype,
    shape: [outputs, inputs],
    blocks: () => [encodeFloats(values, dtype)],
  })),
})

const kinds: readonly [id: string, kind: string, dtype: FloatDtype][] = [
  ['trained-bf16', 'BF16, trained', 'BF16'],
  ['trained-fp16', 'FP16, trained', 'F16'],
  ['trained-fp32', 'FP32, trained', 'F32'],
]

/** Trains when the first version is made, and says how it went. */
export const trainedPairs = (options: { quick: boolean }, say: (line: string) => void): Pair[] => {
  const plan = options.quick ? quickPlan : fullPlan
  let known: Trained | undefined
  const trained = (): Trained => {
    if (known) return known
    known = trainCheckpoints(plan, 31)
    const losses = known.losses.map((loss) => loss.toFixed(2)).join(', ')
    say(
      `trained ${(known.parameters / 1e6).toFixed(1)} million weights; loss by epoch ${losses}, the last on another text`,
    )
    return known
  }
  const pair = (id: string, kind: string, change: string, dtype: FloatDtype, tuned: boolean): Pair => ({
    id,
    kind,
    change,
    versions: () => {
      const { before, after, tuned: last } = trained()
      return [version(tuned ? after : before, dtype), version(tuned ? last : after, dtype)]
    },
  })
  const { epoch, tuning } = plan
  return [
    ...kinds.map(([id, kind, dtype]) => pair(id, kind, `the checkpoint ${epoch.steps} steps later`, dtype, false)),
    pair('tuned-bf16', 'BF16, trained', `fine-tuned for ${tuning.steps} steps`, 'BF16', true),
  ]
}
