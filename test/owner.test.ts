import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../shared/clouds/memory/blob-store.ts'
import { createMemoryRowStore } from '../shared/clouds/memory/row-store.ts'
import { DeniedError, UnavailableError } from '../shared/errors.ts'
import {
  createOwnerCheck,
  type Deployment,
  ownedRows,
  ownedStore,
  ownerName,
  type OwnerStore,
  readOwner,
} from '../shared/owner.ts'
import { formatVersion, toBytes } from '../shared/weights/manifest.ts'

const mine: Deployment = { source: { account: '111122223333', region: 'eu-west-1' }, stage: 'prod' }
const now = Date.parse('2026-05-01T10:00:00Z')

let store: MemoryBlobStore
beforeEach(() => {
  store = createMemoryBlobStore({ canList: false })
})
const checkOf = (deployment: Deployment, over: OwnerStore = store) =>
  createOwnerCheck({ store: over, deployment, place: 'gs://replica/x/', clock: { now: () => now } })

describe('the owner record', () => {
  it('is created by the first that begins to write, and says who', async () => {
    await checkOf(mine)()
    await checkOf(mine)()
    expect(store.names()).toEqual([ownerName])
    expect(await readOwner(store)).toEqual({
      format: 'lifeboat/owner',
      formatVersion,
      ...mine,
      claimedAt: '2026-05-01T10:00:00.000Z',
    })
  })

  it.each<[string, Deployment]>([
    ['another stage', { ...mine, stage: 'dev' }],
    ['another account', { ...mine, source: { ...mine.source, account: '999999999999' } }],
    ['another region', { ...mine, source: { ...mine.source, region: 'us-east-1' } }],
  ])('refuses %s, with who it is and what to do', async (_title, other) => {
    await checkOf(mine)()
    const error: unknown = await checkOf(other)().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DeniedError)
    expect(String(error)).toContain(
      `the replica gs://replica/x/ belongs to stage prod of AWS account 111122223333 in eu-west-1 since 2026-05-01T10:00:00.000Z, ` +
        `and this is stage ${other.stage} of AWS account ${other.source.account} in ${other.source.region}`,
    )
    expect(String(error)).toContain('replica.prefix, or hand it over as docs/runbook.md says')
  })

  it('of two that begin at once one is the owner', async () => {
    const outcomes = await Promise.allSettled([checkOf(mine)(), checkOf({ ...mine, stage: 'dev' })()])
    expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
  })

  it('is asked for once, and again only after it could not be', async () => {
    let asked = 0
    let isDown = true
    const counted: OwnerStore = {
      ...store,
      create: async (...args) => {
        asked += 1
        if (isDown) throw new UnavailableError('down')
        return store.create(...args)
      },
    }
    const check = checkOf(mine, counted)
    await expect(check()).rejects.toThrow(UnavailableError)
    isDown = false
    await Promise.all([check(), check(), check()])
    await check()
    expect(asked).toBe(2)
  })

  it('is known to an identity that may only read, and a denial of both is passed on', async () => {
    const denied: OwnerStore = {
      ...store,
      create: async () => {
        throw new DeniedError('no create')
      },
    }
    await expect(checkOf(mine, denied)()).rejects.toThrow(DeniedError)
    await checkOf(mine)()
    await expect(checkOf(mine, denied)()).resolves.toBeUndefined()
  })

  it.each<[string, Uint8Array, RegExp]>([
    [
      'of a newer major version',
      toBytes({ format: 'lifeboat/owner', formatVersion: '2.0' }),
      /format 2\.0.*newer lifeboat/,
    ],
    ['that is no JSON', Buffer.from('mine!'), /not JSON/],
  ])('one %s denies: nothing of the work is at fault', async (_title, body, message) => {
    await store.create(ownerName, body)
    const error: unknown = await checkOf(mine)().catch((thrown: unknown) => thrown)
    expect(error).toBeInstanceOf(DeniedError)
    expect(String(error)).toMatch(message)
  })

  it('with unknown fields of a newer minor version is understood', async () => {
    const record = {
      format: 'lifeboat/owner',
      formatVersion: '1.4',
      ...mine,
      claimedAt: '2026-05-01T10:00:00Z',
      note: 1,
    }
    await store.create(ownerName, toBytes(record))
    await expect(checkOf(mine)()).resolves.toBeUndefined()
  })
})

const foreign = async () => {
  await checkOf({ ...mine, stage: 'dev' })()
  return checkOf(mine)
}

describe('what writes only where the replica is its own', () => {
  it('a store creates and changes nothing, and is read', async () => {
    const stat = await store.create('a', new Uint8Array(1))
    const owned = ownedStore(store, await foreign())
    await expect(owned.create('b', new Uint8Array(1))).rejects.toThrow(/belongs to stage dev/)
    await expect(owned.update(stat!, { metadata: { a: 'b' } })).rejects.toThrow(/belongs to stage dev/)
    expect(await owned.stat('a')).toEqual(stat)
    expect(store.names()).toEqual(['a', ownerName])
  })

  it('rows and their history stay as they are, and are read', async () => {
    const rows = createMemoryRowStore()
    const owned = ownedRows(rows, await foreign())
    const key = Buffer.from('k')
    const row = { key, cells: new Map(), marker: { version: '1', time: 1, tombstone: false } }
    await expect(owned.applyIfNewer('t', row)).rejects.toThrow(/belongs to stage dev/)
    await expect(owned.replaceIf('t', row, undefined)).rejects.toThrow(/belongs to stage dev/)
    await expect(owned.history.append('t', [{ key, version: '1', time: 1, before: 'absent' }])).rejects.toThrow(
      /belongs/,
    )
    expect(await owned.read('t', [key])).toEqual([undefined])
  })

  it('writes where it is', async () => {
    const owned = ownedStore(store, checkOf(mine))
    expect(await owned.create('b', new Uint8Array(1))).toBeDefined()
    expect(store.names()).toEqual(['b', ownerName])
  })
})
