import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { createMemoryBlobStore } from '../../shared/clouds/memory/blob-store.ts'
import { DeniedError, UnavailableError } from '../../shared/errors.ts'
import { createConfigCopier } from '../../shared/weights/config-copy.ts'
import { runCli } from '../support/cli.ts'
import { config, goodReplica } from '../support/doctor-world.ts'

const root = fileURLToPath(new URL('../..', import.meta.url))
const openReplicaFacts = async () => ({ facts: goodReplica, close: async () => undefined })
const deny = () => Promise.reject(new DeniedError('no Google credentials: log in'))
const never = () => Promise.reject(new Error('opened'))
const gone = () => Promise.reject(new UnavailableError('AWS is not there'))
const file = 'test/fixtures/rows.lifeboat.yml'

test('a side that cannot be opened is one unknown check, and the other side is looked at', async () => {
  const { code, stdout } = await runCli(['--config', file, 'doctor', '--json'], {
    cwd: root,
    openSource: gone,
    openReplicaFacts: deny,
  })
  expect(code).toBe(3)
  expect(JSON.parse(stdout)).toMatchObject({
    schema: 1,
    stage: 'dev',
    only: null,
    totals: { ok: 0, finding: 0, unknown: 2 },
    checks: [
      { id: 'source-access', side: 'source', outcome: 'unknown', detail: 'AWS is not there' },
      { id: 'replica-access', side: 'replica', outcome: 'unknown', detail: 'no Google credentials: log in' },
    ],
  })
  const half = await runCli(['--config', file, 'doctor'], { cwd: root, openSource: gone, openReplicaFacts })
  expect(half.stdout).toMatch(/^\d+ things? to fix; 1 check could not be made\nreplica: \d+ checks fine\n/)
  expect(half.stdout).toMatch(/\? +source +the source can be looked at +AWS is not there/)
  expect(half.code).toBe(1)
})

test('one side is asked for alone, and the other one is not opened', async () => {
  const { code, stdout } = await runCli(
    ['--config', file, '--stage', 'prod', 'doctor', '--only', 'replica', '--json'],
    {
      cwd: root,
      openSource: never,
      openReplicaFacts,
    },
  )
  expect(new Set((JSON.parse(stdout) as { checks: { side: string }[] }).checks.map(({ side }) => side))).toEqual(
    new Set(['replica']),
  )
  expect(code).toBe(0)
})

test('with AWS and this folder gone, the configuration is the one in the replica', async () => {
  const store = createMemoryBlobStore()
  await createConfigCopier({ config, store })()
  const args = ['--replica', 'gs://replica', '--stage', 'prod', 'doctor']
  const { code, stdout } = await runCli(args, { store, openSource: gone, openReplicaFacts })
  expect({ code, stdout }).toEqual({ code: 0, stdout: 'Fine: nothing to fix\nreplica: 11 checks fine\n' })
  const empty = await runCli(args, { store: createMemoryBlobStore(), openReplicaFacts })
  expect(empty).toMatchObject({
    code: 4,
    stderr: expect.stringContaining('there is no configuration in gs://replica/config/'),
  })
})

test('AWS permissions of the doctor look and do not touch', async () => {
  const { Statement } = JSON.parse(await readFile(`${root}/infra/aws/doctor-policy.json`, 'utf8')) as {
    Statement: { Action: string[] }[]
  }
  for (const action of Statement.flatMap(({ Action }) => Action))
    expect(action).toMatch(/:(Get|Describe|List|Simulate)[A-Za-z]+$/)
})
