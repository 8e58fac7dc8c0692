import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import {
  copyFileSync,
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
} from 'node:fs'
import { join, resolve } from 'node:path'
import { promisify } from 'node:util'
import { parseTemplate, type Template } from './template.ts'

const repository = join(import.meta.dirname, '../..')
const sources = ['serverless.yml', 'package.json', 'package-lock.json', 'infra/aws', 'tools', 'functions', 'shared']
const forgetAfterMs = 7 * 24 * 3_600_000

const filesOf = (root: string): string[] =>
  sources
    .flatMap((path) => (statSync(join(root, path)).isDirectory() ? globSync(`${path}/**/*`, { cwd: root }) : [path]))
    .filter((path) => statSync(join(root, path)).isFile())
    .sort()

const cacheKey = (root: string, configFile: string, stage: string): string => {
  const hash = createHash('sha256').update(JSON.stringify([process.version, stage, readFileSync(configFile, 'utf8')]))
  for (const path of filesOf(root)) hash.update(JSON.stringify([path, readFileSync(join(root, path), 'base64')]))
  return hash.digest('hex').slice(0, 24)
}

/** Makes `folder` what the framework can run in, apart from other runs: it writes below its service folder. */
export const linkService = (root: string, folder: string): void => {
  copyFileSync(join(root, 'serverless.yml'), join(folder, 'serverless.yml'))
  for (const path of ['package.json', 'infra', 'tools', 'functions', 'shared'])
    symlinkSync(join(root, path), join(folder, path))
}

const runServerless = async (folder: string, buildDir: string, configFile: string, stage: string): Promise<void> => {
  const { PATH, HOME, TMPDIR } = process.env
  const env = { PATH, HOME, TMPDIR, LIFEBOAT_CONFIG: configFile, LIFEBOAT_BUILD_DIR: buildDir }
  const program = join(repository, 'node_modules/serverless/bin/serverless.js')
  try {
    await promisify(execFile)(process.execPath, [program, 'package', '--stage', stage], { cwd: folder, env })
  } catch (error) {
    const { stdout = '', stderr = '' } = error as { stdout?: string; stderr?: string }
    throw new Error(`serverless package failed:\n${stdout}${stderr}`, { cause: error })
  }
}

const forgetOld = (cacheDir: string): void => {
  for (const entry of globSync('*', { cwd: cacheDir })) {
    const path = join(cacheDir, entry)
    const age = Date.now() - (statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? Date.now())
    if (age > forgetAfterMs) rmSync(path, { recursive: true, force: true })
  }
}

/**
 * What `serverless package` makes of the repository at `root` (this one unless given) for a stage: the template, and
 * the unpacked bundles in `buildDir`/NAME. Kept in `cacheDir` under the hash of all it is made of; safe to call from
 * several processes at once.
 */
export const packageStack = async (options: {
  configFile: string
  stage: string
  cacheDir: string
  root?: string
}): Promise<{ template: Template; buildDir: string }> => {
  const { stage, cacheDir, root = repository } = options
  const configFile = resolve(options.configFile)
  const home = resolve(cacheDir, cacheKey(root, configFile, stage))
  if (!existsSync(home)) {
    mkdirSync(cacheDir, { recursive: true })
    forgetOld(cacheDir)
    const work = mkdtempSync(`${home}.`)
    try {
      linkService(root, work)
      await runServerless(work, join(work, 'build'), configFile, stage)
      renameSync(work, home)
    } catch (error) {
      rmSync(work, { recursive: true, force: true })
      if (!existsSync(home)) throw error
    }
  }
  utimesSync(home, new Date(), new Date())
  const text = readFileSync(join(home, '.serverless/cloudformation-template-update-stack.json'), 'utf8')
  return { template: parseTemplate(JSON.parse(text)), buildDir: join(home, 'build') }
}
