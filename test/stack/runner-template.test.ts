import { describe, expect, it } from 'vitest'
import { failedOf } from '../../local/lambda/batch-answer.ts'
import { everyMs } from '../../local/lambda/schedule.ts'
import { createResolver, parseTemplate } from '../../local/lambda/template.ts'

const template = parseTemplate({
  Parameters: {
    Key: { Type: 'String', Default: '' },
    Keys: { Type: 'CommaDelimitedList', Default: 'a,b' },
  },
  Conditions: {
    HasKey: { 'Fn::Not': [{ 'Fn::Equals': [{ Ref: 'Key' }, ''] }] },
    Either: { 'Fn::Or': [{ Condition: 'HasKey' }, { 'Fn::Equals': ['x', 'x'] }] },
    Both: { 'Fn::And': [{ Condition: 'HasKey' }, { Condition: 'Either' }] },
  },
  Resources: {},
})
const { resolve, condition } = createResolver({
  template,
  account: '123456789012',
  region: 'eu-west-1',
  stackName: 'lifeboat-dev',
  physical: new Map([['Queue', { ref: 'http://queue', attributes: { Arn: 'arn:queue', 'Nested.Field': 'deep' } }]]),
})

describe('intrinsic functions', () => {
  it.each([
    [{ Ref: 'Queue' }, 'http://queue'],
    [{ Ref: 'AWS::Region' }, 'eu-west-1'],
    [{ Ref: 'Keys' }, ['a', 'b']],
    [{ 'Fn::GetAtt': ['Queue', 'Arn'] }, 'arn:queue'],
    [{ 'Fn::GetAtt': 'Queue.Arn' }, 'arn:queue'],
    [{ 'Fn::GetAtt': ['Queue', 'Nested', 'Field'] }, 'deep'],
    [
      { 'Fn::Sub': '${AWS::Partition}:${AWS::AccountId}:${Queue}:${Queue.Arn}' },
      'aws:123456789012:http://queue:arn:queue',
    ],
    [{ 'Fn::Sub': ['${Name}/${!literal}', { Name: { Ref: 'AWS::StackName' } }] }, 'lifeboat-dev/${literal}'],
    [{ 'Fn::Join': ['-', ['a', { Ref: 'AWS::Region' }]] }, 'a-eu-west-1'],
    [{ 'Fn::Join': ['', { Ref: 'Keys' }] }, 'ab'],
    [{ 'Fn::Select': ['1', { 'Fn::Split': ['/', 'a/b/c'] }] }, 'b'],
    [{ 'Fn::If': ['HasKey', 'yes', 'no'] }, 'no'],
    [{ a: { 'Fn::If': ['HasKey', 'yes', { Ref: 'AWS::NoValue' }] }, b: 1 }, { b: 1 }],
    [
      [1, { Ref: 'AWS::NoValue' }, 2],
      [1, 2],
    ],
    [{ Condition: { StringEquals: { x: { Ref: 'Queue' } } } }, { Condition: { StringEquals: { x: 'http://queue' } } }],
  ])('%j', (value, expected) => {
    expect(resolve(value)).toEqual(expected)
  })

  it('answers conditions', () => {
    expect([condition('HasKey'), condition('Either'), condition('Both')]).toEqual([false, true, false])
  })

  it.each([
    [{ Ref: 'Other' }, 'no such resource'],
    [{ 'Fn::GetAtt': ['Queue', 'Other'] }, 'no such resource or attribute'],
    [{ 'Fn::ImportValue': 'x' }, 'Fn::ImportValue does not run here'],
    [{ 'Fn::If': ['Other', 1, 2] }, 'no condition Other'],
  ])('refuse %j', (value, reason) => {
    expect(() => resolve(value)).toThrow(reason)
  })

  it('refuse what is not a template', () => {
    expect(() => parseTemplate({ Resources: { A: {} } })).toThrow('Resources')
  })
})

describe('a schedule', () => {
  it.each([
    ['rate(1 minute)', 60_000],
    ['rate(5 minutes)', 300_000],
    ['rate(2 hours)', 7_200_000],
    ['rate(1 day)', 86_400_000],
  ])('%s', (expression, expected) => {
    expect(everyMs(expression)).toBe(expected)
  })

  it('refuses what it cannot run', () => {
    expect(() => everyMs('cron(0 12 * * ? *)')).toThrow('does not run here')
  })
})

const answered = (answer: unknown) => ({ ok: true as const, payload: JSON.stringify(answer) })

describe('the answer to a batch', () => {
  const failures = (...ids: unknown[]) => answered({ batchItemFailures: ids.map((id) => ({ itemIdentifier: id })) })

  it.each([
    ['no list', answered({}), []],
    ['null', answered(null), []],
    ['a list that is null', answered({ batchItemFailures: null }), []],
    ['an empty list', failures(), []],
    ['one record', failures('b'), ['b']],
    ['an unknown record', failures('b', 'x'), ['a', 'b', 'c']],
    ['an empty id', failures(''), ['a', 'b', 'c']],
    ['a null id', failures(null), ['a', 'b', 'c']],
    ['a wrong key', answered({ batchItemFailures: [{ id: 'a' }] }), ['a', 'b', 'c']],
    ['no object', answered('fine'), ['a', 'b', 'c']],
    [
      'an error',
      { ok: false as const, timedOut: false, error: { errorType: 'E', errorMessage: '', trace: [] } },
      ['a', 'b', 'c'],
    ],
  ])('that names %s', (_, outcome, expected) => {
    expect([...failedOf(outcome, ['a', 'b', 'c'], true)]).toEqual(expected)
  })

  it('fails none without ReportBatchItemFailures unless it is an error', () => {
    expect(failedOf(failures('a'), ['a', 'b'], false).size).toBe(0)
  })
})
