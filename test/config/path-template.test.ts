import { describe, expect, it } from 'vitest'
import { compilePath } from '../../shared/path-template.ts'

describe('compilePath', () => {
  it.each([
    ['{model}/{version}/**', 'models/', 'models/llama/v1/a/b.bin', { model: 'llama', version: 'v1', path: 'a/b.bin' }],
    ['{model}/{version}/**', '', 'llama/v1/x', { model: 'llama', version: 'v1', path: 'x' }],
    ['{model}/**', '', 'llama/v1/x', { model: 'llama', path: 'v1/x' }],
    ['registry/{model}/v{version}/**', 'a/', 'a/registry/m/v7/x', { model: 'm', version: '7', path: 'x' }],
    ['{version}/{model}/**', '', '1/m/x', { model: 'm', version: '1', path: 'x' }],
    ['{model}/{version}/**', '', 'm/1/a\nb', { model: 'm', version: '1', path: 'a\nb' }],
    ['m+(1)/{model}/**', '', 'm+(1)/a/x', { model: 'a', path: 'x' }],
    ['{model}/{version}/**', '', 'm/1//x', { model: 'm', version: '1', path: '/x' }],
  ])('%s with prefix "%s" reads %j', (template, prefix, key, expected) => {
    expect(compilePath(template)(key, prefix)).toEqual(expected)
  })

  it.each([
    ['{model}/{version}/**', 'models/', 'other/llama/v1/x'],
    ['{model}/{version}/**', '', 'llama/v1'],
    ['{model}/{version}/**', '', 'llama/v1/'],
    ['{model}/{version}/**', '', '/v1/x'],
    ['m.x/{model}/**', '', 'mxx/a/b'],
  ])('%s with prefix "%s" does not match %j', (template, prefix, key) => {
    expect(compilePath(template)(key, prefix)).toBeUndefined()
  })

  it.each([
    ['{model}/{version}', 'does not end with /**'],
    ['**', '{model} is missing'],
    ['{version}/**', '{model} is missing'],
    ['{model}/{model}/**', 'appears twice'],
    ['{model}/{name}/**', '{name} is neither'],
    ['{model}//**', 'empty segment'],
    ['{model}/*/**', 'wrong place'],
    ['{model/**', 'wrong place'],
  ])('refuses %s', (template, reason) => {
    expect(() => compilePath(template)).toThrow(reason)
  })
})
