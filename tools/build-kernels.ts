import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

/**
 * `node tools/build-kernels.ts` writes shared/weights/kernels/*.wasm.ts from the sources beside them. The modules are text so
 * that a bundle carries them; test/weights/kernels.test.ts builds them again and compares.
 */

const folder = fileURLToPath(new URL('../shared/weights/kernels', import.meta.url))

const compiler = fileURLToPath(new URL('../node_modules/assemblyscript/bin/asc.js', import.meta.url))

export const kernelNames = ['planes', 'crc'] as const
type KernelName = (typeof kernelNames)[number]

/** The module's TypeScript text. */
export const buildKernel = async (name: KernelName): Promise<string> => {
  // As a program: the compiler's types would make every global of this repository AssemblyScript's.
  const out = await mkdtemp(join(tmpdir(), 'lifeboat-kernels-'))
  const flags = ['-O3', '--runtime', 'stub', '--noAssert', '--enable', 'simd', '-o', join(out, 'out.wasm')]
  let wasm: Buffer
  try {
    await promisify(execFile)(process.execPath, [compiler, `${name}.ts`, '--baseDir', folder, ...flags])
    wasm = await readFile(join(out, 'out.wasm'))
  } finally {
    await rm(out, { recursive: true, force: true })
  }
  const lines = wasm.toString('base64').match(/.{1,100}/g) ?? []
  return [
    `// Built from ${name}.ts by tools/build-kernels.ts.`,
    `export const ${name}Wasm =`,
    ...lines.map((line, index) => `  '${line}'${index < lines.length - 1 ? ' +' : ''}`),
    '',
  ].join('\n')
}

export const kernelFile = (name: KernelName): string => join(folder, `${name}.wasm.ts`)

if (import.meta.main) for (const name of kernelNames) await writeFile(kernelFile(name), await buildKernel(name))
