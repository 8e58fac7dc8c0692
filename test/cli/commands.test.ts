import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { DeniedError } from '../../shared/errors.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica } from '../support/cli-replica.ts'
import { writeRelease } from '../support/replica.ts'

let dir: string
let store: MemoryBlobStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-cli-'))
  store = createMemoryBlobStore()
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(args, { store, cwd: dir })
const jsonOf = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

describe('lifeboat restore', () => {
  test('a bare model is its newest protected version', async () => {
    const { weights } = await writeReplica(store)
    const { code, stdout, stderr } = await cli('restore', 'llama', '--to', 'out')
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toBe(`llama@1 (protected, 2d ago) is in ${join(dir, 'out')}\nrestored 2 files, 68.4 KiB, in 0s\n`)
    expect(await readFile(join(dir, 'out/shards/model.safetensors'))).toEqual(Buffer.from(weights.bytes))
  })

  test('--json says the same twice, apart from what was fetched', async () => {
    await writeReplica(store)
    const first = await cli('restore', 'llama@2', '--to', 'one', '--json')
    await rm(join(dir, 'one'), { recursive: true })
    const second = await cli('restore', 'llama@2', '--to', 'one', '--json')
    expect(second).toEqual(first)
    expect(jsonOf(first.stdout)).toMatchObject({
      schema: 1,
      model: 'llama',
      version: '2',
      state: 'sealed',
      files: [{ path: 'config.json', bytes: 13, outcome: 'restored', provedBy: 'source checksum' }],
    })
    const third = await cli('restore', 'llama@2', '--to', 'one', '--json')
    expect(jsonOf(third.stdout)).toMatchObject({ files: [{ outcome: 'kept', fetchedBytes: 0 }] })
  })

  test('an object by its key, newest or by version, where the key holds a # too', async () => {
    await writeReplica(store)
    expect((await cli('restore', 's3://models/single#1.bin', '--to', '.')).code).toBe(0)
    expect((await readFile(join(dir, 'single#1.bin'))).length).toBe(600)
    expect((await cli('restore', 's3://models/single#1.bin#old', '--to', '.', '--overwrite')).code).toBe(0)
    expect((await readFile(join(dir, 'single#1.bin'))).length).toBe(500)
  })

  test.each([
    [['restore', 'nosuch', '--to', 'x'], 4, 'the replica has no model nosuch'],
    [['restore', 'llama@9', '--to', 'x'], 4, 'llama has no version 9; its newest: 2, 1'],
    [['restore', 's3://models/nothing', '--to', 'x'], 4, 'the replica has no object s3://models/nothing'],
    [['restore', 's3://models/single#1.bin#zz', '--to', 'x'], 4, 'no version zz in the replica; its newest: new, old'],
    [['restore', 's3://models/', '--to', 'x'], 2, 'which object?'],
    [['restore', 'gs://models/x', '--to', 'x'], 2, 'expected s3://bucket/key'],
    [['restore', 'llama@', '--to', 'x'], 2, 'expected MODEL or MODEL@VERSION'],
    [['restore', 'llama'], 2, "required option '--to <dir>' not specified"],
    [['restor', 'llama'], 2, 'Did you mean restore?'],
    [['ls', '--nosuch'], 2, "unknown option '--nosuch'"],
  ])('%j ends with %i', async (args, expected, message) => {
    await writeReplica(store)
    const { code, stdout, stderr } = await cli(...args)
    expect(stderr).toContain(message)
    expect(stderr).toMatch(/^lifeboat: .*\n(\(Did you mean restore\?\)\n)?$/)
    expect({ code, stdout, files: await readdir(dir) }).toEqual({ code: expected, stdout: '', files: [] })
  })

  test('damage, a newer format, unsafe paths and a folder in use each have their exit code', async () => {
    const { weights, config } = await writeReplica(store)
    await writeFile(join(dir, 'config.json'), 'mine')
    expect(await cli('restore', 'llama', '--to', '.')).toMatchObject({ code: 2, stdout: '' })
    expect(await readFile(join(dir, 'config.json'), 'utf8')).toBe('mine')
    store.corrupt(weights.chunkNames[0]!, (body) => body.with(50, body[50]! ^ 1))
    const corrupt = await cli('restore', 'llama', '--to', 'x', '--json')
    expect(corrupt.code).toBe(5)
    expect(jsonOf(corrupt.stdout)).toMatchObject({ schema: 1, error: { name: 'CorruptError', exitCode: 5 } })
    expect(corrupt.stderr).toMatch(/^lifeboat: shards\/model\.safetensors: bytes 0 to 30000 \(chunk sha256:/)
    await writeRelease(store, { model: 'evil', version: '1', files: [{ path: '../../up', object: config }] })
    expect(await cli('restore', 'evil', '--to', 'y')).toMatchObject({ code: 5 })
    await writeRelease(store, { model: 'newer', version: '1', files: [], change: { formatVersion: '2.0' } })
    const newer = await cli('restore', 'newer', '--to', 'y')
    expect(newer).toMatchObject({ code: 5 })
    expect(newer.stderr).toContain('use a newer lifeboat')
    expect(await readdir(dir)).toEqual(['config.json', 'x'])
  })

  test('a denied replica is 3, an interrupt 130, a defect 70 with a hint and no stack', async () => {
    await writeReplica(store)
    const denied = {
      ...store,
      list: () => {
        throw new DeniedError('list gs://x: no')
      },
    }
    expect(await runCli(['ls'], { store: denied })).toMatchObject({ code: 3, stderr: 'lifeboat: list gs://x: no\n' })
    const defect = {
      ...store,
      list: () => {
        throw new TypeError('x is not a function')
      },
    }
    const plain = await runCli(['ls'], { store: defect })
    expect(plain).toMatchObject({
      code: 70,
      stderr: 'lifeboat: unexpected: x is not a function (run again with --debug to see where)\n',
    })
    expect((await runCli(['ls', '--debug'], { store: defect })).stderr).toContain('commands.test.ts')
    const interrupt = new AbortController()
    interrupt.abort(new Error('anything'))
    const args = ['restore', 'llama', '--to', join(dir, 'x')]
    const stopped = await runCli(args, { store, signal: interrupt.signal })
    expect(stopped.code).toBe(130)
    expect((await readdir(dir, { recursive: true })).filter((name) => name.endsWith('json'))).toEqual([])
  })
})

describe('lifeboat config and completion', () => {
  test('init writes what check accepts, and replaces nothing unasked', async () => {
    expect(await cli('config', 'init', '--account', '210987654321', '--bucket', 'weights-prod')).toMatchObject({
      code: 0,
    })
    const checked = await cli('config', 'check', '--json')
    expect(jsonOf(checked.stdout)).toMatchObject({
      schema: 1,
      stage: 'dev',
      config: { source: { account: '210987654321' }, buckets: [{ name: 'weights-prod' }] },
    })
    expect((await cli('config', 'check')).stdout).toContain('s3://weights-prod/')
    expect(await cli('config', 'init')).toMatchObject({ code: 2 })
    expect(await cli('config', 'init', '--force')).toMatchObject({ code: 0 })
  })

  test('init refuses a value that check would refuse, and writes nothing', async () => {
    const { code, stderr } = await cli('config', 'init', '--account', '12')
    expect(code).toBe(2)
    expect(stderr).toContain('an AWS account id: 12 digits')
    expect(await readdir(dir)).toEqual([])
  })

  test('check prints every problem', async () => {
    await cli('config', 'init')
    const file = join(dir, 'lifeboat.yml')
    const text = await readFile(file, 'utf8')
    await writeFile(file, text.replace('  region:', '  regoin:').replace('days: 30', 'days: -1'))
    const { code, stderr } = await cli('config', 'check')
    expect(code).toBe(2)
    expect(stderr).toContain('did you mean "region"?')
    expect(stderr).toContain('retention.days')
    expect(await cli('--config', 'nosuch.yml', 'config', 'check')).toMatchObject({ code: 2 })
  })

  test('help is on stdout and has examples and the exit codes for every command', async () => {
    for (const args of [
      [],
      ['status'],
      ['rpo'],
      ['ls'],
      ['restore'],
      ['rows', 'get'],
      ['rows', 'scan'],
      ['diff'],
      ['redrive'],
      ['trace'],
      ['config', 'init'],
      ['completion'],
    ]) {
      const { code, stdout } = await cli(...args, '--help')
      expect(code).toBe(0)
      expect(stdout).toContain('Example')
      expect(stdout).toContain('130  interrupted')
      expect(stdout).toContain('--replica')
    }
  })

  test('completion knows every command and flag', async () => {
    for (const shell of ['bash', 'zsh', 'fish']) {
      const { code, stdout } = await cli('completion', shell)
      expect(code).toBe(0)
      for (const word of [
        'restore',
        'ls',
        'check',
        'overwrite',
        'replica',
        'scan',
        'partition',
        'diff',
        'repair',
        'redrive',
        'status',
        'rpo',
        'trace',
      ])
        expect(stdout).toContain(word)
    }
    expect(await cli('completion', 'tcsh')).toMatchObject({ code: 2 })
  })
})
