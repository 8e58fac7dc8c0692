import type { Checked } from '../../shared/doctor/check.ts'
import { plural, renderTable } from '../output.ts'

const marks = { ok: 'ok', finding: 'FIX', unknown: '?' } as const

const nameOf = ({ title, subject }: Checked): string => (subject === '' ? title : `${title}: ${subject}`)

const rowsOf = (checked: readonly Checked[]): string[][] =>
  checked.map((one) => [marks[one.outcome], one.side, nameOf(one), one.detail])

/** What is right, in one line for each side. */
const summary = (checked: readonly Checked[]): string =>
  ['source', 'replica', 'both']
    .flatMap((side) => {
      const right = checked.filter((one) => one.side === side && one.outcome === 'ok')
      return right.length === 0 ? [] : [`${side}: ${plural(right.length, 'check')} fine\n`]
    })
    .join('')

export type Totals = Record<Checked['outcome'], number>

export const totalsOf = (checked: readonly Checked[]): Totals => {
  const count = (outcome: Checked['outcome']): number => checked.filter((one) => one.outcome === outcome).length
  return { ok: count('ok'), finding: count('finding'), unknown: count('unknown') }
}

/** The verdict, what has to be done, and what nobody knows; with `isWhole` what is right, too. */
export const showChecked = (
  checked: readonly Checked[],
  options: { width: number | undefined; isWhole: boolean },
): string => {
  const { finding, unknown } = totalsOf(checked)
  const verdict =
    finding > 0
      ? `${plural(finding, 'thing')} to fix`
      : unknown > 0
        ? 'Nothing to fix in what could be looked at'
        : 'Fine: nothing to fix'
  const sections = [
    `${verdict}${unknown > 0 ? `; ${plural(unknown, 'check')} could not be made` : ''}\n${summary(checked)}`,
  ]
  const shown = options.isWhole ? checked : checked.filter(({ outcome }) => outcome !== 'ok')
  const squeezes = [
    { column: 'found', to: 'wrap', charactersMin: 30 },
    { column: 'check', to: 'wrap', charactersMin: 24 },
  ] as const
  if (shown.length > 0)
    sections.push(renderTable(['', 'side', 'check', 'found'], rowsOf(shown), [], { width: options.width, squeezes }))
  const fixes = checked.flatMap((one) => (one.outcome === 'finding' ? [`${nameOf(one)}\n    ${one.fix}\n`] : []))
  if (fixes.length > 0) sections.push(`How to fix:\n${fixes.map((fix) => `  ${fix}`).join('')}`)
  return sections.join('\n')
}
