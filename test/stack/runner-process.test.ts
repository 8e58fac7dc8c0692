import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { PutItemCommand } from '@aws-sdk/client-dynamodb'
import { GetQueueAttributesCommand, SendMessageBatchCommand } from '@aws-sdk/client-sqs'
import { afterEach, describe, expect, it } from 'vitest'
import { type Fixture, fixtureTemplate, openFixture, until } from './runner-fixture.ts'

let fixture: Fixture
let child: ChildProcess | undefined
afterEach(async () => {
  child?.kill('SIGKILL')
  await fixture.close()
})

const serve = async (): Promise<{ process: ChildProcess; url: string }> => {
  const file = join(fixture.dir, 'options.json')
  const template = join(fixture.dir, 'template.json')
  const { account, region, endpoints, functions } = fixture.stack
  const extraEnv = functions[0]?.environment
  const dir = join(fixture.dir, 'served')
  writeFileSync(template, JSON.stringify(fixture.template))
  writeFileSync(
    file,
    JSON.stringify({ template, endpoints, account, region, extraEnv, dir, buildDir: fixture.buildDir }),
  )
  const entry = join(import.meta.dirname, '../../local/lambda/serve.ts')
  child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', entry, file], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const [line] = (await once(child.stdout!, 'data')) as [Buffer]
  return { process: child, url: (JSON.parse(String(line)) as { url: string }).url }
}

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
const empty = async (): Promise<boolean> => {
  const { Attributes = {} } = await fixture.clients.sqs.send(
    new GetQueueAttributesCommand({
      QueueUrl: fixture.queue('jobs').url,
      AttributeNames: ['ApproximateNumberOfMessages', 'ApproximateNumberOfMessagesNotVisible'],
    }),
  )
  return Object.values(Attributes).every((value) => value === '0')
}
const seen = (): Set<string> =>
  new Set(fixture.entries().flatMap((entry) => entry.bodies.map((body) => (body as { n?: string }).n ?? '')))

describe('the runner as a process', () => {
  it('loses nothing when it is killed and started again, and its instances end with it', async () => {
    fixture = await openFixture(
      fixtureTemplate({ visibilitySeconds: 4, queue: { BatchSize: 1 }, stream: { BatchSize: 2 } }),
    )
    const Entries = Array.from({ length: 6 }, (_, n) => ({
      Id: String(n),
      MessageBody: JSON.stringify({ n: `message ${n}`, sleepMs: 150 }),
    }))
    await fixture.clients.sqs.send(new SendMessageBatchCommand({ QueueUrl: fixture.queue('jobs').url, Entries }))
    for (let n = 0; n < 6; n += 1) {
      const Item = { pk: { S: `key ${n}` }, doing: { S: JSON.stringify({ n: `change ${n}`, sleepMs: 100 }) } }
      await fixture.clients.dynamodb.send(new PutItemCommand({ TableName: 'fixture-table', Item }))
    }
    const first = await serve()
    await until(() => fixture.entries().length >= 3, 'three invocations')
    first.process.kill('SIGKILL')
    const pids = new Set(fixture.entries().map((entry) => entry.pid))
    await until(() => ![...pids].some(alive), 'no instance outlives the runner')
    expect(seen().size).toBeLessThan(12)

    await serve()
    await until(() => seen().size === 12, 'every message and change handled')
    await until(empty, 'nothing left on the queue')
    const changes = fixture.entries().filter((entry) => entry.function === 'fixture-follow')
    const order = changes.map((entry) => Number(entry.ids[0]))
    // Batches come in order; at most the one that was cut off comes twice.
    expect(order).toEqual(order.toSorted((a, b) => a - b))
    expect(changes.length).toBeLessThanOrEqual(4)
  })

  it('ends when its parent closes its input', async () => {
    fixture = await openFixture(fixtureTemplate())
    const { process: runner, url } = await serve()
    expect((await fetch(`${url}/_lifeboat/health`)).status).toBe(200)
    runner.stdin!.end()
    const [code] = (await once(runner, 'exit')) as [number]
    expect(code).toBe(0)
  })
})
