import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { LocalFile } from '../local/start/publish.ts'
import { createModel, writeModel } from '../local/start/synthetic-model.ts'

/** BF16 tensors of 16 MiB: 8 Mi elements. */
const elements = 8 * 2 ** 20
const tensorMib = 16

/** A safetensors file of Gaussian BF16 weights, `mib` and its header large. */
export const writeModelFile = async (dir: string, mib: number, seed: number): Promise<LocalFile> => {
  const path = `bench-${mib}-${seed}.safetensors`
  const file = join(dir, path)
  await writeModel(file, createModel(seed, mib / tensorMib, elements))
  return { path, file, size: (await stat(file)).size }
}
