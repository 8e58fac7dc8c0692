import { PassThrough } from 'node:stream'
import { expect, test } from 'vitest'
import { createCounter, createProgress } from '../../cli/progress.ts'

const mebibyte = 2 ** 20

/** What a restore of 10 MiB in ten steps of two seconds writes to stderr. */
const shown = (options: { columns?: number; term?: string; silent?: boolean }): string => {
  const { columns, term = 'xterm', silent = false } = options
  const stderr = Object.assign(new PassThrough(), columns === undefined ? {} : { isTTY: true, columns })
  let now = 0
  const context = { stderr, env: { TERM: term }, now: () => now }
  const progress = createProgress(context, { label: 'restore', totalBytes: 10 * mebibyte, silent })
  for (let step = 0; step < 10; step += 1) {
    now += 2000
    progress.add(mebibyte)
  }
  progress.stop()
  return String(stderr.read() ?? '')
}

test('a pipe and a dumb terminal get a line every few seconds and no control characters', () => {
  const lines = [
    'restore 30%  3.0 MiB of 10.0 MiB, 512.0 KiB/s, 14s left',
    'restore 60%  6.0 MiB of 10.0 MiB, 512.0 KiB/s, 8s left',
    'restore 90%  9.0 MiB of 10.0 MiB, 512.0 KiB/s, 2s left',
    '',
  ].join('\n')
  expect(shown({})).toBe(lines)
  expect(shown({ columns: 100, term: 'dumb' })).toBe(lines)
})

test('a terminal gets a bar as long as it has room for', () => {
  expect(shown({ columns: 100 })).toContain(`[${'='.repeat(24)}] 100%  10.0 MiB of 10.0 MiB`)
  expect(shown({ columns: 80 })).toContain(`[${'='.repeat(9)}] 100%`)
  const narrow = shown({ columns: 60 })
  expect(narrow).toContain('restore 100%')
  expect(narrow).not.toContain('[=')
})

test('--quiet and --json get nothing', () => {
  expect(shown({ columns: 100, silent: true })).toBe('')
  expect(shown({ silent: true })).toBe('')
})

/** What twelve seconds of 100 rows each write to stderr. */
const counted = (silent: boolean): string => {
  const stderr = new PassThrough()
  let now = 0
  const counter = createCounter({ stderr, now: () => now }, { label: 'rows', silent })
  for (let step = 0; step < 12; step += 1) {
    now += 1000
    counter.add(100)
  }
  return String(stderr.read() ?? '')
}

test('a count without an end gets a line every few seconds, unless it is silent', () => {
  expect(counted(false)).toBe('500 rows, 100/s\n1000 rows, 100/s\n')
  expect(counted(true)).toBe('')
})
