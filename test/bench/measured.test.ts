import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { runMeasured } from '../../bench/bytes/measured.ts'
import { noise } from '../support/weights-world.ts'

const node = (script: string): string[] => [process.execPath, '-e', script]

test('CPU and memory are those of the program', async () => {
  const busy =
    'const used=()=>process.cpuUsage().user+process.cpuUsage().system;const end=used()+3e5;while(used()<end);console.log("done")'
  const { seconds, cpuSeconds, stdout } = await runMeasured(node(busy))
  expect(stdout).toBe('done\n')
  expect(cpuSeconds).toBeGreaterThan(0.25)
  expect(seconds).toBeGreaterThan(0.25)
  const idle = await runMeasured(node('setTimeout(() => {}, 300)'))
  expect(idle.cpuSeconds).toBeLessThan(idle.seconds)
})

test.runIf(process.platform === 'linux')('memory is the most that it held', async () => {
  const { rssMaxBytes } = await runMeasured(node('Buffer.alloc(2e8, 1); setTimeout(() => {}, 50)'))
  expect(rssMaxBytes).toBeGreaterThan(2e8)
  expect(rssMaxBytes).toBeLessThan(4e8)
})

test('a program that fails is an error with what it said, and is given no other environment', async () => {
  await expect(runMeasured(node('console.error("no room"); process.exit(3)'))).rejects.toThrow(/ended with 3: no room/)
  const { stdout } = await runMeasured(node('console.log(Object.keys(process.env).sort().join())'), { env: { A: '1' } })
  expect(
    stdout
      .trim()
      .split(',')
      .filter((name) => name !== 'PWD' && name !== '_' && name !== 'SHLVL'),
  ).toEqual(['A', 'PATH'])
})

test("Xet's chunks of a file are kept once, and noise as it is", async () => {
  const dir = await mkdtemp(join(tmpdir(), 'lifeboat-xet-'))
  try {
    const [file, known] = [join(dir, 'file'), join(dir, 'known')]
    await writeFile(file, noise(2_000_000))
    const entry = fileURLToPath(new URL('../../bench/bytes/xet-alone.ts', import.meta.url))
    const keep = async (out: string): Promise<number> => {
      await runMeasured([process.execPath, '--disable-warning=ExperimentalWarning', entry, known, out, file])
      return (await stat(out)).size
    }
    const first = await keep(join(dir, 'first'))
    expect(first).toBeGreaterThanOrEqual(2_000_000 + 8 * 16)
    expect(first).toBeLessThan(2_002_000)
    expect(await keep(join(dir, 'second'))).toBe(0)
  } finally {
    await rm(dir, { recursive: true })
  }
})
