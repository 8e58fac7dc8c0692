import type { Dtype } from './dtypes.ts'
import type { Weights } from './weights.ts'

/** A decoder-only language model as the tensors of its file, in the order in which such files have them. */

export type ModelShape = { layers: number; width: number; inner: number; vocabulary: number }

/** About 270 MB as BF16. */
export const fullShape: ModelShape = { layers: 8, width: 1024, inner: 2816, vocabulary: 16_000 }
/** About 40 MB as BF16: matrices of more than 1 MiB, as in real models, and few of them. */
export const quickShape: ModelShape = { layers: 2, width: 768, inner: 2112, vocabulary: 4000 }

export const embedding = 'model.embed_tokens.weight'

const layerShapes = ({ width, inner }: ModelShape): [name: string, rows: number, columns: number][] => [
  ['input_layernorm', 1, width],
  ['mlp.down_proj', width, inner],
  ['mlp.gate_proj', inner, width],
  ['mlp.up_proj', inner, width],
  ['post_attention_layernorm', 1, width],
  ['self_attn.k_proj', width, width],
  ['self_attn.o_proj', width, width],
  ['self_attn.q_proj', width, width],
  ['self_attn.v_proj', width, width],
]

/** `as` rounds what is stored as FP32. Vectors, which nobody quantizes, stay BF16 in files of one byte an element. */
export const createModelWeights = (
  shape: ModelShape,
  options: { dtype: Dtype; as?: 'BF16'; seed: number },
): Weights[] => {
  const { dtype, as, seed } = options
  const named: [string, number, number][] = [
    [embedding, shape.vocabulary, shape.width],
    ...Array.from({ length: shape.layers }, (_, layer) =>
      layerShapes(shape).map(([name, rows, columns]): [string, number, number] => [
        `model.layers.${layer}.${name}.weight`,
        rows,
        columns,
      ]),
    ).flat(),
    ['model.norm.weight', 1, shape.width],
    ['lm_head.weight', shape.vocabulary, shape.width],
  ]
  return named.map(([name, rows, columns], index) => ({
    name,
    dtype: rows === 1 && (dtype === 'I8' || dtype === 'F8_E4M3') ? 'BF16' : dtype,
    ...(as === undefined ? {} : { as }),
    rows,
    columns,
    seed: seed * 10_000 + index,
    ...(rows === 1 ? { mean: 1 } : {}),
  }))
}
