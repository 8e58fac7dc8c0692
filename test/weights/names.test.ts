import { describe, expect, it } from 'vitest'
import { InvalidInputError } from '../../shared/errors.ts'
import * as names from '../../shared/weights/names.ts'
import vectors from '../vectors/weights.json' with { type: 'json' }

const id = '0123456789abcdef'.repeat(4)
const base = 'f'.repeat(64)
const sha256 = expect.stringMatching(/^[0-9a-f]{64}$/) as string

describe('encodeKey', () => {
  it.each(vectors.names.keys)('writes $key as the other implementation does', ({ key, encoded }) => {
    expect(names.encodeKey(key)).toBe(encoded)
    expect(names.decodeKey(encoded)).toBe(key)
  })

  it('refuses a key that UTF-8 cannot hold', () => {
    expect(() => names.encodeKey('a\ud800b')).toThrow(InvalidInputError)
  })

  it.each(['%2f', '%41', 'a//b', '/a', 'a/', 'a/./b', '..', '%', '%FF', 'a b', '~a', 'é'])(
    'decodes nothing from %s',
    (encoded) => {
      expect(() => names.decodeKey(encoded)).toThrow(InvalidInputError)
    },
  )
})

describe('names of bodies', () => {
  it('fan out by the first byte', () => {
    expect(names.chunkName(id)).toBe(`chunks/01/${id}`)
    expect(names.alternateChunkName(id, 'beef')).toBe(`chunks/01/${id}~beef`)
    expect(names.partName(id)).toBe(`parts/01/${id}`)
    expect(names.alternatePartName(id, 'beef')).toBe(`parts/01/${id}~beef`)
    expect(names.deltaName(id, base)).toBe(`deltas/01/${id}.${base}`)
    expect(names.alternateDeltaName(id, base, 'beef')).toBe(`deltas/01/${id}.${base}~beef`)
  })

  it('parse back', () => {
    expect(names.parseBodyName(names.chunkName(id))).toEqual({ kind: 'chunk', id })
    expect(names.parseBodyName(names.alternateChunkName(id, 'beef'))).toEqual({ kind: 'chunk', id, nonce: 'beef' })
    expect(names.parseBodyName(names.partName(id))).toEqual({ kind: 'part', id })
    expect(names.parseBodyName(names.deltaName(id, base))).toEqual({ kind: 'delta', id, base })
    expect(names.parseBodyName(names.alternateDeltaName(id, base, 'beef'))).toEqual({
      kind: 'delta',
      id,
      base,
      nonce: 'beef',
    })
  })

  it.each([
    `chunks/02/${id}`,
    `chunks/01/${id.toUpperCase()}`,
    `chunks/01/${id}~`,
    `chunks/01/${id}.${base}`,
    `deltas/01/${id}`,
    `deltas/01/${id}~beef`,
    `deltas/01/${id}~beef.${base}`,
    `deltas/01/${id}.${base}~`,
    `chunks/01/${id}.${base}~beef`,
    `other/01/${id}`,
    `chunks/01/${id}/x`,
    `chunks/01/${id}\n`,
  ])('parse to nothing: %s', (name) => {
    expect(names.parseBodyName(name)).toBeUndefined()
  })

  it('refuse what is no digest', () => {
    for (const bad of ['', 'abc', id.toUpperCase(), `${id}0`, `sha256:${id}`, `../${id.slice(3)}`])
      expect(() => names.chunkName(bad)).toThrow(InvalidInputError)
    expect(() => names.alternateChunkName(id, '../x')).toThrow(InvalidInputError)
    expect(() => names.deltaName(id, 'base')).toThrow(InvalidInputError)
  })
})

describe('names of records', () => {
  it.each(vectors.names.objects)('objects: $key', ({ bucket, key, version, planId, name }) => {
    expect(names.objectManifestName(bucket, key, version, planId)).toBe(name)
    expect(name.length).toBeLessThanOrEqual(names.nameBytesMax)
    expect(names.parseObjectManifestName(name)).toMatchObject({ bucket, planId })
  })

  it.each(vectors.names.releases)('releases: $model', ({ model, version, releaseId, name }) => {
    expect(names.releaseName(model, version, releaseId)).toBe(name)
    expect(names.parseReleaseName(name)).toMatchObject({ id: releaseId })
  })

  it('parse back to their fields, or to digests where they were too long', () => {
    const long = 'x'.repeat(1024)
    const parse = names.parseObjectManifestName
    expect(parse(names.objectManifestName('b', 'a/../~b', 'v.1/2', 'p'))).toEqual({
      bucket: 'b',
      key: { text: 'a/../~b' },
      version: { text: 'v.1/2' },
      planId: 'p',
    })
    expect(parse(names.objectManifestName('b', long, 'v', 'p'))).toMatchObject({
      key: { sha256 },
      version: { text: 'v' },
    })
    expect(parse(names.objectManifestName('b', 'k', long, 'p'))).toMatchObject({ key: { sha256 }, version: { sha256 } })
    expect(names.parsePendingName(names.pendingName('u-1-"e"', 'p'))).toEqual({
      version: { text: 'u-1-"e"' },
      planId: 'p',
    })
    expect(names.parsePendingName(names.pendingName(long, 'p'))).toEqual({ version: { sha256 }, planId: 'p' })
    expect(names.parseWaitingName(names.waitingName('m/1', 'v', 'i'))).toEqual({
      model: { text: 'm/1' },
      version: { text: 'v' },
      id: 'i',
    })
    expect(names.parseFailedName(names.failedName('quarantined', 'abc'))).toEqual({
      state: 'quarantined',
      traceId: 'abc',
    })
    expect(names.parseDeletedName(names.deletedName('b', '/k/', 'v/1'))).toEqual({
      bucket: 'b',
      key: { text: '/k/' },
      id: { text: 'v/1' },
    })
  })

  it('parse to nothing where no function made them', () => {
    for (const name of [
      'objects/b/k/v.json',
      'objects/b//v.p.json',
      'objects/../k/v.p.json',
      'objects/b/%2f/v.p.json',
      'objects/b/k/~x.p.json',
      'deleted/b/k/v',
    ])
      expect(names.parseObjectManifestName(name)).toBeUndefined()
    expect(names.parseReleaseName(names.waitingName('m', 'v', 'i'))).toBeUndefined()
    expect(names.parseReleaseName('releases/a/b/v.i.json')).toBeUndefined()
    expect(names.parseDeletedName('deleted/../k/v.json')).toBeUndefined()
    expect(names.parsePendingName('pending/a/v.p.json')).toBeUndefined()
    expect(names.parseFailedName('failed/refused/a.b.json')).toBeUndefined()
  })

  it('refuse empty fields, odd ids and odd buckets', () => {
    for (const make of [
      () => names.objectManifestName('b', '', 'v', 'p'),
      () => names.objectManifestName('b', 'k', '', 'p'),
      () => names.objectManifestName('b', 'k', 'v', 'p.q'),
      () => names.objectManifestName('b', 'k', 'v', ''),
      () => names.objectManifestName('..', 'k', 'v', 'p'),
      () => names.objectManifestName('a/b', 'k', 'v', 'p'),
      () => names.pendingName('v', 'a/b'),
      () => names.releaseName('', 'v', 'r'),
      () => names.failedName('../x', 't'),
    ])
      expect(make).toThrow(InvalidInputError)
  })
})
