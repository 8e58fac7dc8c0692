import type { Deadline } from '../weights/deps.ts'
import { type Asked, checkRows, type CheckRowsDeps, lastComparedAt, type RowsChecked } from './check-rows.ts'

/** By table; one whose turn did not come in this call is not there. */
export type TablesChecked = Record<string, Omit<RowsChecked, 'report'>>

/** A call that is nearly over begins no table. */
const reserveMs = 90_000

/** That which was compared longest ago comes first: where a call has no time for all, none waits forever. */
const inTurn = async ({ config, state }: CheckRowsDeps): Promise<string[]> => {
  const tables: { name: string; at: number }[] = []
  for (const { name } of config.tables) tables.push({ name, at: await lastComparedAt(state, name) })
  return tables.toSorted((a, b) => a.at - b.at).map(({ name }) => name)
}

/** Every configured table, or one, in turn. One that fails keeps no other from being compared; its error is then thrown. */
export const checkTables = async (
  deps: CheckRowsDeps,
  deadline: Deadline,
  { table, asked }: { table?: string | undefined; asked: Asked },
): Promise<TablesChecked> => {
  const checked: TablesChecked = {}
  const errors: unknown[] = []
  for (const name of table === undefined ? await inTurn(deps) : [table]) {
    if (deadline.remainingMs() < reserveMs) break
    try {
      const { report, ...outcome } = await checkRows(deps, name, deadline, asked)
      checked[name] = outcome
      const told = { outcome: report?.outcome, findings: report?.findingsTotal, ...report?.counts }
      deps.telemetry.log('info', 'compared', { stage: 'compare-rows', table: name, run: outcome.outcome, ...told })
    } catch (error) {
      errors.push(error)
      deps.telemetry.log('error', 'a table could not be compared', { stage: 'compare-rows', table: name, error })
    }
  }
  if (errors.length > 0) throw errors[0]
  return checked
}
