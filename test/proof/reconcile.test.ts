import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryProofState } from '../../shared/clouds/memory/proof-state.ts'
import { reconcile, type ReconcileDeps, type Reconciled } from '../../shared/proof/reconcile.ts'
import { createRepairer } from '../../shared/proof/repair.ts'
import { newestReport, type Report } from '../../shared/proof/report.ts'
import { ample, bucketName, createWorld, noise, type World, type WorldOptions } from '../support/weights-world.ts'
import { provenAtOf } from '../support/proven-at.ts'

const minuteMs = 60_000
const hourMs = 60 * minuteMs

let world: World
let deps: ReconcileDeps
const open = (options: WorldOptions = {}): void => {
  world = createWorld(options)
  deps = { ...world.deps, state: createMemoryProofState(), repairer: createRepairer(world.deps) }
}
beforeEach(() => open())

const pass = async (mode?: 'recent' | 'full'): Promise<Reconciled> => {
  const outcome = await reconcile(deps, ample, mode)
  await world.run()
  return outcome
}
/** The schedule, every quarter of an hour, until a run is done. */
const nextReport = async (): Promise<Report> => {
  for (let calls = 0; calls < 200; calls += 1) {
    world.tick(15 * minuteMs)
    const { report } = await pass()
    if (report) return report
  }
  throw new Error('no run was done')
}
const states = (): Record<string, string> =>
  Object.fromEntries(world.rows().map(({ source, state }) => [source.key, state]))

describe('reconcile', () => {
  it('finds a lost event within its hour and replicates the object', async () => {
    await nextReport()
    world.publish('llama/v1/a.bin', noise(20))
    world.publish('llama/v1/lost.bin', noise(30), { quiet: true })
    await world.run()
    const lostAt = world.now()
    expect(Object.keys(states())).toEqual(['llama/v1/a.bin'])
    const report = await nextReport()
    expect(world.now() - lostAt).toBeLessThanOrEqual(hourMs)
    expect(report).toMatchObject({ outcome: 'failed', findingsTotal: 1, counts: { sent: 1, versions: 2 } })
    expect(report.findings[0]).toMatchObject({ kind: 'unannounced', repaired: 'sent' })
    expect(report.findings[0]!.subject).toMatch(/^s3:\/\/models\/llama\/v1\/lost\.bin#/)
    expect(states()['llama/v1/lost.bin']).toBe('protected')
    expect(await nextReport()).toMatchObject({ outcome: 'passed', findingsTotal: 0 })
    expect(world.telemetry.total('ObjectsFoundByReconcile')).toBe(1)
    expect((await newestReport(world.store, 'reconcile'))?.report.outcome).toBe('passed')
  })

  it('leaves when everything was last right, which a look at the last hours is not', async () => {
    await pass('recent')
    expect(await provenAtOf(deps.state, 'reconcile')).toBeUndefined()
    const { report } = await pass('full')
    expect(await provenAtOf(deps.state, 'reconcile')).toBe(Date.parse(report!.endedAt))
  })

  it.each(['versioned', 'suspended', 'unversioned'] as const)(
    'knows what was replicated in a bucket that is %s',
    async (versioning) => {
      open({ versioning })
      world.publish('llama/v1/a.bin', noise(20))
      world.publish('llama/v1/é +%.bin', noise(30))
      await world.run()
      world.tick(hourMs)
      expect((await pass('full')).report).toMatchObject({
        outcome: 'passed',
        counts: { lookedUp: 2, manifests: 2, sent: 0 },
      })
    },
  )

  it('finds every version of a key, and leaves delete markers alone', async () => {
    for (const seed of [1, 2, 3, 4, 5]) world.publish('llama/v1/a.bin', noise(20, seed), { quiet: true })
    world.source.delete(bucketName, 'llama/v1/a.bin')
    world.tick(hourMs)
    expect((await pass('full')).report).toMatchObject({ counts: { versions: 5, sent: 5 } })
    expect(world.rows().map(({ state }) => state)).toEqual(Array.from({ length: 5 }, () => 'protected'))
  })

  it('gives an event its time', async () => {
    world.publish('llama/v1/young.bin', noise(20), { quiet: true })
    world.tick(minuteMs)
    expect((await pass('full')).report).toMatchObject({ outcome: 'passed', counts: { tooYoung: 1, sent: 0 } })
    world.tick(hourMs)
    world.publish('llama/v1/old.bin', noise(20))
    expect((await pass('full')).report?.counts).toMatchObject({ sent: 1, tooYoung: 1 })
  })

  it('leaves to a backfill what was there before Lifeboat, and says how much', async () => {
    world.publish('llama/v1/ancient.bin', noise(20), { quiet: true })
    world.tick(30 * hourMs)
    expect((await pass('full')).report).toMatchObject({ outcome: 'passed', counts: { beforeLifeboat: 1, sent: 0 } })
    world.tick(30 * hourMs)
    expect((await pass('full')).report).toMatchObject({ counts: { beforeLifeboat: 1 } })
    expect(world.rows()).toEqual([])
  })

  it('looks only at what is recent every hour, and at everything every day', async () => {
    world.publish('llama/v1/a.bin', noise(20))
    await world.run()
    expect(await nextReport()).toMatchObject({ scope: 'full' })
    world.tick(10 * hourMs)
    expect(await nextReport()).toMatchObject({ scope: 'recent', counts: { versions: 1, lookedUp: 0 } })
    world.tick(14 * hourMs)
    expect(await nextReport()).toMatchObject({ scope: 'full', counts: { lookedUp: 1, manifests: 1 } })
  })

  it('finds a manifest that is gone from the replica', async () => {
    world.publish('llama/v1/a.bin', noise(20))
    await world.run()
    world.tick(hourMs)
    world.store.remove(world.names('objects/')[0]!)
    const { report } = await pass('full')
    expect(report).toMatchObject({ outcome: 'failed', findings: [{ kind: 'manifest-missing', repaired: 'sent' }] })
    expect(await world.manifests()).toMatchObject([{ state: 'protected', source: { key: 'llama/v1/a.bin' } }])
    expect((await pass('full')).report).toMatchObject({ outcome: 'passed' })
  })

  it('counts what is archived, and names what is from before a bucket kept versions', async () => {
    open({ versioning: 'unversioned' })
    world.publish('llama/v1/old.bin', noise(20), { quiet: true })
    world.source.setVersioning(bucketName, 'versioned')
    world.publish('llama/v1/old.bin', noise(20, 2))
    world.publish('llama/v1/cold.bin', noise(30), { storageClass: 'GLACIER' })
    await world.run()
    world.tick(hourMs)
    const { report } = await pass('full')
    expect(report).toMatchObject({
      counts: { archived: 1, sent: 0 },
      findings: [{ kind: 'unannounced', repaired: 'no' }],
    })
    expect(report!.findings[0]!.subject).toContain('llama/v1/old.bin#u-')
  })

  it('goes on where its time ran out, repeats no page, and loses none', async () => {
    for (let index = 0; index < 20; index += 1)
      world.publish(`llama/v1/${index}.bin`, noise(20, index), { quiet: true })
    world.tick(hourMs)
    let calls = 0
    let done: Reconciled
    do {
      calls += 1
      done = await reconcile(deps, { remainingMs: () => 1000 })
    } while (done.outcome === 'goes on')
    expect(calls).toBeGreaterThan(5)
    expect(done.report).toMatchObject({ counts: { versions: 20, sent: 20 } })
    await world.run()
    expect(Object.values(states()).filter((state) => state === 'protected')).toHaveLength(20)
  })

  it('goes on after a call that died, and gives way to another that is faster', async () => {
    for (let index = 0; index < 9; index += 1) world.publish(`llama/v1/${index}.bin`, noise(20, index), { quiet: true })
    world.tick(hourMs)
    let pages = 0
    const dying = {
      versionPages: async function* (...args: Parameters<typeof deps.source.versionPages>) {
        for await (const page of deps.source.versionPages(...args)) {
          if ((pages += 1) === 3) throw new Error('killed')
          yield page
        }
      },
    }
    await expect(reconcile({ ...deps, source: dying }, ample)).rejects.toThrow('killed')
    const slow = {
      ...deps.state,
      read: async (name: string) => {
        const before = await deps.state.read(name)
        await reconcile(deps, { remainingMs: () => 1000 })
        return before
      },
    }
    expect((await reconcile({ ...deps, state: slow }, ample)).outcome).toBe('taken')
    await nextReport()
    expect(Object.values(states()).filter((state) => state === 'protected')).toHaveLength(9)
  })
})
