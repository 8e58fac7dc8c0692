import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica } from '../support/cli-replica.ts'
import { beat } from '../support/heartbeat.ts'
import { writeObject, writeRelease } from '../support/replica.ts'

/** One manifest of a release that is damaged keeps nobody from the others. */

let dir: string
let store: MemoryBlobStore
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-cli-'))
  store = createMemoryBlobStore()
  await writeReplica(store)
})
afterEach(() => rm(dir, { recursive: true, force: true }))

const cli = (...args: string[]) => runCli(args, { store, cwd: dir, columns: 80 })
const damage = (version: string): string => {
  const name = store.names().find((each) => each.startsWith(`releases/llama/${version}.`))!
  store.corrupt(name, () => Buffer.from('{'))
  return name
}

describe('restore', () => {
  test('gives the newest that can be read, and names the one that cannot', async () => {
    const name = damage('2')
    const { code, stdout, stderr } = await cli('restore', 'llama', '--to', 'out')
    expect(code).toBe(0)
    expect(stdout).toContain('llama@1 (protected')
    expect(stderr).toContain(`lifeboat: ${name} cannot be read and was passed over; restored is llama@1\n`)
  })

  test('of another version is as ever, of the damaged one fails', async () => {
    damage('2')
    const other = await cli('restore', 'llama@1', '--to', 'out')
    expect(other.code).toBe(0)
    expect(other.stderr).not.toContain('passed over')
    expect((await cli('restore', 'llama@2', '--to', 'out2')).code).toBe(5)
    expect((await cli('restore', 'llama@3', '--to', 'out3')).code).toBe(4)
  })

  test('of the newest fails where only the damaged one was protected', async () => {
    damage('1')
    expect((await cli('restore', 'llama', '--to', 'out')).code).toBe(5)
    damage('2')
    expect((await cli('restore', 'llama', '--to', 'out')).code).toBe(5)
  })

  test('fails where a name is hashed, which may be that of any version', async () => {
    const object = await writeObject(store, { key: 'llama/x/w', bytes: Buffer.from('w') })
    const files = [{ path: 'w', object }]
    const model = 'm'.repeat(600)
    await writeRelease(store, { model, version: '1', files })
    expect((await cli('restore', `${model}@1`, '--to', 'out')).code).toBe(0)
    const { name } = await writeRelease(store, { model, version: '/'.repeat(300), files })
    store.corrupt(name, () => Buffer.from('{'))
    expect(name).toContain('/~')
    expect((await cli('restore', `${model}@1`, '--to', 'out')).code).toBe(5)
    expect((await cli('restore', 'llama@1', '--to', 'out')).code).toBe(0)
  })
})

test('status counts it as a problem', async () => {
  await beat(store)
  const name = damage('2')
  const { code, stdout } = await cli('status', '--json')
  expect(code).toBe(1)
  const { alarms } = JSON.parse(stdout) as { alarms: { name: string; text: string }[] }
  expect(alarms).toContainEqual(
    expect.objectContaining({ name: 'release-damaged', severity: 'problem', text: `cannot be read: ${name}` }),
  )
  expect((await cli('status')).stdout).toContain('Problems found')
})

test('rpo counts it as lost', async () => {
  await beat(store)
  expect((await cli('rpo')).code).toBe(0)
  const name = damage('2')
  const { code, stdout } = await cli('rpo')
  expect(code).toBe(1)
  expect(stdout).toContain(`releases   ${name} cannot be read`)
  const json = JSON.parse((await cli('rpo', '--json')).stdout) as Record<string, unknown>
  expect(json).toMatchObject({ lost: 'something', totals: { damaged: 1 }, damaged: [name] })
})

test('trace tells the rest, and that it lacks something, where it may be of the same model', async () => {
  const release = { model: 'llama', version: '2', path: 'w' }
  await writeObject(store, { key: 'llama/2/w', bytes: Buffer.from('w'), change: { release } })
  const name = damage('2')
  const { code, stdout, stderr } = await cli('trace', 's3://models/llama/2/w')
  expect(code).toBe(5)
  expect(stdout).toContain('sealed')
  expect(stderr).toContain(name)
  expect((await cli('trace', 's3://models/single#1.bin')).code).toBe(0)
})
