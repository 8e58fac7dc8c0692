import { describe, expect, it } from 'vitest'
import { matchesPattern } from '../../local/lambda/event-pattern.ts'

const event = {
  source: 'aws.s3',
  account: '123456789012',
  detail: {
    bucket: { name: 'example-models' },
    object: { key: 'models/llama/v1/Model.safetensors', size: 300, 'version-id': 'abc' },
    tags: ['one', 'two'],
    empty: [],
    none: null,
    parts: [{ n: 1 }, { n: 2 }],
  },
}
const onKey = (test: unknown) => ({ detail: { object: { key: [test] } } })
const onSize = (test: unknown) => ({ detail: { object: { size: [test] } } })

describe('an event pattern', () => {
  it.each([
    ['an exact value', { source: ['aws.s3'] }],
    ['one of several values', { source: ['aws.ec2', 'aws.s3'] }],
    ['every field', { source: ['aws.s3'], account: ['123456789012'] }],
    ['a prefix', onKey({ prefix: 'models/' })],
    ['a prefix without case', onKey({ prefix: { 'equals-ignore-case': 'MODELS/' } })],
    ['a suffix', onKey({ suffix: '.safetensors' })],
    ['a suffix without case', onKey({ suffix: { 'equals-ignore-case': '.SAFETENSORS' } })],
    ['equality without case', onKey({ 'equals-ignore-case': 'MODELS/llama/v1/model.safetensors' })],
    ['a wildcard', onKey({ wildcard: 'models/*/v1/*.safetensors' })],
    ['a wildcard at both ends', onKey({ wildcard: '*llama*' })],
    ['anything but a value', onKey({ 'anything-but': 'x' })],
    ['anything but values', onKey({ 'anything-but': ['x', 'y'] })],
    ['anything but a prefix', onKey({ 'anything-but': { prefix: 'other/' } })],
    ['anything but prefixes', onKey({ 'anything-but': { prefix: ['other/', 'more/'] } })],
    ['anything but a wildcard', onKey({ 'anything-but': { wildcard: '*.txt' } })],
    ['an exact number', onSize({ numeric: ['=', 300] })],
    ['a range of numbers', onSize({ numeric: ['>', 0, '<=', 300] })],
    ['a field that is there', { detail: { object: { 'version-id': [{ exists: true }] } } }],
    ['a field that is not there', { detail: { object: { other: [{ exists: false }] } } }],
    ['a field of a map that is not there', { other: { field: [{ exists: false }] } }],
    ['null', { detail: { none: [null] } }],
    ['one entry of a list', { detail: { tags: ['two'] } }],
    ['one map of a list', { detail: { parts: { n: [2] } } }],
    ['an alternative', { detail: { $or: [{ bucket: { name: ['x'] } }, { object: { size: [300] } }] } }],
    ['an alternative beside a field', { source: ['aws.s3'], $or: [{ account: ['1'] }, { account: ['123456789012'] }] }],
    ['nothing at all', {}],
  ])('matches %s', (_, pattern) => {
    expect(matchesPattern(pattern, event)).toBe(true)
  })

  it.each([
    ['another value', { source: ['aws.ec2'] }],
    ['a number for text', { account: [123456789012] }],
    ['text for a number', onSize('300')],
    ['one field of two', { source: ['aws.s3'], account: ['1'] }],
    ['another prefix', onKey({ prefix: 'model/' })],
    ['a prefix with case', onKey({ prefix: 'MODELS/' })],
    ['another suffix', onKey({ suffix: '.Safetensors' })],
    ['a wildcard that ends early', onKey({ wildcard: 'models/*/v1' })],
    ['a wildcard whose dot is not a dot', onKey({ wildcard: 'models/*Model?safetensors' })],
    ['an excluded value', { source: [{ 'anything-but': ['aws.s3', 'x'] }] }],
    ['an excluded prefix', onKey({ 'anything-but': { prefix: ['x', 'models/'] } })],
    ['anything but, on a field that is not there', { other: [{ 'anything-but': 'x' }] }],
    ['a number outside of a range', onSize({ numeric: ['>', 300] })],
    ['a number, on text', { source: [{ numeric: ['>', 0] }] }],
    ['a field that should not be there', { source: [{ exists: false }] }],
    ['a field that should be there', { other: [{ exists: true }] }],
    ['null, on a field that is not there', { other: [null] }],
    ['an entry of an empty list', { detail: { empty: ['one'] } }],
    ['no alternative', { $or: [{ source: ['x'] }, { account: ['1'] }] }],
    ['a map, on text', { source: { name: ['x'] } }],
  ])('does not match %s', (_, pattern) => {
    expect(matchesPattern(pattern, event)).toBe(false)
  })

  it('takes an escaped star as itself', () => {
    expect(matchesPattern({ a: [{ wildcard: 'x\\*y*' }] }, { a: 'x*y and more' })).toBe(true)
    expect(matchesPattern({ a: [{ wildcard: 'x\\*y*' }] }, { a: 'xxy' })).toBe(false)
  })

  it.each([{ source: [{ cidr: '10.0.0.0/8' }] }, { source: 'aws.s3' }, { source: [{ numeric: ['>'] }] }])(
    'refuses %j instead of guessing',
    (pattern) => {
      expect(() => matchesPattern(pattern, event)).toThrow(/pattern/)
    },
  )
})
