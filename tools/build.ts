import { createHash } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { buffer } from 'node:stream/consumers'
import { build } from 'esbuild'
import yazl from 'yazl'
import type { Config } from '../shared/config.ts'
import { slimBigtable } from './bigtable-bundle.ts'

/** `name` is the file's name without its ending; `unpacked` has what `zip` has; `sha256` is hex. */
export type BuiltFunction = { name: string; zip: string; unpacked: string; bytes: number; sha256: string }

const banner = `import{createRequire as __cr}from'node:module';import{fileURLToPath as __fu}from'node:url';import{dirname as __dn}from'node:path';const require=__cr(import.meta.url),__filename=__fu(import.meta.url),__dirname=__dn(__filename);`

const bundle = async (root: string, name: string): Promise<Map<string, Uint8Array>> => {
  const result = await build({
    absWorkingDir: root,
    entryPoints: [`functions/${name}.ts`],
    // Nothing is written there: paths in the source map are relative to it, and so are equal on every machine.
    outfile: join(root, `functions/${name}.mjs`),
    write: false,
    bundle: true,
    // So that a linked node_modules, as of a worktree, gives the bytes of one that is there.
    preserveSymlinks: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    mainFields: ['module', 'main'],
    minify: true,
    sourcemap: 'linked',
    sourcesContent: false,
    legalComments: 'none',
    banner: { js: banner },
    plugins: [slimBigtable],
    logLevel: 'warning',
  })
  return new Map(result.outputFiles.map((file) => [`functions/${basename(file.path)}`, file.contents]))
}

const zipOf = async (files: ReadonlyMap<string, Uint8Array>): Promise<Buffer> => {
  const zip = new yazl.ZipFile()
  // A zip keeps local time without a zone, so a local date gives the same bytes in every zone.
  const entryTime = new Date(2000, 0, 1)
  const names = [...files.keys()].sort()
  for (const name of names) {
    const bytes = Buffer.from(files.get(name) ?? [])
    zip.addBuffer(bytes, name, { mtime: entryTime, mode: 0o100644, forceDosTimestamp: true })
  }
  zip.end()
  return buffer(zip.outputStream)
}

const buildFunction = async (options: {
  root: string
  name: string
  config: Config
  outDir: string
}): Promise<BuiltFunction> => {
  const { root, name, config, outDir } = options
  const files = await bundle(root, name)
  files.set('lifeboat.json', Buffer.from(`${JSON.stringify(config, null, 1)}\n`))
  const unpacked = join(outDir, name)
  rmSync(unpacked, { recursive: true, force: true })
  for (const [path, bytes] of files) {
    mkdirSync(dirname(join(unpacked, path)), { recursive: true })
    writeFileSync(join(unpacked, path), bytes)
  }
  const bytes = await zipOf(files)
  const zip = join(outDir, `${name}.zip`)
  writeFileSync(zip, bytes)
  return { name, zip, unpacked, bytes: bytes.length, sha256: createHash('sha256').update(bytes).digest('hex') }
}

/**
 * Bundles `root`/functions/NAME.ts for each name to one self-contained module, with the configuration beside it as
 * lifeboat.json, as a folder and as a zip in `outDir`. Equal sources give equal bytes.
 */
export const buildFunctions = async (options: {
  root: string
  names: readonly string[]
  config: Config
  outDir: string
}): Promise<BuiltFunction[]> => {
  mkdirSync(options.outDir, { recursive: true })
  const built: BuiltFunction[] = []
  for (const name of options.names) built.push(await buildFunction({ ...options, name }))
  return built
}
