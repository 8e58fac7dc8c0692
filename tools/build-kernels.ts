import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * `node tools/build-kernels.ts` writes shared/weights/kernels/planes.wasm.ts from planes.ts beside it. The module is text
 * so that a bundle carries it; test/weights/planes.test.ts builds it again and compares.
 */

const folder = fileURLToPath(new URL('../shared/weights/kernels', import.meta.url))

const compiler = fileURLToPath(new URL('../node_modules/assemblyscript/bin/asc.js', import.meta.url))

/** The module's TypeScript text. */
export const buildKernels = async (): Promise<string> => {
  // As a program: the compiler's types would make every global of this repository AssemblyScript's.
  const out = await mkdtemp(join(tmpdir(), 'lifeboat-kernels-'))
  const flags = ['-O3', '--runtime', 'stub', '--noAssert', '--enable', 'simd', '-o', join(out, 'planes.wasm')]
  let wasm: Buffer
  try {
    await promisify(execFile)(process.execPath, [compiler, 'planes.ts', '--baseDir', folder, ...flags])
    wasm = await readFile(join(out, 'planes.wasm'))
  } finally {
    await rm(out, { recursive: true, force: true })
  }
  const lines = wasm.toString('base64').match(/.{1,100}/g) ?? []
  return [
    '// Built from planes.ts by tools/build-kernels.ts.',
    'export const planesWasm =',
    ...lines.map((line, index) => `  '${line}'${index < lines.length - 1 ? ' +' : ''}`),
    '',
  ].join('\n')
}

if (import.meta.main) await writeFile(join(folder, 'planes.wasm.ts'), await buildKernels())
