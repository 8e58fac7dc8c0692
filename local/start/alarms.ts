import { plural, renderTable } from '../../cli/output.ts'
import { type ListedAlarm, reasonOf } from '../page/data.ts'

/** The alarms that are not OK, and how many are. `minuteSeconds`: how long a minute of the embedded CloudWatch takes. */
export const alarmsTable = (
  alarms: readonly ListedAlarm[],
  minuteSeconds: number,
  width: number | undefined,
): string => {
  const others = alarms
    .filter(({ state }) => state !== 'OK')
    .toSorted((a, b) => a.state.localeCompare(b.state) || a.name.localeCompare(b.name))
  const fine = `${alarms.length - others.length} of ${plural(alarms.length, 'alarm')} are OK`
  if (others.length === 0) return `${fine}.\n`
  const isUnsure = others.some(({ state }) => state === 'INSUFFICIENT_DATA')
  const rows = others.map((alarm) => [alarm.name.replace('lifeboat-local-', ''), alarm.state, reasonOf(alarm)])
  const squeezes = [{ column: 'why', to: 'wrap', charactersMin: 20 }] as const
  const note = isUnsure
    ? ` INSUFFICIENT_DATA: too little was measured so far; each is looked at again every ${minuteSeconds} s, a minute of the embedded CloudWatch.`
    : ''
  return `${renderTable(['alarm', 'state', 'why'], rows, [], { width, squeezes })}${fine}; docs/runbook.md says what the others mean.${note}\n`
}
