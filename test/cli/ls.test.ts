import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { InterruptedError } from '../../cli/exit-codes.ts'
import { toBytes } from '../../shared/weights/manifest.ts'
import { deletedName } from '../../shared/weights/names.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica, writeTroubles } from '../support/cli-replica.ts'
import { noise, writeObject, writePending } from '../support/replica.ts'

let dir: string
let store: MemoryBlobStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-cli-'))
  store = createMemoryBlobStore()
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(args, { store, cwd: dir })
const jsonOf = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>

describe('lifeboat ls', () => {
  test('an empty replica says what to look for', async () => {
    const { code, stdout } = await cli('ls')
    expect(code).toBe(0)
    expect(stdout).toContain('no releases in the replica')
  })

  test('models, versions and members', async () => {
    await writeReplica(store)
    await writeTroubles(store)
    expect((await cli('ls')).stdout).toBe(
      [
        'model  newest  state      versions  objects      size  published',
        'llama  1       protected         2        2  68.4 KiB  2d ago     1 waiting',
        '',
        'source       versions kept  pending  oldest pending',
        's3://models              4        0  -',
        '',
      ].join('\n'),
    )
    expect((await cli('ls', 'llama')).stdout).toBe(
      [
        'version  state      complete by  objects      size  published',
        '3        waiting    -                  -         -  1h ago     shard 2 is missing',
        '2        sealed     exact              1      13 B  1d ago     after 1',
        '1        protected  exact              2  68.4 KiB  2d ago',
        '',
      ].join('\n'),
    )
    const members = await cli('ls', 'llama@1')
    expect(members.stdout).toContain('shards/model.safetensors  68.4 KiB  v1')
    expect(await cli('ls', 'nosuch')).toMatchObject({ code: 4 })
  })

  test('objects below a prefix, and that there are more', async () => {
    await writeReplica(store)
    const all = jsonOf((await cli('ls', 's3://models/', '--json')).stdout)
    expect(all).toMatchObject({ schema: 1, pendingKnown: true, truncated: { objects: false, pending: false } })
    expect(
      (all['objects'] as { key: string; version: string }[]).map(({ key, version }) => `${key} ${version}`),
    ).toEqual(['llama/1/config.json v1', 'llama/1/model.safetensors v1', 'single#1.bin new', 'single#1.bin old'])
    expect((await cli('ls', 's3://models/llama/1/c')).stdout).toMatch(
      /^key .*\nllama\/1\/config\.json +v1 +protected +13 B +2d ago\n$/,
    )
    expect((await cli('ls', 's3://models/', '--limit', '2')).stdout).toContain('and more: this is the first 2 records')
    expect((await cli('ls', 's3://other/')).stdout).toBe('nothing in the replica begins with s3://other/\n')
    expect((await cli('ls', '--limit', '0')).code).toBe(2)
  })

  test('what is pending, refused or superseded stands beside what is kept', async () => {
    const { weights } = await writeReplica(store)
    const { planId } = weights.manifest
    await writePending(store, { key: 'llama/1/model.safetensors', planId, plannedAt: '2026-05-01T10:00:00Z' })
    await writePending(store, { key: 'new/1/w', planId: 'ab', plannedAt: '2026-05-03T09:59:00Z', size: 3 * 2 ** 20 })
    await writePending(store, { key: 'new/1/late', planId: 'cd', plannedAt: '2026-05-03T08:30:00Z', size: 1 })
    await writePending(store, { bucket: 'other', key: 'x', planId: 'ef', plannedAt: '2026-05-03T09:00:00Z' })
    await writeTroubles(store)
    expect((await cli('ls', 's3://models/new/')).stdout).toBe(
      [
        'key         version  state       size  modified',
        'new/1/late  v1       pending      1 B  2d ago    for 1h 30m',
        'new/1/w     v1       pending  3.0 MiB  2d ago    for 1m',
        '',
      ].join('\n'),
    )
    const all = (await cli('ls', 's3://models/')).stdout
    expect(all).toMatch(/^llama\/1\/model\.safetensors +v1 +protected/m)
    expect(all).toMatch(/^evil\\u\{1b\}\[2Jname +v9 +refused +- +- +2d 10h ago: checksum mismatch$/m)
    expect((await cli('ls')).stdout).toContain(
      ['s3://models              4        2  1h 30m', 's3://other               0        1  1h'].join('\n'),
    )
    const summary = jsonOf((await cli('ls', '--json')).stdout)
    expect(summary['sources']).toEqual([
      { bucket: 'models', versions: 4, pending: 2, oldestPendingAt: '2026-05-03T08:30:00Z' },
      { bucket: 'other', versions: 0, pending: 1, oldestPendingAt: '2026-05-03T09:00:00Z' },
    ])
    const json = jsonOf((await cli('ls', 's3://models/new/1/w', '--json')).stdout)
    expect(json['objects']).toMatchObject([
      { key: 'new/1/w', state: 'pending', bytes: 3 * 2 ** 20, plannedAt: '2026-05-03T09:59:00Z', planId: 'ab' },
    ])
  })

  test('a version that the source deleted says so', async () => {
    await writeReplica(store)
    const record = { format: 'lifeboat/deleted', formatVersion: '1.0', traceId: 't', bucket: 'models' }
    const deletion = { key: 'single#1.bin', deletion: 'Delete Marker Created', at: '2026-05-03T09:30:00Z' }
    await store.create(
      deletedName('models', 'single#1.bin', 'marker'),
      toBytes({ ...record, ...deletion, version: 'marker' }),
    )
    const { stdout } = await cli('ls', 's3://models/single')
    expect(stdout).toMatch(/new .* deleted in the source 30m ago\n.*old .* ago\n$/)
    const json = jsonOf((await cli('ls', 's3://models/single', '--json')).stdout)
    expect(json['objects']).toMatchObject([{ deleted: { at: '2026-05-03T09:30:00Z' } }, { deleted: null }])
  })

  test('what the limit hides is said', async () => {
    await writeReplica(store)
    await writePending(store, { key: 'a', planId: 'aa', plannedAt: '2026-05-03T09:00:00Z' })
    await writePending(store, { key: 'b', planId: 'bb', plannedAt: '2026-05-03T09:01:00Z' })
    const few = await cli('ls', '--limit', '2')
    expect(few.stdout).toMatch(/s3:\/\/models +2\+ +unknown +-\nnot all names were looked at/)
    expect(jsonOf((await cli('ls', '--limit', '2', '--json')).stdout)).toMatchObject({
      sources: [{ bucket: 'models', versions: 2, pending: null }],
      truncated: { names: true },
    })
    const one = await cli('ls', 's3://models/', '--limit', '1')
    expect(one.stdout).toContain('more is pending than was read')
    expect(one.stdout).toMatch(/^a +v1 +pending/m)
    expect((await cli('ls', 's3://models/', '--limit', '6')).stdout).not.toContain('--limit')
  })

  test('--failed leaves out what was protected since, and --json marks it', async () => {
    await writeReplica(store)
    await writeTroubles(store)
    expect((await cli('ls', '--failed')).stdout).toContain('refused  s3://models/evil')
    await writeObject(store, { key: 'evil\u001b[2Jname', version: 'v9', bytes: noise(10, 1) })
    const { stdout } = await cli('ls', '--failed')
    expect(stdout).not.toContain('evil')
    expect(stdout).toContain('and 1 that the replica has since (--json lists them)')
    expect(jsonOf((await cli('ls', '--failed', '--json')).stdout)).toMatchObject({
      failed: [{ state: 'refused', since: { state: 'protected' } }],
    })
    expect((await cli('ls', 's3://models/evil')).stdout).not.toContain('refused')
  })

  test('a terminal gets lines that fit it, a pipe whole values', async () => {
    const version = 'vbHjtqFfzM9MlrhYZq.p8FElBGqUKSPd'
    const key = `llama-3-70b/2026-05-01/${'shards/'.repeat(4)}model-00001-of-00042.safetensors`
    await writeObject(store, { key, version, bytes: noise(100, 1) })
    expect((await cli('ls', 's3://models/')).stdout).toContain(`${key}  ${version}`)
    const { stdout } = await runCli(['ls', 's3://models/'], { store, columns: 100 })
    for (const line of stdout.split('\n')) expect(line.length).toBeLessThanOrEqual(100)
    expect(stdout).toContain('vbHjtqFf…')
    const restored = await cli('restore', `s3://models/${key}#vbHjtqFf`, '--to', '.')
    expect(restored).toMatchObject({ code: 0 })
    expect(restored.stdout).toContain(`#${version}`)
  })

  test('an interrupt ends it at once, whatever the replica does', async () => {
    const interrupt = new AbortController()
    const running = runCli(['ls'], { openReplica: () => Promise.race([]), signal: interrupt.signal })
    interrupt.abort(new InterruptedError('interrupted'))
    expect(await running).toMatchObject({ code: 130, stdout: '', stderr: 'lifeboat: interrupted\n' })
  })

  test('--failed has reasons, and a terminal obeys none of the names', async () => {
    await writeReplica(store)
    await writeTroubles(store)
    const { stdout } = await cli('ls', '--failed')
    expect(stdout).toContain('waiting  llama@3 (s3://models)')
    expect(stdout).toContain('shard 2 is missing')
    expect(stdout).not.toContain('sealed since')
    expect(stdout).not.toContain('an older reason')
    expect(stdout).toContain('s3://models/evil\\u{1b}[2Jname#v9')
    expect(stdout).not.toContain('\u001b')
    const json = jsonOf((await cli('ls', '--failed', '--json')).stdout)
    expect(json).toMatchObject({ failed: [{ key: 'evil\u001b[2Jname' }], waiting: [{ reason: 'shard 2 is missing' }] })
  })

  test('a damaged release is an error that names it, after all that can be read', async () => {
    await writeReplica(store)
    const [release] = store.names().filter((name) => name.startsWith('releases/'))
    store.corrupt(release!, () => Buffer.from('{'))
    for (const what of [[], ['llama'], ['--failed']]) {
      const { code, stderr } = await cli('ls', ...what)
      expect([what, code]).toEqual([what, 5])
      expect(stderr).toContain(`this cannot be read: ${release}`)
    }
    expect((await cli('ls', 'llama')).stdout).toContain('2        sealed')
    expect(jsonOf((await cli('ls', '--json')).stdout)).toMatchObject({ damaged: [release] })
    expect((await cli('ls', 'llama@2')).code).toBe(0)
    expect(await cli('ls', 'llama@1')).toMatchObject({ code: 5, stdout: '' })
    expect((await cli('ls', 'nosuch')).code).toBe(4)
  })

  test('of no release that can be read it does not say that there is none', async () => {
    await writeReplica(store)
    for (const name of store.names().filter((each) => each.startsWith('releases/')))
      store.corrupt(name, () => Buffer.from('{'))
    const { code, stdout } = await cli('ls')
    expect(code).toBe(5)
    expect(stdout).not.toContain('no releases')
    expect((await cli('ls', 'llama')).code).toBe(5)
  })
})
