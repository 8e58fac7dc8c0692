import { setTimeout as sleep } from 'node:timers/promises'
import type { Service } from '../../local/clouds.ts'
import type { PoolStats } from '../../local/lambda/pool.ts'
import { createNumbers } from '../../local/start/synthetic-model.ts'
import { startTestStack, type TestStack } from '../support/stack.ts'
import { problemsOf, publishedVersions, redrive, underWay } from './kill-check.ts'
import { createPublisher } from './kill-publish.ts'

/**
 * Publishes models while function instances, the runner and the embedded servers are killed by SIGKILL, each server
 * started again on what it had written. The seed gives the kinds, targets and instants; the interleaving is the machine's.
 */

/** `upload`: a chunk is on its way to the replica. `seal`: all segments are counted and the manifest is on its way. */
export type KillKind = 'upload' | 'seal' | 'anywhere'
type Target = 'functions' | 'runner' | Service

export type KillReport = {
  seed: number
  kills: Record<KillKind, number>
  targets: Record<string, number>
  versions: number
  releases: number
  /** Messages that five failed attempts had put into a dead-letter queue and that went back by hand. */
  redriven: number
  seconds: number
  problems: string[]
}

const redeliverSeconds = 10
/** How long the window of a kill stays open, and how far into it the kill comes. */
const windowMs = 2500
const intoWindowMs = 1500
const betweenMs = 2500
const openTimeoutMs = 120_000
const quietTimeoutMs = 300_000
const share = 0.25

const windows = { upload: 'POST /upload.*name=chunks', seal: 'POST /upload.*name=objects' } as const
const functions = { upload: 'copySegment', seal: 'commitObject' } as const
/** In turn, so that a few kills in a window meet different targets too. */
const targets: Target[] = ['functions', 'runner', 'functions', 'gcs', 'functions', 'dynamodb', 'functions', 'sqs', 's3']

const kindsOf = (kills: number, next: () => number): KillKind[] => {
  const windowed = Math.ceil(kills * share)
  const kinds = Array.from({ length: kills }, (_, index): KillKind => {
    if (index < windowed) return 'upload'
    return index < 2 * windowed ? 'seal' : 'anywhere'
  })
  const keyed = kinds.map((kind) => ({ kind, at: next() }))
  return keyed.sort((a, b) => a.at - b.at).map(({ kind }) => kind)
}

const instancesOf = async (it: TestStack, only: string | undefined): Promise<number[]> => {
  const response = await fetch(`${it.stack.runner().url}/_lifeboat/stats`)
  const stats = (await response.json()) as Record<string, PoolStats>
  const pools = Object.entries(stats).filter(([name]) => only === undefined || name.endsWith(`-${only}`))
  return pools.flatMap(([, { pids }]) => pids)
}

const killInstances = async (it: TestStack, only: string | undefined, next: () => number): Promise<boolean> => {
  const pids = await instancesOf(it, only)
  const chosen = only === undefined ? pids.slice(next() % Math.max(1, pids.length)) : pids
  for (const pid of chosen) {
    try {
      process.kill(pid, 'SIGKILL')
    } catch (error) {
      // It ended in between, by itself or with the runner.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
    }
  }
  return chosen.length > 0
}

/** True when something was killed. */
const kill = async (it: TestStack, target: Target, kind: KillKind, next: () => number): Promise<boolean> => {
  if (target === 'functions') return killInstances(it, kind === 'anywhere' ? undefined : functions[kind], next)
  if (target === 'runner') await it.stack.restartRunner()
  else await it.stack.clouds.restart(target)
  return true
}

/** Holds requests of a kind in the replica's server and resolves once one is held; false when none came. */
const openWindow = async (it: TestStack, kind: 'upload' | 'seal'): Promise<boolean> => {
  const held = 3
  await it.setFaults('gcs', [{ path: windows[kind], times: held, delayMs: windowMs }])
  const deadline = Date.now() + openTimeoutMs
  while (Date.now() < deadline) {
    if ((await it.faults('gcs'))[0]!.times < held) return true
    await sleep(20)
  }
  return false
}

const quiet = async (it: TestStack, releases: Parameters<typeof underWay>[1]): Promise<number> => {
  const deadline = Date.now() + quietTimeoutMs
  let redriven = 0
  for (;;) {
    redriven += await redrive(it)
    const waiting = await underWay(it, releases)
    if (waiting.length === 0) return redriven
    if (Date.now() > deadline)
      throw new Error(`still under way after ${quietTimeoutMs / 1000} s:\n${waiting.join('\n')}`)
    await sleep(500)
  }
}

/** Runs on a stack of its own below `dir`, which the caller removes. Throws where the stack does not come to rest. */
export const killRun = async (options: {
  seed: number
  kills: number
  dir: string
  say?: (line: string) => void
}): Promise<KillReport> => {
  const { seed, kills, dir, say = () => undefined } = options
  const startedAt = Date.now()
  const next = createNumbers(seed)
  const it = await startTestStack(dir, { redeliverSeconds })
  const report: KillReport = {
    seed,
    kills: { upload: 0, seal: 0, anywhere: 0 },
    targets: {},
    versions: 0,
    releases: 0,
    redriven: 0,
    seconds: 0,
    problems: [],
  }
  try {
    const publisher = createPublisher(it.stack.s3, next)
    const publishing: Promise<void>[] = []
    const turns = { upload: next(), seal: next(), anywhere: next() }
    for (const kind of kindsOf(kills, next))
      for (let killed = false; !killed;) {
        const target = targets[(turns[kind] += 1) % targets.length]!
        const work = publisher.publishNext()
        work.catch(() => undefined)
        publishing.push(work)
        const isOpen = kind === 'anywhere' || (await openWindow(it, kind))
        if (!isOpen) throw new Error(`no ${kind} came within ${openTimeoutMs / 1000} s of a publish`)
        await sleep(next() % (kind === 'anywhere' ? betweenMs : intoWindowMs))
        killed = await kill(it, target, kind, next)
        await it.setFaults('gcs', [])
        if (!killed) continue
        report.kills[kind] += 1
        report.targets[target] = (report.targets[target] ?? 0) + 1
        say(`killed ${target} (${kind}) after ${Math.round((Date.now() - startedAt) / 1000)} s`)
      }
    await Promise.all(publishing)
    report.redriven = await quiet(it, publisher.releases)
    report.versions = (await publishedVersions(it)).length
    report.releases = publisher.releases.length
    report.problems = await problemsOf(it, publisher.releases, dir)
  } finally {
    await it.stop()
  }
  return { ...report, seconds: Math.round((Date.now() - startedAt) / 1000) }
}
