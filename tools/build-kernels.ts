import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import asc from 'assemblyscript/asc'

/**
 * `node tools/build-kernels.ts` writes shared/weights/kernels/planes.wasm.ts from planes.ts beside it. The module is text
 * so that a bundle carries it; test/weights/planes.test.ts builds it again and compares.
 */

const folder = fileURLToPath(new URL('../shared/weights/kernels', import.meta.url))

/** The module's TypeScript text. */
export const buildKernels = async (): Promise<string> => {
  let wasm: Uint8Array | undefined
  const { error } = await asc.main(
    [
      'planes.ts',
      '--baseDir',
      folder,
      '-O3',
      '--runtime',
      'stub',
      '--noAssert',
      '--enable',
      'simd',
      '-o',
      'planes.wasm',
    ],
    { writeFile: (_name, contents) => void (wasm = contents as Uint8Array) },
  )
  if (error || !wasm) throw new Error(`the kernels do not build: ${String(error)}`, { cause: error })
  const lines =
    Buffer.from(wasm)
      .toString('base64')
      .match(/.{1,100}/g) ?? []
  return [
    '// Built from planes.ts by tools/build-kernels.ts.',
    'export const planesWasm =',
    ...lines.map((line, index) => `  '${line}'${index < lines.length - 1 ? ' +' : ''}`),
    '',
  ].join('\n')
}

if (import.meta.main) await writeFile(join(folder, 'planes.wasm.ts'), await buildKernels())
