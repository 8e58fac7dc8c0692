import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { projectRoles, type RoleTable } from '../../local/gcs/principals.ts'
import { createModel, writeModel } from '../../local/start/synthetic-model.ts'
import { runLifeboat } from '../../local/start/verify.ts'
import { chunksOfParts } from '../../shared/weights/read.ts'
import { condemnedKey } from '../../shared/weights/presence.ts'
import { bodyName } from '../../shared/weights/store.ts'
import { contentOf, manifestsOf, sha256, startTestStack, type TestStack, until } from '../support/stack.ts'

/** Every identity has what its work needs, shown by taking one permission away at a time, and cannot destroy. */

// Long only where something else has the machine; nothing waits for it.
vi.setConfig({ testTimeout: 240_000, hookTimeout: 240_000 })

let it: TestStack
const dir = mkdtempSync(join(tmpdir(), 'lifeboat-identity-'))
const rolesFile = join(dir, 'roles.json')
const roles = projectRoles()
const setRoles = async (table: RoleTable): Promise<void> => {
  writeFileSync(rolesFile, JSON.stringify(table))
  await it.stack.clouds.restart('gcs')
}
const without = (role: string, permission: string): RoleTable => ({
  ...roles,
  [role]: { permissions: roles[role]!.permissions.filter((one) => one !== permission) },
})

beforeAll(async () => {
  writeFileSync(rolesFile, JSON.stringify(roles))
  it = await startTestStack(join(dir, 'stack'), { rolesFile, redeliverSeconds: 5 })
})
afterEach(async () => {
  if (readFileSync(rolesFile, 'utf8') !== JSON.stringify(roles)) await setRoles(roles)
})
afterAll(async () => {
  try {
    await it.stop()
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
})

/** A request to the embedded GCS as one principal; answers its status. */
const call = async (principal: string, method: string, path: string, body?: string): Promise<number> => {
  const init = { method, headers: { authorization: `Bearer ${principal}`, 'content-type': 'application/json' } }
  const url = `${it.stack.clouds.endpoints.gcs}${path}`
  const response = await fetch(url, { ...init, ...(body === undefined ? {} : { body }) })
  await response.arrayBuffer()
  return response.status
}
const objectPath = (name: string): string => `/storage/v1/b/replica/o/${encodeURIComponent(name)}`
const admin = 'lifeboat-admin'
const removeAsAdmin = async (name: string): Promise<void> => {
  const unretained = `${objectPath(name)}?overrideUnlockedRetention=true`
  expect(await call(admin, 'PATCH', unretained, '{"retention":null}')).toBe(200)
  expect(await call(admin, 'DELETE', objectPath(name))).toBe(204)
}

const protectedContent = async (key: string): Promise<string | undefined> => {
  const [found] = await manifestsOf(it.store(admin), (source) => source.key === key)
  return found && sha256(await contentOf(it.store(admin), found.object))
}

let models = 0
/**
 * The work of all functions on one object: it is published whole; then, with one of its chunks condemned and another one
 * lost, published again under another name. Resolves with both keys, the second one not yet published.
 */
const prepare = async (): Promise<{ first: string; publishAgain: () => Promise<string>; digest: string }> => {
  const number = (models += 1)
  mkdirSync(join(dir, 'published'), { recursive: true })
  const file = join(dir, 'published', `${number}.safetensors`)
  await writeModel(file, createModel(number, 4, 640 * 1024))
  const bytes = readFileSync(file)
  const first = `model-${number}/first.safetensors`
  await it.put('models', first, bytes)
  const digest = await until(() => protectedContent(first), `${first} in the replica`)
  const publishAgain = async (): Promise<string> => {
    const [found] = await manifestsOf(it.store(admin), (source) => source.key === first)
    const names: string[] = []
    for await (const { ref } of chunksOfParts(it.store(admin), found!.object.parts)) names.push(bodyName(ref, 'chunk'))
    const condemned = JSON.stringify({ metadata: { [condemnedKey]: '2026-01-01T00:00:00Z' } })
    expect(await call(admin, 'PATCH', objectPath(names[1]!), condemned)).toBe(200)
    await removeAsAdmin(names[2]!)
    const again = `model-${number}/again.safetensors`
    await it.put('models', again, bytes)
    return again
  }
  return { first, publishAgain, digest }
}

test('with the roles of infra/gcp/roles.json all of it works', async () => {
  const { publishAgain, digest } = await prepare()
  const again = await publishAgain()
  expect(await until(() => protectedContent(again), `${again} in the replica`)).toBe(digest)
})

const functionsOf = {
  'lifeboat-writer': ['planObject', 'copySegment'],
  'lifeboat-committer': ['commitObject'],
} as const
type FunctionRole = keyof typeof functionsOf
const functionRoles = Object.keys(functionsOf) as FunctionRole[]
const each = functionRoles.flatMap((role) => roles[role]!.permissions.map((permission) => [role, permission] as const))

describe('a permission less and the work fails, visibly', () => {
  test.each(each)('%s without %s', async (role, permission) => {
    const { publishAgain, digest } = await prepare()
    const written = functionsOf[role].map((name) => it.log(name).length)
    await setRoles(without(role, permission))
    const again = await publishAgain()
    const said = (): string => functionsOf[role].map((name, index) => it.log(name).slice(written[index])).join('\n')
    const denied = new RegExp(`${role}@[^ ]+ does not have ${permission} access`)
    // What an alarm sees: a metric of its own, or the sweep's error.
    const counted = /"(MessagesFailed|CommitsFailed)"|the sweep passed over one/
    await until(
      async () => denied.test(said()) && counted.test(said()),
      async () => `a counted denial of ${permission} in the log: ${said().slice(-2000)}`,
    )
    expect(await protectedContent(again)).toBeUndefined()
    await setRoles(roles)
    // What was refused is not lost: it is tried again.
    expect(await until(() => protectedContent(again), `${again} once the permission is back`)).toBe(digest)
  })

  test('lifeboat-observer without storage.objects.create', async () => {
    const written = it.log('measureLag').length
    const said = (from = written): string => it.log('measureLag').slice(from)
    await setRoles(without('lifeboat-observer', 'storage.objects.create'))
    const denied = /heartbeat: create .*lifeboat-observer@[^ ]+ does not have storage.objects.create access/
    await until(
      async () => denied.test(said()),
      async () => `a heartbeat denied: ${said().slice(-2000)}`,
    )
    const since = written + said().search(denied)
    // The lag is counted all the same.
    await until(async () => said(since).includes('"OldestPendingSeconds"'), 'a lag without a heartbeat')
    expect(said(since)).not.toContain('"Heartbeats":1')
    await setRoles(roles)
    const back = it.log('measureLag').length
    await until(async () => said(back).includes('"Heartbeats":1'), 'a heartbeat once the permission is back')
  })

  // The embedded Bigtable asks nobody who they are.
  const ofStorage = roles['lifeboat-restorer']!.permissions.filter((one) => one.startsWith('storage.'))
  test.each(ofStorage)('lifeboat-restorer without %s', async (permission) => {
    const { first } = await prepare()
    const args = ['restore', `s3://models/${first}`, '--replica', 'gs://replica', '--to', join(dir, `to-${permission}`)]
    await setRoles(without('lifeboat-restorer', permission))
    const denied = await runLifeboat(args, it.stack.environment)
    expect(denied).toMatchObject({ code: 3, stderr: expect.stringContaining(permission) })
    await setRoles(roles)
    expect(await runLifeboat(args, it.stack.environment)).toMatchObject({ code: 0 })
  })
})

describe('no identity of the AWS side can destroy', () => {
  test('what is sealed', async () => {
    const { first, digest } = await prepare()
    const [found] = await manifestsOf(it.store(admin), (source) => source.key === first)
    const names = [found!.name, bodyName(found!.object.parts[0]!, 'part')]
    for await (const { ref } of chunksOfParts(it.store(admin), found!.object.parts)) names.push(bodyName(ref, 'chunk'))
    for (const role of [...functionRoles, 'lifeboat-observer', 'lifeboat-restorer'])
      for (const name of names) {
        const { generation } = (await it.store(admin).stat(name))!
        const upload = `/upload/storage/v1/b/replica/o?uploadType=media&name=${encodeURIComponent(name)}`
        const other = encodeURIComponent(names.find((one) => one !== name)!)
        const attempts = {
          overwrite: await call(role, 'POST', upload, 'other'),
          'overwrite this generation': await call(role, 'POST', `${upload}&ifGenerationMatch=${generation}`, 'other'),
          'overwrite in parts': await call(role, 'POST', upload.replace('=media', '=resumable'), '{}'),
          'overwrite by a copy': await call(role, 'POST', `${objectPath(name)}/rewriteTo/b/replica/o/${other}`, '{}'),
          delete: await call(role, 'DELETE', objectPath(name)),
          'delete this generation': await call(role, 'DELETE', `${objectPath(name)}?generation=${generation}`),
          'end its retention': await call(role, 'PATCH', objectPath(name), '{"retention":null}'),
          'end it by force': await call(
            role,
            'PATCH',
            `${objectPath(name)}?overrideUnlockedRetention=true`,
            '{"retention":null}',
          ),
        }
        expect({ role, name, ...attempts }).toEqual({
          role,
          name,
          ...Object.fromEntries(Object.keys(attempts).map((attempt) => [attempt, 403])),
        })
        const update = await call(role, 'PATCH', objectPath(name), '{"metadata":{"note":"x"}}')
        expect({ role, update }).toEqual({ role, update: role === 'lifeboat-committer' ? 200 : 403 })
      }
    expect(await protectedContent(first)).toBe(digest)
  })
})
