import { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { GetObjectCommand, ListObjectVersionsCommand } from '@aws-sdk/client-s3'
import { DeleteMessageCommand, ReceiveMessageCommand, SendMessageCommand } from '@aws-sdk/client-sqs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createObjectLedger } from '../../shared/clouds/aws/object-ledger.ts'
import { createReleaseLedger } from '../../shared/clouds/aws/release-ledger.ts'
import { listReleases } from '../../shared/weights/catalog.ts'
import { surveyObjects } from '../../shared/weights/catalog-pending.ts'
import { digestsIn } from '../support/fixtures.ts'
import { contentOf, manifestsOf, missingBodies, sha256, type TestStack } from '../support/stack.ts'
import type { PublishedRelease } from './kill-publish.ts'

/** What has to be true once nobody kills any more. */

const bucket = 'models'

/** Key and version id of everything that S3 took, as it tells itself. */
export const publishedVersions = async ({ stack }: TestStack): Promise<{ key: string; versionId: string }[]> => {
  const found: { key: string; versionId: string }[] = []
  let marker: { KeyMarker?: string; VersionIdMarker?: string } = {}
  do {
    const page = await stack.s3.send(new ListObjectVersionsCommand({ Bucket: bucket, ...marker }))
    for (const { Key, VersionId } of page.Versions ?? []) found.push({ key: Key!, versionId: VersionId! })
    const { NextKeyMarker: KeyMarker, NextVersionIdMarker: VersionIdMarker } = page
    marker = KeyMarker && VersionIdMarker ? { KeyMarker, VersionIdMarker } : {}
  } while (marker.KeyMarker)
  return found
}

/** What an operator does when the alarm of a dead-letter queue rings. Resolves with how many messages went back. */
export const redrive = async (it: TestStack): Promise<number> => {
  let moved = 0
  for (const name of ['objects', 'segments'])
    for (;;) {
      const dead = it.queueUrl(`${name}-dead`)
      const { Messages = [] } = await it.sqs.send(
        new ReceiveMessageCommand({ QueueUrl: dead, MaxNumberOfMessages: 10 }),
      )
      if (Messages.length === 0) break
      for (const { Body, ReceiptHandle } of Messages) {
        await it.sqs.send(new SendMessageCommand({ QueueUrl: it.queueUrl(name), MessageBody: Body }))
        await it.sqs.send(new DeleteMessageCommand({ QueueUrl: dead, ReceiptHandle }))
        moved += 1
      }
    }
  return moved
}

/** What is still under way; empty once everything has come to its end. */
export const underWay = async (it: TestStack, releases: readonly PublishedRelease[]): Promise<string[]> => {
  const waiting: string[] = []
  const say = (count: number, what: string): void => {
    if (count > 0) waiting.push(`${count} ${what}`)
  }
  for (const queue of ['objects', 'segments', 'objects-dead', 'segments-dead'])
    say(await it.messages(queue), `messages in ${queue}`)
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' }
  const endpoint = it.stack.clouds.endpoints.dynamodb
  const client = new DynamoDBClient({ endpoint, region: 'us-east-1', credentials })
  const table = 'lifeboat-local-ledger'
  for await (const row of createObjectLedger(client, table).pending())
    say(1, `row of ${row.source.key}#${row.version} (${row.phase}, ${row.left} left)`)
  for await (const row of createReleaseLedger(client, table).open())
    say(1, `open release ${row.prefix} ${row.waiting ?? ''}`)
  client.destroy()
  const sealed = new Set((await manifestsOf(it.store())).map(({ object }) => object.source.version))
  for (const { key, versionId } of await publishedVersions(it))
    if (!sealed.has(versionId)) say(1, `version without a manifest: ${key}#${versionId}`)
  const { releases: found } = await listReleases(it.store())
  for (const { model, version } of releases)
    if (!found.some(({ release }) => release.model === model && release.version === version))
      say(1, `release without a manifest: ${model}@${version}`)
  return waiting
}

const manifestProblems = async (it: TestStack): Promise<string[]> => {
  const problems: string[] = []
  const store = it.store()
  const contents = new Map<string, Set<string>>()
  for (const manifest of await manifestsOf(store)) {
    problems.push(...(await missingBodies(store, manifest)).map((missing) => `missing: ${missing}`))
    const { key, versionId } = manifest.object.source
    const digest = sha256(await contentOf(store, manifest.object))
    const id = `${key}#${versionId}`
    contents.set(id, (contents.get(id) ?? new Set()).add(digest))
    const source = await it.stack.s3.send(new GetObjectCommand({ Bucket: bucket, Key: key, VersionId: versionId }))
    const published = sha256((await source.Body?.transformToByteArray()) ?? new Uint8Array())
    if (digest !== published) problems.push(`${manifest.name} holds ${digest}, published was ${published}`)
    if (manifest.object.state !== 'protected') problems.push(`${manifest.name} is ${manifest.object.state}`)
  }
  for (const [id, digests] of contents) if (digests.size > 1) problems.push(`${id} is sealed with several contents`)
  return problems
}

const restoreProblems = async (it: TestStack, release: PublishedRelease, dir: string): Promise<string[]> => {
  const what = `${release.model}@${release.version}`
  const to = join(dir, 'restored', what)
  const { code, stderr } = await it.cli(['restore', what, '--to', to, '--quiet'])
  if (code !== 0) return [`restore ${what} ended with ${code}: ${stderr}`]
  const restored = await digestsIn(to)
  await rm(to, { recursive: true })
  const paths = new Set([...Object.keys(restored), ...release.files.keys()])
  return [...paths]
    .filter((path) => restored[path] !== release.files.get(path))
    .map((path) => `${what}: ${path} is ${restored[path] ?? 'missing'}, published was ${release.files.get(path)}`)
}

/** Everything that is wrong; nothing when every publish is in the replica whole, once, and restores identically. */
export const problemsOf = async (
  it: TestStack,
  releases: readonly PublishedRelease[],
  dir: string,
): Promise<string[]> => {
  const problems = await manifestProblems(it)
  for (const release of releases) problems.push(...(await restoreProblems(it, release, dir)))
  const { pending } = await surveyObjects(it.store(), { namesMax: 10_000, readsMax: 1000 })
  for (const { record } of pending ?? []) problems.push(`pending: ${record.source.key}#${record.source.version}`)
  const listed = await it.cli(['ls', '--failed', '--json'])
  const { failed, waiting } = JSON.parse(listed.stdout) as { failed: unknown[]; waiting: unknown[] }
  for (const one of [...failed, ...waiting]) problems.push(`ls --failed: ${JSON.stringify(one)}`)
  return problems
}
