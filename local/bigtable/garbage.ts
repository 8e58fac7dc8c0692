import { invalid } from './api-error.ts'
import { type Cell, isSameColumn } from './row.ts'
import type { GcRule } from './wire.ts'

/** Throws INVALID_ARGUMENT for a rule that says nothing or has a negative bound. */
export const checkRule = (rule: GcRule): void => {
  if (rule.rule === 'maxNumVersions' && (rule.maxNumVersions ?? 0) < 1)
    throw invalid(`max_num_versions must be positive: ${rule.maxNumVersions ?? 0}`)
  if (rule.rule === 'maxAge' && BigInt(rule.maxAge?.seconds ?? 0) < 0n) throw invalid('max_age must not be negative')
  for (const part of [...(rule.union?.rules ?? []), ...(rule.intersection?.rules ?? [])]) checkRule(part)
}

/** Whether a cell is garbage, `newer` being how many cells of its column are newer. */
const isGarbage = (rule: GcRule, cell: Cell, newer: number, nowMicros: bigint): boolean => {
  switch (rule.rule) {
    case 'maxNumVersions':
      return newer >= (rule.maxNumVersions ?? 0)
    case 'maxAge': {
      const { seconds = '0', nanos = 0 } = rule.maxAge ?? {}
      return cell.timestamp < nowMicros - BigInt(seconds) * 1_000_000n - BigInt(Math.trunc(nanos / 1000))
    }
    case 'union':
      return (rule.union?.rules ?? []).some((part) => isGarbage(part, cell, newer, nowMicros))
    case 'intersection': {
      const parts = rule.intersection?.rules ?? []
      return parts.length > 0 && parts.every((part) => isGarbage(part, cell, newer, nowMicros))
    }
    case undefined:
    default:
      return false
  }
}

/** The cells that the families' rules keep, `cells` itself where that is all of them. */
export const collectGarbage = (
  cells: Cell[],
  ruleOf: (family: number) => GcRule | undefined,
  nowMicros: bigint,
): Cell[] => {
  let newer = 0
  const isKept = (cell: Cell, index: number): boolean => {
    const before = cells[index - 1]
    newer = before && isSameColumn(before, cell) ? newer + 1 : 0
    const rule = ruleOf(cell.family)
    return !rule || !isGarbage(rule, cell, newer, nowMicros)
  }
  const kept = cells.filter(isKept)
  return kept.length === cells.length ? cells : kept
}
