import Table from 'cli-table3'
import type { Output } from './context.ts'
import { fitRows, type Squeeze } from './fit.ts'

/** How results look on stdout. Nothing here reads a clock: ages are given the time. */

const byteUnits = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const

/** `1536` is `1.5 KiB`. */
export const humanBytes = (bytes: number): string => {
  if (bytes < 1024) return `${bytes} B`
  let value = bytes / 1024
  let unit = 0
  while (value >= 1023.95 && unit < byteUnits.length - 1) {
    value /= 1024
    unit += 1
  }
  return `${value.toFixed(1)} ${byteUnits[unit] ?? ''}`
}

const spans = [
  ['d', 86_400],
  ['h', 3600],
  ['m', 60],
  ['s', 1],
] as const

/** The two largest units: `90_061_000` ms is `1d 1h`; below one second `0s`. */
export const humanDuration = (ms: number): string => {
  let seconds = Math.max(0, Math.round(ms / 1000))
  const parts: string[] = []
  for (const [unit, size] of spans) {
    const count = Math.floor(seconds / size)
    seconds -= count * size
    if (count > 0) parts.push(`${count}${unit}`)
    else if (parts.length > 0) break
    if (parts.length === 2) break
  }
  return parts.join(' ') || '0s'
}

/** A duration for a list: its second unit only where that is more than a tenth of it. */
export const roughDuration = (ms: number): string => {
  const [first = '', second] = humanDuration(ms).split(' ')
  return second === undefined || Number.parseInt(first, 10) >= 10 ? first : `${first} ${second}`
}

/** How long before `nowMs` an RFC 3339 time was; a time in the future is `now`. */
export const humanAge = (time: string, nowMs: number): string => {
  const ms = nowMs - Date.parse(time)
  return ms < 1000 ? 'now' : `${roughDuration(ms)} ago`
}

/** Text from a replica or a key that a terminal must not obey: control and bidirectional marks are escaped. */
export const printable = (text: string): string =>
  text.replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (character) => `\\u{${(character.codePointAt(0) ?? 0).toString(16)}}`)

const bare = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '  ',
} as const

/** Columns of the terminal; undefined where the output is a file or a pipe. */
export const widthOf = (output: Output): number | undefined => (output.isTTY ? output.columns : undefined)

/**
 * Columns without lines, so that `awk` and people can both read them; `right` names the columns of numbers, `squeezes`
 * those that give way, first to last, where the table is wider than `width`.
 */
export const renderTable = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
  fit: { width: number | undefined; squeezes: readonly Squeeze[] } = { width: undefined, squeezes: [] },
): string => {
  const table = new Table({
    head: [...head],
    chars: bare,
    style: { 'padding-left': 0, 'padding-right': 0, head: [], border: [], compact: true },
    colAligns: head.map((name) => (right.includes(name) ? 'right' : 'left')),
  })
  const whole = rows.map((row) => row.map(printable))
  table.push(...(fit.width === undefined ? whole : fitRows(head, whole, fit.width, fit.squeezes)))
  const lines = table.toString().split('\n')
  return `${lines.map((line) => line.trimEnd()).join('\n')}\n`
}

/** The one object that `--json` prints. */
export const renderJson = (result: Record<string, unknown>): string =>
  `${JSON.stringify({ schema: 1, ...result }, undefined, 2)}\n`

export const plural = (count: number, noun: string): string => `${count} ${noun}${count === 1 ? '' : 's'}`

/** Columns of the labels before the lines of a screen. */
export const labelColumns = 11

/** The lines, the first one with a label before it. */
export const labelled = (label: string, lines: readonly string[]): string[] =>
  lines.map((line, index) => `${(index === 0 ? label : '').padEnd(labelColumns)}${line}`)
