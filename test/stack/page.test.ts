import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Reported } from '../../local/cloudwatch/server.ts'
import { startCloudWatch } from '../../local/cloudwatch/server.ts'
import type { PageData } from '../../local/page/data.ts'
import { startPage } from '../../local/page/server.ts'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { concludeReport, writeReport } from '../../shared/proof/report.ts'
import { findTool } from '../support/tools.ts'

const speed = 60
const chromium = findTool('chromium')
let cloudwatch: Awaited<ReturnType<typeof startCloudWatch>>
let page: Awaited<ReturnType<typeof startPage>>
let feeding: NodeJS.Timeout

const alarm = (name: string, metric: string, threshold: number) => ({
  name,
  description: `about ${name}. docs/runbook.md#${name}`,
  namespace: 'Lifeboat',
  metric,
  dimensions: { service: 'lifeboat-local' },
  statistic: 'Maximum',
  periodSeconds: 60,
  evaluationPeriods: 2,
  datapointsToAlarm: 2,
  threshold,
  comparison: 'GreaterThanThreshold' as const,
  missing: 'breaching' as const,
})
const report = async (reported: Reported): Promise<void> => {
  await fetch(`${cloudwatch.url}/_lifeboat/report`, { method: 'POST', body: JSON.stringify(reported) })
}
const feed = async (): Promise<void> => {
  const values = {
    OldestPendingSeconds: 4,
    ReplicationLagSeconds: 2.5,
    BytesRead: 30 * 2 ** 20,
    BytesSent: 10 * 2 ** 20,
    BytesSaved: 30 * 2 ** 20,
  }
  const common = { namespace: 'Lifeboat', dimensions: { service: 'lifeboat-local' }, timestampMs: Date.now() }
  await report({ data: Object.entries(values).map(([name, value]) => ({ ...common, name, values: [value] })) })
}

beforeAll(async () => {
  cloudwatch = await startCloudWatch({ speed })
  const store = createMemoryBlobStore()
  const run = {
    startedAtMs: 1000,
    endedAtMs: 2000,
    isComplete: true,
    looked: ['chunks'],
    findings: [],
    findingsTotal: 0,
  }
  await writeReport(
    store,
    { next: () => 0, hex: () => '00' },
    concludeReport({ ...run, kind: 'validate', scope: null, counts: { chunks: 1234 } }),
  )
  await report({ alarms: [alarm('late', 'OldestPendingSeconds', 3), alarm('early', 'OldestPendingSeconds', 300)] })
  page = await startPage({ cloudwatch: cloudwatch.url, store })
  feeding = setInterval(() => void feed(), 1000 / 4)
  await feed()
})
afterAll(async () => {
  clearInterval(feeding)
  await page.close()
  await cloudwatch.close()
})

const answered = (path: string, headers: Record<string, string>, method = 'GET') =>
  new Promise<number | undefined>((resolve, reject) => {
    const sent = request(`${page.url}${path}`, { headers, method }, (response) => {
      response.resume()
      resolve(response.statusCode)
    })
    sent.on('error', reject).end()
  })

describe('the local page', () => {
  it('has no inline script, and runs nothing from elsewhere', async () => {
    const response = await fetch(page.url)
    expect(response.headers.get('content-security-policy')).toMatch(
      /^default-src 'none'; script-src 'self'; style-src 'self';/,
    )
    const html = await response.text()
    expect(html).not.toMatch(/<script(?![^>]* src=)|<style|\son\w+=|style=/)
    const loaded = [...html.matchAll(/(?:src|href)="([^"]*)"/g)].map(([, address]) => address!)
    expect(loaded.filter((address) => !/^\/[a-z]/.test(address))).toEqual([])
    for (const address of loaded) expect([address, (await fetch(page.url + address)).status]).toEqual([address, 200])
  })

  it('answers only those who ask for loopback, and only what it has', async () => {
    expect(await answered('/data.json', { host: 'evil.example' })).toBe(421)
    expect(await answered('/data.json', { host: `localhost:${page.port}` })).toBe(200)
    expect(await answered('/../../package.json', {})).toBe(404)
    expect(await answered('/toString', {})).toBe(404)
    expect(await answered('/', {}, 'POST')).toBe(405)
  })

  it('gathers charts, alarms and reports', async () => {
    let data: PageData | undefined
    for (let round = 0; round < 100; round += 1) {
      data = (await (await fetch(`${page.url}/data.json`)).json()) as PageData
      // Before the first datapoint both breach.
      if (data.alarms.map(({ state }) => state).join() === 'ALARM,OK') break
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(data!.alarms.map(({ name, state }) => [name, state])).toEqual([
      ['late', 'ALARM'],
      ['early', 'OK'],
    ])
    expect(data!.alarms[0]!.why).toBe('last 4, alarm above 3')
    expect(data!.everySeconds).toBe(1)
    const last = Object.fromEntries(
      data!.charts.flatMap(({ lines }) =>
        lines.map(({ label, values }) => [label, values.findLast((one) => one !== null)]),
      ),
    )
    // Four times in a second, which is a minute here: thirds and quarters of it at the edges.
    expect(last).toMatchObject({ 'oldest object pending': 4, 'objects sealed': 2.5, 'bytes saved': 75 })
    expect(last['read']).toBeGreaterThan(0)
    expect(data!.reports).toMatchObject([{ kind: 'validate', outcome: 'passed', counts: { chunks: 1234 } }])
  })

  it.skipIf(!chromium)(
    'shows them in a browser',
    async () => {
      const profile = mkdtempSync(join(tmpdir(), 'lifeboat-chromium-'))
      try {
        const flags = [
          '--headless',
          '--no-sandbox',
          '--disable-gpu',
          '--disable-quic',
          '--no-first-run',
          '--disable-background-networking',
          '--disable-component-update',
          '--disable-sync',
          `--user-data-dir=${profile}`,
          '--enable-logging=stderr',
          '--virtual-time-budget=5000',
          '--dump-dom',
        ]
        const { stdout, stderr } = await promisify(execFile)(chromium!, [...flags, page.url], { timeout: 60_000 })
        expect(stderr).not.toContain('Content Security Policy')
        const text = stdout.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ')
        for (const wanted of [
          '1 alarm firing.',
          '1 in ALARM, 0 without enough data, 1 OK.',
          'ALARM late last 4, alarm above 3',
          'OK early last 4, alarm above 300',
          'validate passed 0',
          'chunks 1234',
          'oldest object pending: 4 s',
          'bytes saved: 75 %',
        ])
          expect(text).toContain(wanted)
        expect(stdout.match(/<canvas/g)).toHaveLength(3)
      } finally {
        rmSync(profile, { recursive: true, force: true })
      }
    },
    90_000,
  )
})
