import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { ListedAlarm } from '../../local/page/data.ts'
import { alarmsTable } from '../../local/start/alarms.ts'

const alarm = (name: string, changes: Partial<ListedAlarm>): ListedAlarm => ({
  name: `lifeboat-local-${name}`,
  description: '',
  state: 'OK',
  comparison: 'GreaterThanThreshold',
  threshold: 900,
  missing: 'breaching',
  lastValue: 1,
  since: '2026-01-01T00:00:00.000Z',
  ...changes,
})

describe('the alarms at the end of npm start', () => {
  it('are a line where all are OK', () => {
    expect(alarmsTable([alarm('a', {}), alarm('b', {})], 5, undefined)).toBe('2 of 2 alarms are OK.\n')
  })

  it('are those that are not OK, with why, and what INSUFFICIENT_DATA means where there is one', () => {
    const late = alarm('objects-lag', { state: 'ALARM', lastValue: 1234.5678 })
    const silent = alarm('heartbeat-silent', { state: 'ALARM', lastValue: null, comparison: 'LessThanThreshold' })
    const text = alarmsTable([alarm('fine', {}), late, silent], 5, undefined)
    expect(text.split('\n').slice(0, 3)).toEqual([
      'alarm             state  why',
      'heartbeat-silent  ALARM  nothing measured, which is a breach',
      'objects-lag       ALARM  last 1,234.568, alarm above 900',
    ])
    expect(text).toContain('1 of 3 alarms are OK; docs/runbook.md')
    expect(text).not.toContain('INSUFFICIENT_DATA')
    const unsure = alarmsTable([alarm('new', { state: 'INSUFFICIENT_DATA', lastValue: null })], 5, undefined)
    expect(unsure).toContain('INSUFFICIENT_DATA: too little was measured so far; each is looked at again every 5 s')
  })
})

describe('npm start -- --page', () => {
  it('is wrong usage without --keep', async () => {
    const program = join(import.meta.dirname, '../../local/start.ts')
    const [code, stderr] = await new Promise<[unknown, string]>((resolve) => {
      execFile(process.execPath, ['--disable-warning=ExperimentalWarning', program, '--page'], (error, _, text) =>
        resolve([error?.code, text]),
      )
    })
    expect([code, stderr]).toEqual([2, '--page needs --keep: the page ends with the clouds\n'])
  })
})
