import { BatchGetItemCommand, type BatchWriteItemCommand } from '@aws-sdk/client-dynamodb'
import { beforeEach, describe, expect, it } from 'vitest'
import { toArray } from '../../shared/bounded.ts'
import { createChunkIndex } from '../../shared/clouds/aws/chunk-index.ts'
import { member, chunkRef, idOf, range, times, type Ledger, ledgerFixture } from '../support/ledger-fixture.ts'

const fixture = ledgerFixture()

describe.each(fixture.targets)('a ledger: %s', (_name, openLedger) => {
  let ledger: Ledger
  beforeEach(async () => {
    ledger = await openLedger()
  })

  describe('chunks', () => {
    it('gives back what was recorded, in any number at once', { timeout: 60_000 }, async () => {
      await ledger.chunks.record(range(230).map(chunkRef))
      await ledger.chunks.record([])
      const found = await times(260, async (number) => ledger.chunks.lookup(idOf(number)))
      expect(found.slice(0, 230)).toEqual(range(230).map(chunkRef))
      expect(found.slice(230)).toEqual(range(30).map(() => undefined))
    })

    it('keeps the last of several words about one chunk, and forgets it', async () => {
      await ledger.chunks.record([chunkRef(1), { ...chunkRef(1), generation: '2' }])
      await ledger.chunks.record([{ ...chunkRef(1), generation: '3' }])
      expect((await ledger.chunks.lookup(idOf(1)))?.generation).toBe('3')
      await ledger.chunks.forget(idOf(1))
      await ledger.chunks.forget(idOf(2))
      expect(await ledger.chunks.lookup(idOf(1))).toBeUndefined()
    })
  })

  describe('releases', () => {
    const release = { model: 'a', version: 'v' }

    it('keep a member for each version and the release open', async () => {
      expect(await ledger.releases.get('models', 'a/v/')).toBeUndefined()
      expect(await ledger.releases.members('models', 'a/v/')).toEqual([])
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.touch(member({ traceId: 'trace-2', crc64nvme: 'c' }), release, 6)
      await ledger.releases.touch(member({ traceId: 'trace-3', prefix: 'a/w/' }), { model: 'a' }, 7)
      expect(await ledger.releases.get('models', 'a/v/')).toEqual({
        bucket: 'models',
        prefix: 'a/v/',
        ...release,
        touchedAt: 6,
        done: [],
      })
      expect(await ledger.releases.get('models', 'a/w/')).not.toHaveProperty('version')
      const members = await ledger.releases.members('models', 'a/v/')
      expect(members.toSorted((a, b) => (a.traceId < b.traceId ? -1 : 1))).toEqual([
        member(),
        member({ traceId: 'trace-2', crc64nvme: 'c' }),
      ])
      expect((await toArray(ledger.releases.open())).map(({ prefix }) => prefix)).toHaveLength(2)
    })

    it.each([
      ['protected', 'copying', 'plan-1', false],
      ['protected', 'copying', 'plan-2', false],
      ['protected', 'superseded', 'plan-1', false],
      ['sealed', 'refused', 'plan-1', false],
      ['superseded', 'copying', 'plan-1', false],
      ['superseded', 'copying', 'plan-2', true],
      ['superseded', 'protected', 'plan-1', true],
      ['copying', 'copying', 'plan-2', true],
      ['copying', 'refused', 'plan-1', true],
      ['protected', 'protected', 'plan-1', true],
    ] as const)('do not let a late word hide an end: %s, then %s of %s: %s', async (from, to, planId, replaced) => {
      await ledger.releases.touch(member({ state: from }), release, 5)
      await ledger.releases.touch(member({ state: to, planId, sha256: 'new' }), release, 6)
      const [found] = await ledger.releases.members('models', 'a/v/')
      expect(found).toEqual(replaced ? member({ state: to, planId, sha256: 'new' }) : member({ state: from }))
    })

    it('remember what is done and what is waited for', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.update('models', 'a/v/', { waiting: 'for b' })
      expect(await ledger.releases.get('models', 'a/v/')).toMatchObject({ waiting: 'for b', done: [] })
      await times(3, async (index) => ledger.releases.update('models', 'a/v/', { done: `m${index}` }))
      await ledger.releases.update('models', 'a/v/', { done: 'm1' })
      const row = await ledger.releases.get('models', 'a/v/')
      expect(row!.done.toSorted()).toEqual(['m0', 'm1', 'm2'])
      expect(row).not.toHaveProperty('waiting')
      await ledger.releases.touch(member({ traceId: 'trace-2' }), release, 9)
      expect((await ledger.releases.get('models', 'a/v/'))!.done).toHaveLength(3)
    })

    it('close only where nothing touched them since', async () => {
      const open = async () => (await toArray(ledger.releases.open())).length
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.touch(member(), release, 6)
      await ledger.releases.update('models', 'a/v/', { closeIf: 5 })
      expect(await open()).toBe(1)
      await ledger.releases.update('models', 'a/v/', { closeIf: 6 })
      expect(await open()).toBe(0)
      await ledger.releases.touch(member(), release, 7)
      expect(await open()).toBe(1)
    })

    it('are opened again, with nothing done, to be sealed anew', async () => {
      await ledger.releases.reopen('models', 'a/v/', 'x', 4)
      expect(await ledger.releases.get('models', 'a/v/')).toBeUndefined()
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.update('models', 'a/v/', { done: 'm1' })
      await ledger.releases.update('models', 'a/v/', { closeIf: 5 })
      expect(await toArray(ledger.releases.open())).toEqual([])
      await times(3, async () => ledger.releases.reopen('models', 'a/v/', 'x', 6))
      await ledger.releases.reopen('models', 'a/v/', 'y', 7)
      const row = await ledger.releases.get('models', 'a/v/')
      expect(row).toMatchObject({ done: [], again: 2, touchedAt: 5 })
      expect(await toArray(ledger.releases.open())).toEqual([row])
    })

    it('are neither done nor closed by one that looked before they were opened again', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.reopen('models', 'a/v/', 'x', 6)
      await ledger.releases.update('models', 'a/v/', { done: 'm1' })
      await ledger.releases.update('models', 'a/v/', { closeIf: 5 })
      await ledger.releases.reopen('models', 'a/v/', 'y', 6)
      await ledger.releases.update('models', 'a/v/', { done: 'm2', again: 1 })
      await ledger.releases.update('models', 'a/v/', { closeIf: 5, again: 1 })
      const row = await ledger.releases.get('models', 'a/v/')
      expect(row).toMatchObject({ done: [], again: 2 })
      expect(await toArray(ledger.releases.open())).toEqual([row])
      await ledger.releases.update('models', 'a/v/', { done: 'm3', closeIf: 5, again: 2 })
      expect(await ledger.releases.get('models', 'a/v/')).toMatchObject({ done: ['m3'] })
      expect(await toArray(ledger.releases.open())).toEqual([])
    })

    it('remember the manifests that are to be replaced, each once', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.reopen('models', 'a/v/', 'x', 6)
      expect(await ledger.releases.get('models', 'a/v/')).not.toHaveProperty('wanting')
      for (const [cause, id] of [
        ['y', 'id-1'],
        ['z', 'id-2'],
        ['x', 'id-1'],
        ['x', 'id-3'],
      ] as const)
        await ledger.releases.reopen('models', 'a/v/', cause, 7, id)
      const row = await ledger.releases.get('models', 'a/v/')
      expect(row).toMatchObject({ done: [], again: 4 })
      expect(row!.wanting!.toSorted()).toEqual(['id-1', 'id-2'])
      await ledger.releases.touch(member({ traceId: 'trace-2' }), release, 8)
      expect((await ledger.releases.get('models', 'a/v/'))!.wanting).toHaveLength(2)
    })

    it('take an order to evaluate for no member', async () => {
      await ledger.releases.touch(member(), release, 5)
      await ledger.releases.request('models', 'a/v/', 6)
      expect(await ledger.releases.members('models', 'a/v/')).toEqual([member()])
      expect(await toArray(ledger.objects.pending())).toEqual([])
    })
  })

  describe('chains', () => {
    it('never give a number twice', async () => {
      const given = await times(50, async () => (await ledger.chain.next('k')).sequence)
      expect(given.toSorted((a, b) => a - b)).toEqual(range(50).map((number) => number + 1))
      expect((await ledger.chain.next('other')).sequence).toBe(1)
    })

    it('remember the newest sealed manifest, however late an older one is told of', async () => {
      expect(await ledger.chain.next('k')).toEqual({ sequence: 1, previousDigest: null })
      await ledger.chain.advance('k', 1, 'd1', { version: 'v1' })
      await ledger.chain.advance('k', 3, 'd3', { version: 'v3' })
      await ledger.chain.advance('k', 2, 'd2', { version: 'v2' })
      await ledger.chain.advance('k', 3, 'again')
      expect(await ledger.chain.newest('k')).toEqual({ sequence: 3, digest: 'd3', info: { version: 'v3' } })
      expect(await ledger.chain.newest('other')).toBeUndefined()
      expect(await ledger.chain.next('k')).toEqual({
        sequence: 2,
        previousDigest: 'd3',
        previous: { version: 'v3' },
      })
    })
  })
})

describe('the chunk index on DynamoDB', () => {
  it('asks again for keys that were left out, and writes again what was left out', async () => {
    const table = await fixture.tables().create()
    const { client } = fixture.tables()
    let batches = 0
    const partly = {
      send: async (command: BatchGetItemCommand | BatchWriteItemCommand) => {
        batches += 1
        if (command instanceof BatchGetItemCommand) {
          const keys = command.input.RequestItems![table]!.Keys!
          command.input.RequestItems![table]!.Keys = keys.slice(0, 30)
          const output = await client.send(command)
          return { ...output, UnprocessedKeys: keys.length > 30 ? { [table]: { Keys: keys.slice(30) } } : {} }
        }
        const requests = command.input.RequestItems![table]!
        command.input.RequestItems![table] = requests.slice(0, 10)
        const output = await client.send(command)
        return { ...output, UnprocessedItems: requests.length > 10 ? { [table]: requests.slice(10) } : {} }
      },
    } as unknown as typeof client
    await createChunkIndex(partly, table).record(range(60).map(chunkRef))
    expect(batches).toBe(3 + 3 + 1)
    batches = 0
    const index = createChunkIndex(partly, table)
    const found = await times(60, async (number) => index.lookup(idOf(number)))
    expect(found).toEqual(range(60).map(chunkRef))
    expect(batches).toBe(2)
    await index.lookup(idOf(7))
    expect(batches).toBe(2)
  })

  it('rejects every lookup of a batch that fails, and the next one works', async () => {
    const table = await fixture.tables().create()
    let isDown = true
    const { client } = fixture.tables()
    const flaky = {
      send: async (command: BatchGetItemCommand) => {
        if (isDown) throw new Error('validation')
        return client.send(command)
      },
    } as unknown as typeof client
    const index = createChunkIndex(flaky, table)
    const results = await Promise.allSettled(range(3).map(async (number) => index.lookup(idOf(number))))
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected'])
    isDown = false
    expect(await index.lookup(idOf(1))).toBeUndefined()
  })
})
