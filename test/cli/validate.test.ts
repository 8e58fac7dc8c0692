import { beforeEach, describe, expect, it } from 'vitest'
import { createMemoryBlobStore, type MemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { UnavailableError } from '../../shared/errors.ts'
import { newestReport, type Report } from '../../shared/proof/report.ts'
import { prefixesOfSlice, slices } from '../../shared/proof/scrub-body.ts'
import { runCli } from '../support/cli.ts'
import { writeReplica } from '../support/cli-replica.ts'
import type { WrittenObject } from '../support/replica.ts'

let store: MemoryBlobStore
let weights: WrittenObject
beforeEach(async () => {
  store = createMemoryBlobStore()
  ;({ weights } = await writeReplica(store))
})

const run = (...args: string[]) => runCli(args, { store })
const json = async (...args: string[]): Promise<{ code: number; answer: Report & { schema: number } }> => {
  const { code, stdout } = await run(...args, '--json')
  return { code, answer: JSON.parse(stdout) as Report & { schema: number } }
}
const rot = (name: string): void => store.corrupt(name, (body) => ((body[body.length - 1] = body.at(-1)! ^ 1), body))

describe('lifeboat validate', () => {
  it('passes a replica that is whole and says what it looked at and what it did not ask', async () => {
    const { code, stdout } = await run('validate')
    expect(code).toBe(0)
    expect(stdout).toContain('validate passed: the whole replica: looked at 2 releases, 4 manifests, 5 parts, 6 chunks')
    expect(stdout).toContain('the source and the ledger were not asked')
    const { answer } = await json('validate')
    expect(answer).toMatchObject({ schema: 1, kind: 'validate', outcome: 'passed', findings: [], report: null })
    expect(answer.counts).toMatchObject({ sourceNotAsked: 4, checksumsFromChunks: 3, checksumsNotRecomputed: 1 })
  })

  it('is limited to a model or a version', async () => {
    expect((await json('validate', 'llama')).answer).toMatchObject({ scope: 'llama', counts: { manifests: 2 } })
    const { answer } = await json('validate', 'llama@2')
    expect(answer).toMatchObject({ scope: 'llama@2', counts: { releases: 1, manifests: 1 } })
  })

  it.each([
    ['chunk', () => weights.chunkNames[1]!, 'missing'],
    ['part', () => store.names().find((name) => name.startsWith('parts/'))!, 'missing'],
    ["member's manifest", () => weights.name, 'missing'],
  ])('finds a %s that is gone: exit 1, a table and no second message', async (_what, nameOf, kind) => {
    const name = nameOf()
    store.remove(name)
    const { code, stdout, stderr } = await run('validate')
    expect(code).toBe(1)
    expect(stdout).toContain('validate failed')
    expect(stdout).toMatch(new RegExp(`${kind} +${name}`))
    expect(stderr).toBe('')
    const answer = await json('validate')
    expect(answer.code).toBe(1)
    expect(answer.answer.findings).toMatchObject([{ kind, subject: name, repaired: 'no' }])
  })

  it('finds a manifest whose bytes are not those that the release names', async () => {
    store.corrupt(weights.name, (body) => Buffer.from(Buffer.from(body).toString().replace('"cutter"', '"cuttor"')))
    const { code, answer } = await json('validate', 'llama@1')
    expect(code).toBe(1)
    expect(answer.findings.map(({ kind }) => kind)).toContain('altered')
  })

  it('fails with words where there is nothing to look at', async () => {
    const { code, stdout } = await runCli(['validate'], { store: createMemoryBlobStore() })
    expect(code).toBe(1)
    expect(stdout).toContain('it looked at nothing, which proves nothing')
    const scrubbed = await runCli(['validate', '--scrub'], { store: createMemoryBlobStore() })
    expect(scrubbed).toMatchObject({ code: 1 })
    expect(scrubbed.stdout).toContain('it looked at nothing')
  })

  it.each([
    [['validate', 'lama'], 4, 'no release lama'],
    [['validate', 's3://models/a'], 2, 'expected MODEL'],
    [['validate', 'llama', '--scrub'], 2, 'take no MODEL'],
    [['validate', '--slice', '30'], 2, 'from 0 to 29'],
    [['validate', '--slice', 'x'], 2, 'from 0 to 29'],
  ])('%j exits %i', async (args, code, words) => {
    const result = await run(...args)
    expect(result.code).toBe(code)
    expect(result.stderr).toContain(words)
  })

  it('an outage is no finding', async () => {
    const down = { ...store, stat: async () => Promise.reject(new UnavailableError('503')) }
    expect((await runCli(['validate'], { store: down })).code).toBe(3)
  })

  it('writes its report where it is asked to', async () => {
    const { stdout } = await run('validate', '--report')
    const written = await newestReport(store, 'validate')
    expect(written?.report).toMatchObject({ outcome: 'passed', scope: null })
    expect(stdout).toContain(`report: ${written!.name}`)
  })
})

describe('lifeboat validate --scrub', () => {
  it('reads back every body', async () => {
    const { code, answer } = await json('validate', '--scrub')
    const bodies = store.names().filter((name) => /^(chunks|parts)\//.test(name))
    expect(code).toBe(0)
    expect(answer).toMatchObject({ kind: 'scrub', outcome: 'passed', counts: { bodies: bodies.length } })
  })

  it('finds what no look at metadata can, and who needs it', async () => {
    rot(weights.chunkNames[2]!)
    expect((await run('validate')).code).toBe(0)
    const { code, answer } = await json('validate', '--scrub')
    expect(code).toBe(1)
    expect(answer.findings).toMatchObject([{ kind: 'wrong-bytes', subject: weights.chunkNames[2], repaired: 'no' }])
    expect(answer.findings[0]!.detail).toContain('s3://models/llama/1/model.safetensors version v1')
  })

  it('every slice together is everything, and "today" is one of them', async () => {
    let bodies = 0
    for (let slice = 0; slice < slices; slice += 1) {
      const { code, answer } = await json('validate', '--slice', String(slice))
      const mine = store.names().filter((name) => prefixesOfSlice(slice).some((prefix) => name.startsWith(prefix)))
      expect(answer.counts['bodies'] ?? 0).toBe(mine.length)
      expect(code).toBe(mine.length > 0 ? 0 : 1)
      bodies += mine.length
    }
    expect(bodies).toBe(store.names().filter((name) => /^(chunks|parts)\//.test(name)).length)
    const { answer } = await json('validate', '--slice', 'today')
    expect(answer.scope).toBe(`slice ${Math.floor(Date.parse('2026-05-03T10:00:00Z') / 86_400_000) % slices}`)
  })
})
