import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { UnsafePathError } from '../../shared/errors.ts'
import { checkPaths, journalPathOf, partialPathOf } from '../../shared/weights/restore-paths.ts'

const strict = { allowCaseCollisions: false }

describe('paths of a manifest', () => {
  test.each([
    ['', 'is empty'],
    ['/etc/passwd', 'is absolute'],
    ['C:/windows', 'is absolute'],
    ['../up', 'has the segment ".."'],
    ['a/../../b', 'has the segment ".."'],
    ['a/./b', 'has the segment "."'],
    ['a//b', 'has the segment ""'],
    ['a/', 'has the segment ""'],
    ['a\0b', 'holds a NUL'],
    ['..\\up', 'holds a backslash'],
    ['a\ud800', 'is not UTF-8'],
    [`${'x'.repeat(256)}/y`, 'has a segment of more than 255 bytes'],
    ['a.lifeboat-partial', 'ends like a file that is not yet whole'],
    ['a.lifeboat-partial.json', 'ends like a file that is not yet whole'],
    ['b.LIFEBOAT-partial/x', 'ends like a file that is not yet whole'],
  ])('%j %s', (path, reason) => {
    expect(() => checkPaths(['fine', path], [], strict)).toThrow(UnsafePathError)
    expect(() => checkPaths([path], [], strict)).toThrow(reason)
    expect(() => checkPaths([], [path], strict)).toThrow(reason)
  })

  test('ordinary names pass, odd ones too', () => {
    const files = ['config.json', 'a b/ü+%.bin', '...', '..x', '-rf', 'a/b/c', 'a/b/d', '~', 'COM1', 'x:y']
    expect(() => checkPaths(files, ['empty', 'a/e'], strict)).not.toThrow()
  })

  test.each([
    [['a', 'a'], []],
    [['a', 'a/b'], []],
    [['a/b/c', 'a'], []],
    [['a'], ['a']],
    [['a'], ['a/b']],
  ])('%j with folders %j cannot all be', (files, folders) => {
    expect(() => checkPaths(files, folders, { allowCaseCollisions: true })).toThrow('cannot both be files')
  })

  test.each([[['README', 'readme']], [['A/b', 'a']], [['caf\u00e9', 'cafe\u0301']], [['x/Model.bin', 'X/model.bin']]])(
    '%j collide on some file systems',
    (files) => {
      expect(() => checkPaths(files, [], strict)).toThrow('--allow-case-collisions')
      expect(() => checkPaths(files, [], { allowCaseCollisions: true })).not.toThrow()
    },
  )

  test('a path that passes stays below its folder', () => {
    const segment = fc.constantFrom('..', '.', '', 'a', 'B', 'a.b', '...', '\\', '\0', '..\\', 'C:')
    fc.assert(
      fc.property(fc.array(segment, { minLength: 1, maxLength: 6 }), (segments) => {
        const path = segments.join('/')
        try {
          checkPaths([path], [], strict)
        } catch {
          return
        }
        expect(new URL(encodeURI(path), 'file:///top/here/').pathname).toBe(`/top/here/${encodeURI(path)}`)
      }),
    )
  })
})

describe('partial files', () => {
  test('are beside the file and fit where its own name fits', () => {
    expect(partialPathOf('a/b')).toBe('a/b.lifeboat-partial')
    expect(journalPathOf('a/b')).toBe('a/b.lifeboat-partial.json')
    const long = `a/${'ü'.repeat(127)}`
    expect(Buffer.byteLength(journalPathOf(long).split('/')[1]!)).toBeLessThanOrEqual(255)
    expect(partialPathOf(long)).not.toBe(partialPathOf(`${long}x`))
  })
})
