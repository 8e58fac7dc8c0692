import { readFile } from 'node:fs/promises'
import { expect, it } from 'vitest'
import { buildKernel, kernelFile, kernelNames } from '../../tools/build-kernels.ts'

it.each(kernelNames)('the kernels of %s are what their source builds to', async (name) => {
  expect(await buildKernel(name)).toBe(await readFile(kernelFile(name), 'utf8'))
})
