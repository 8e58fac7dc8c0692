import { setTimeout as sleep } from 'node:timers/promises'
import { renderTable } from '../../cli/output.ts'
import type { BlobStore } from '../../shared/ports.ts'
import { newestReport, type Report, type ReportKind } from '../../shared/proof/report.ts'
import type { LocalStack } from '../stack.ts'

/** The checks that run by schedule once a day, called by hand once, as an operator would. */

type Check = { kind: ReportKind; functionName: string; payload: object; shown: readonly string[] }

const checksOf = (table: string): Check[] => [
  {
    kind: 'validate',
    functionName: 'validate',
    payload: { lifeboat: 'validate' },
    shown: ['releases', 'manifests', 'chunks'],
  },
  { kind: 'scrub', functionName: 'validate', payload: { lifeboat: 'scrub' }, shown: ['bodies', 'bytes'] },
  {
    kind: 'rows',
    functionName: 'compareRows',
    payload: { lifeboat: 'compare-rows', table, mode: 'full' },
    shown: ['items', 'rows', 'tombstones'],
  },
  {
    kind: 'reconcile',
    functionName: 'reconcile',
    payload: { lifeboat: 'reconcile', mode: 'full' },
    shown: ['versions', 'sent'],
  },
]

export type Proof = { report: Report; shown: readonly string[] }

/** Calls each check and answers the reports that they left in the replica. Throws what a function throws. */
export const prove = async (stack: LocalStack, store: BlobStore, table: string): Promise<Proof[]> => {
  const proofs: Proof[] = []
  for (const { kind, functionName, payload, shown } of checksOf(table)) {
    const url = `${stack.runner().url}/2015-03-31/functions/lifeboat-local-${functionName}/invocations`
    const response = await fetch(url, { method: 'POST', body: JSON.stringify(payload) })
    const text = await response.text()
    if (response.headers.has('x-amz-function-error')) throw new Error(`${functionName}: ${text}`)
    const newest = await newestReport(store, kind)
    if (newest) proofs.push({ report: newest.report, shown })
  }
  return proofs
}

/** A line a check: what came of it, and the counts that say how much it looked at. */
export const proofTable = (proofs: readonly Proof[], width: number | undefined): string =>
  renderTable(
    ['check', 'outcome', 'findings', 'looked at'],
    proofs.map(({ report, shown }) => [
      report.kind,
      report.outcome,
      String(report.findingsTotal),
      shown.map((name) => `${name} ${report.counts[name] ?? 0}`).join(', '),
    ]),
    ['findings'],
    { width, squeezes: [{ column: 'looked at', to: 'wrap', charactersMin: 20 }] },
  )

/** Reads the alarms until all are OK, for some seconds at most: CloudWatch sees what a check counted at its next minute. */
export const settledAlarms = async <T extends { state: string }>(
  read: () => Promise<T[]>,
  minuteSeconds: number,
): Promise<T[]> => {
  const end = Date.now() + 2500 * minuteSeconds
  for (;;) {
    const alarms = await read()
    if (alarms.every(({ state }) => state === 'OK') || Date.now() > end) return alarms
    await sleep(250)
  }
}
