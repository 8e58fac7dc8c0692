import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { viewReplica } from '../../cli/replica-view.ts'
import { toArray } from '../../shared/bounded.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'

const unused = () => Promise.reject(new Error('not asked for'))

/** What three listed names and a read write to stderr, each taking three seconds. */
const shown = async (options: { quiet?: boolean; json?: boolean }): Promise<string> => {
  const store = createMemoryBlobStore()
  for (const name of ['a/1', 'a/2', 'a/3']) await store.create(name, Buffer.from(name))
  const stderr = new PassThrough()
  let now = 0
  const context = {
    stdout: new PassThrough(),
    stderr,
    cwd: '/nowhere',
    env: {},
    now: () => (now += 3000),
    signal: new AbortController().signal,
    openReplica: async () => ({ store, url: 'gs://replica/' }),
    openRows: unused,
    openItems: unused,
    openSource: unused,
    openReplicaFacts: unused,
    wait: unused,
  }
  const view = await viewReplica(context, { stage: 'dev', ...options })
  expect(view).toMatchObject({ url: 'gs://replica/', config: undefined })
  expect(await toArray(view.store.list('a/'))).toHaveLength(3)
  expect(Buffer.from((await view.store.read('a/2')) ?? '').toString()).toBe('a/2')
  return String(stderr.read() ?? '')
}

test('a long search counts on stderr what it has read', async () => {
  expect(await shown({})).toBe('2 records, 0/s\n4 records, 0/s\n')
})

test('and is silent where nobody wants to read that', async () => {
  expect(await shown({ quiet: true })).toBe('')
  expect(await shown({ json: true })).toBe('')
})
