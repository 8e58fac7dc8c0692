import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { type AlarmState, evaluateAlarm, type MissingData, type Rule } from '../../local/cloudwatch/evaluate.ts'

const treatments: MissingData[] = ['missing', 'ignore', 'breaching', 'notBreaching']
/** AWS's own notation: 0 is within the threshold, X breaches it, - is missing. The newest is on the right. */
const points = (pattern: string): (number | undefined)[] => pattern.split(' ').map((sign) => ({ '0': 0, X: 2 })[sign])
const rule = (datapointsToAlarm: number, evaluationPeriods: number, missing: MissingData): Rule => ({
  threshold: 1,
  comparison: 'GreaterThanThreshold',
  datapointsToAlarm,
  evaluationPeriods,
  missing,
})

// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html: both tables, and the rows
// that an earlier edition had. `keeps` is "retain current state".
const tables: [number, number, string, string][] = [
  [3, 3, '0 - X - X', 'OK OK OK OK'],
  [3, 3, '0 - - - -', 'OK OK OK OK'],
  [3, 3, '- - - - -', 'INSUFFICIENT_DATA keeps ALARM OK'],
  [3, 3, '0 X X - X', 'ALARM ALARM ALARM ALARM'],
  [3, 3, '- - X - -', 'ALARM keeps ALARM OK'],
  [3, 3, '- - - - X', 'INSUFFICIENT_DATA keeps ALARM OK'],
  [3, 3, 'X - - - -', 'ALARM keeps ALARM OK'],
  [2, 3, '0 - X - X', 'ALARM ALARM ALARM ALARM'],
  [2, 3, '0 0 X 0 X', 'ALARM ALARM ALARM ALARM'],
  [2, 3, '0 - X - -', 'OK OK ALARM OK'],
  [2, 3, '- - - - 0', 'OK OK ALARM OK'],
  [2, 3, '- - - X -', 'ALARM keeps ALARM OK'],
  [2, 3, '- - - - X', 'INSUFFICIENT_DATA keeps ALARM OK'],
]

describe('an alarm', () => {
  it.each(tables)('of %i out of %i with %s is %s', (datapoints, of, pattern, expected) => {
    for (const current of ['OK', 'ALARM', 'INSUFFICIENT_DATA'] as AlarmState[]) {
      const states = treatments.map((missing) => evaluateAlarm(rule(datapoints, of, missing), points(pattern), current))
      expect(states.join(' ')).toBe(expected.replace('keeps', current))
    }
  })

  it.each([
    ['GreaterThanThreshold', 1, 'OK'],
    ['GreaterThanThreshold', 1.1, 'ALARM'],
    ['GreaterThanOrEqualToThreshold', 1, 'ALARM'],
    ['GreaterThanOrEqualToThreshold', 0.9, 'OK'],
    ['LessThanThreshold', 1, 'OK'],
    ['LessThanThreshold', 0.9, 'ALARM'],
    ['LessThanOrEqualToThreshold', 1, 'ALARM'],
    ['LessThanOrEqualToThreshold', 1.1, 'OK'],
  ] as const)('%s 1 with %f is %s', (comparison, value, expected) => {
    expect(evaluateAlarm({ ...rule(1, 1, 'missing'), comparison }, [value], 'OK')).toBe(expected)
  })

  it('looks no further back than its range, and needs no missing data where enough is there', () => {
    const point = fc.constantFrom(0, 2, undefined)
    fc.assert(
      fc.property(
        fc.array(point, { maxLength: 12 }),
        fc.array(point, { minLength: 7, maxLength: 7 }),
        fc.integer({ min: 1, max: 5 }),
        fc.constantFrom(...treatments),
        (older, range, datapoints, missing) => {
          const five = rule(datapoints, 5, missing)
          const state = evaluateAlarm(five, [...older, ...range], 'OK')
          expect(state).toBe(evaluateAlarm(five, range, 'OK'))
          const real = range.filter((value) => value !== undefined)
          const breaching = real.slice(-5).filter((value) => value === 2).length
          const decided = breaching >= datapoints ? 'ALARM' : 'OK'
          expect(real.length < 5 ? 'too few' : state).toBe(real.length < 5 ? 'too few' : decided)
        },
      ),
    )
  })
})
