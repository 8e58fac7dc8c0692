import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createReadStream } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { type LocalFile, filesAt } from './publish.ts'

/** Restores through the command, as an operator would with AWS gone, and compares with what was published. */

const command = fileURLToPath(new URL('../../cli/lifeboat.mjs', import.meta.url))

const read = async (stream: AsyncIterable<Buffer>): Promise<string> => {
  const parts: Buffer[] = []
  for await (const part of stream) parts.push(part)
  return Buffer.concat(parts).toString('utf8')
}

/** Runs `lifeboat` with an environment that knows the replica and nothing of AWS. Resolves with its exit code and output. */
export const runLifeboat = async (
  args: readonly string[],
  environment: Record<string, string>,
): Promise<{ code: number; stdout: string; stderr: string }> => {
  const { PATH = '', HOME = '' } = process.env
  const env = { PATH, HOME, GCS_ENDPOINT: environment['GCS_ENDPOINT'] ?? '' }
  const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', command, ...args], {
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'exit'), read(child.stdout), read(child.stderr)])
  return { code: Number(code ?? 1), stdout, stderr }
}

const equalFiles = async (a: string, b: string): Promise<boolean> => {
  const left = createReadStream(a, { highWaterMark: 2 ** 20 })[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  const right = createReadStream(b, { highWaterMark: 2 ** 20 })[Symbol.asyncIterator]() as AsyncIterator<Buffer>
  for (;;) {
    const [x, y] = await Promise.all([left.next(), right.next()])
    if (x.done === true || y.done === true) return x.done === y.done
    if (!x.value.equals(y.value)) return false
  }
}

/** What differs between the published files and the folder restored from the replica; nothing when they are identical. */
export const differences = async (published: readonly LocalFile[], folder: string): Promise<string[]> => {
  const restored = new Map((await filesAt(folder)).map((file) => [file.path, file]))
  const found: string[] = []
  for (const { path, file, size } of published) {
    const other = restored.get(path)
    restored.delete(path)
    if (!other) found.push(`${path} was not restored`)
    else if (other.size !== size || !(await equalFiles(file, other.file))) found.push(`${path} differs`)
  }
  return [...found, ...[...restored.keys()].map((path) => `${path} was restored and never published`)]
}
