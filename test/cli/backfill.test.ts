import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { BackfillRequest } from '../../shared/backfill/control.ts'
import { planObject } from '../../shared/weights/plan.ts'
import { type BackfillWorld, createBackfillWorld } from '../support/backfill-world.ts'
import { runCli } from '../support/cli.ts'
import { functionError, startInvoke } from '../support/lambda-invoke.ts'
import { bucketName, noise } from '../support/weights-world.ts'

/** Against a server that answers as Lambda's Invoke does, with the domain over memory behind it. */

let dir: string
let lambda: Awaited<ReturnType<typeof startInvoke>>
let world: BackfillWorld
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'lifeboat-backfill-'))
  world = await createBackfillWorld()
  await writeFile(join(dir, 'lifeboat.yml'), JSON.stringify(world.deps.weights.config))
  lambda = await startInvoke(async (payload) => {
    try {
      return { body: await world.ask(payload as BackfillRequest) }
    } catch (error) {
      const { name, message } = error as Error
      return functionError(name, message)
    }
  })
})
afterEach(async () => {
  lambda.stop()
  await rm(dir, { recursive: true, force: true })
})

/** What the function does meanwhile happens while the command waits. */
const cli = (...args: string[]) => runCli(['backfill', ...args], { cwd: dir, onWait: () => world.settle() })
const fill = (count: number): void => {
  for (let index = 0; index < count; index += 1)
    world.world.source.put(bucketName, `old/${index}`, noise(3000, index + 1))
  world.world.tick(60_000)
}
const url = `s3://${bucketName}/old/`

describe('lifeboat backfill', () => {
  test('objects: estimates, begins, follows and prints the account', async () => {
    fill(5)
    const { code, stdout, stderr } = await cli('objects', url)
    expect(code).toBe(0)
    expect(stdout).toMatch(/status {5}done/)
    expect(stdout).toContain('5 object versions looked at: 5 done')
    expect(stdout).toMatch(/cost {7}\$[\d.e-]+, estimated \$[\d.e-]+/)
    expect(stderr).toContain('at list prices of')
    expect(stderr).toMatch(/goes on by itself/)
  })

  test('a dry run begins nothing', async () => {
    fill(5)
    const { code, stdout } = await cli('objects', url, '--dry-run')
    expect(code).toBe(0)
    expect(stdout).toContain('looks at   5 object versions')
    expect(stdout).toContain('(from a sample of 5 objects, 14.6 KiB)')
    expect(world.messages).toEqual([])
    const parsed = JSON.parse((await cli('objects', url, '--dry-run', '--json')).stdout) as Record<string, unknown>
    expect(parsed).toMatchObject({ schema: 1, estimate: { read: 5, bytesRead: 15_000 } })
  })

  test('prices are taken from a file', async () => {
    fill(1)
    await writeFile(join(dir, 'prices.json'), '{"egressGb": 1000000}')
    const { stdout } = await cli('objects', url, '--dry-run', '--prices', 'prices.json')
    expect(stdout).toMatch(/egress \$3\.\d\d/)
    expect(stdout).toContain('with your prices')
    await writeFile(join(dir, 'prices.json'), '{"egress": 1}')
    expect((await cli('objects', url, '--dry-run', '--prices', 'prices.json')).code).toBe(2)
    expect((await cli('objects', url, '--prices', 'none.json')).code).toBe(2)
  })

  test('what cannot be brought in is listed, and is 1', async () => {
    fill(2)
    world.world.source.put(bucketName, 'old/cold', noise(10, 60), { storageClass: 'GLACIER' })
    world.world.tick(60_000)
    const { code, stdout, stderr } = await cli('objects', url)
    expect(code).toBe(1)
    expect(stdout).toMatch(/s3:\/\/models\/old\/cold#\S+ {2}archived: restore it in S3/)
    expect(stderr).toContain('1 thing could not be brought in')
  })

  test('what an event has under way is not there yet, and is 1', async () => {
    fill(2)
    const { weights } = world.deps
    const object = await weights.source.head({ bucket: bucketName, key: 'old/1' })
    await planObject(weights, weights.config.buckets[0]!, object!)
    world.world.workQueue.messages.length = 0
    const { code, stderr } = await cli('objects', url, '--no-estimate')
    expect(stderr).toContain('1 object version under way by events, not in the replica yet')
    expect(code).toBe(1)
  })

  test.each([
    [['objects', 's3://models/none/'], 1, 'there is nothing of s3://models/none/'],
    [['objects', 's3://models/none/', '--no-estimate'], 1, 'there is nothing under s3://models/none/'],
    [['objects', 's3://foreign/x/'], 2, 'bucket foreign is not configured'],
    [['objects', 'models'], 2, 'expected s3://BUCKET/PREFIX'],
    [['table', 'others'], 2, 'there is no table others'],
    [['table', 'features', '--export', ''], 2, '--export: found "", expected s3://BUCKET/PREFIX'],
    [['table', 'features', '--export', ...Array<string>(51).fill('s3://b/c')], 2, '--export: found 51, allowed: 50'],
    [['show', 'none/0'], 2, 'found "none/0", expected an id'],
    [['cancel', 'none/0'], 2, 'found "none/0", expected an id'],
    [['objects', 's3://models/', '--bytes-per-second', '0'], 2, 'expected at least one byte'],
    [['objects', 's3://models/', '--bytes-per-second', '9'.repeat(400)], 2, 'expected at least one byte'],
    [['table', 'features', '--segments', '99'], 2, '--segments'],
    [['table', 'features', '--export', 'nowhere'], 2, 'expected s3://BUCKET/PREFIX/AWSDynamoDB/EXPORT-ID'],
    [['show', 'none'], 4, 'there is no backfill none'],
    [['pause', 'none'], 4, 'there is no backfill none'],
    [['objects', 's3://models/', '--bytes-per-second', 'many'], 2, 'expected bytes'],
  ])('%o ends with %i', async (args, expected, says) => {
    const { code, stderr } = await cli(...args)
    expect(stderr).toContain(says)
    expect(code).toBe(expected)
  })

  test('a table: read units and rows; a second one joins', async () => {
    for (let index = 0; index < 20; index += 1) world.put({ pk: { S: `p${index}` }, n: { N: '1' } })
    const first = await cli('table', 'features', '--segments', '2', '--detach', '--json')
    expect(first.code).toBe(0)
    const { run } = JSON.parse(first.stdout) as { run: { id: string; limits: object } }
    const { code, stdout, stderr } = await cli('table', 'features', '--segments', '2')
    expect({ code, joined: stderr.includes(`backfill ${run.id} of the same is running already`) }).toEqual({
      code: 0,
      joined: true,
    })
    expect(stdout).toContain('20 items looked at: 20 done')
  })

  test('a table without a stream is refused', async () => {
    world.put({ pk: { S: 'p' } })
    delete world.about.streamArn
    const dry = await cli('table', 'features', '--dry-run')
    expect(dry.stdout).toContain('would be refused now: table features has no stream')
    const { code, stderr } = await cli('table', 'features')
    expect(code).toBe(1)
    expect(stderr).toContain('has no stream that is enabled')
  })

  test('list, show, pause, resume, cancel', async () => {
    fill(3)
    const started = JSON.parse(
      (await cli('objects', url, '--detach', '--json', '--bytes-per-second', '1M')).stdout,
    ) as {
      run: { id: string; limits: { bytes: number } }
    }
    const { id, limits } = started.run
    expect(limits).toEqual({ bytes: 2 ** 20 })
    expect((await cli('list')).stdout).toMatch(new RegExp(`${id} {2}running {2}s3://models/old/`))
    expect((await cli('pause', id)).stdout).toContain('paused')
    expect((await cli('objects', url, '--no-estimate')).code).toBe(1)
    expect((await cli('resume', id)).stdout).toContain('running')
    const cancelled = await cli('cancel', id)
    expect(cancelled.code).toBe(0)
    expect(cancelled.stdout).toMatch(/status {5}cancelled/)
    expect(cancelled.stdout).toMatch(/where {6}the listing was left behind the start/)
    expect((await cli('resume', id)).code).toBe(1)
    expect((await cli('show', id)).stdout).toContain('reports/backfill/')
  })
})
