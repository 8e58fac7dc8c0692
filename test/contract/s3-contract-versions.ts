import {
  CopyObjectCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  GetBucketVersioningCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import { expect } from 'vitest'
import { type Checks, failureOf, setVersioning, type Subject } from './s3-support.ts'

const put = ({ client, bucket }: Subject, body: string, key = 'k') =>
  client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body: body }))

const read = async ({ client, bucket }: Subject, VersionId?: string, more = {}) => {
  const answer = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'k', VersionId, ...more }))
  return { ...answer, text: await answer.Body!.transformToString() }
}

const remove = ({ client, bucket }: Subject, VersionId?: string) =>
  client.send(new DeleteObjectCommand({ Bucket: bucket, Key: 'k', VersionId }))

const list = async ({ client, bucket }: Subject) => {
  const { Versions = [], DeleteMarkers = [] } = await client.send(new ListObjectVersionsCommand({ Bucket: bucket }))
  return {
    versions: Versions.map(({ VersionId, IsLatest }) => [VersionId, IsLatest]),
    markers: DeleteMarkers.map(({ VersionId, IsLatest }) => [VersionId, IsLatest]),
  }
}

export const versionChecks: Checks = {
  'versioning is absent, enabled, suspended': async (subject) => {
    const status = async () =>
      (await subject.client.send(new GetBucketVersioningCommand({ Bucket: subject.bucket }))).Status
    expect(await status()).toBeUndefined()
    await setVersioning(subject, 'Enabled')
    expect(await status()).toBe('Enabled')
    await setVersioning(subject, 'Suspended')
    expect(await status()).toBe('Suspended')
  },

  'every put is a version that stays readable by its id': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const [first, second] = [await put(subject, 'one'), await put(subject, 'two')]
    expect((await read(subject)).VersionId).toBe(second.VersionId)
    expect(await read(subject, first.VersionId)).toMatchObject({ text: 'one', VersionId: first.VersionId })
    expect((await read(subject, first.VersionId, { Range: 'bytes=1-', IfMatch: first.ETag })).text).toBe('ne')
    expect(await failureOf(read(subject, first.VersionId, { IfMatch: second.ETag }))).toMatchObject({ status: 412 })
    expect(await list(subject)).toEqual({
      versions: [
        [second.VersionId, true],
        [first.VersionId, false],
      ],
      markers: [],
    })
  },

  'a delete marker hides the object; its removal brings it back': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const version = await put(subject, 'one')
    const marker = await remove(subject)
    expect(marker).toMatchObject({ DeleteMarker: true, VersionId: expect.any(String) as string })
    expect(await failureOf(read(subject))).toMatchObject({ name: 'NoSuchKey', status: 404 })
    expect((await read(subject, version.VersionId)).text).toBe('one')
    expect(await list(subject)).toEqual({
      versions: [[version.VersionId, false]],
      markers: [[marker.VersionId, true]],
    })
    expect((await remove(subject, marker.VersionId)).VersionId).toBe(marker.VersionId)
    expect((await read(subject)).text).toBe('one')
  },

  'removing a delete marker says that it was one': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const marker = await remove(subject)
    expect((await remove(subject, marker.VersionId)).DeleteMarker).toBe(true)
  },

  'the 404 of a deleted object names its marker': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await put(subject, 'one')
    const { VersionId } = await remove(subject)
    const { headers } = await failureOf(read(subject))
    expect(headers).toMatchObject({ 'x-amz-delete-marker': 'true', 'x-amz-version-id': VersionId })
  },

  'reading a delete marker by its id is 405': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await put(subject, 'one')
    const marker = await remove(subject)
    const failure = await failureOf(read(subject, marker.VersionId))
    expect(failure).toMatchObject({ name: 'MethodNotAllowed', status: 405 })
    expect(failure.headers).toMatchObject({ 'x-amz-delete-marker': 'true', allow: 'DELETE' })
    const head = new HeadObjectCommand({ Bucket: subject.bucket, Key: 'k', VersionId: marker.VersionId! })
    expect(await failureOf(subject.client.send(head))).toMatchObject({ status: 405 })
  },

  'a delete marker is made even for a key that never was': async (subject) => {
    await setVersioning(subject, 'Enabled')
    expect((await remove(subject)).DeleteMarker).toBe(true)
    expect((await list(subject)).markers).toHaveLength(1)
  },

  'deleting the current version makes the one before it current': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const [first, second] = [await put(subject, 'one'), await put(subject, 'two')]
    await remove(subject, second.VersionId)
    expect(await read(subject)).toMatchObject({ text: 'one', VersionId: first.VersionId })
    expect(await failureOf(read(subject, second.VersionId))).toMatchObject({ name: 'NoSuchVersion', status: 404 })
  },

  'a version id that cannot be one is refused': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await put(subject, 'one')
    expect(await failureOf(read(subject, 'no such form'))).toMatchObject({ name: 'InvalidArgument', status: 400 })
  },

  'what was there before versioning is the null version': async (subject) => {
    await put(subject, 'before')
    await setVersioning(subject, 'Enabled')
    expect((await read(subject)).text).toBe('before')
    const after = await put(subject, 'after')
    expect((await read(subject, 'null')).text).toBe('before')
    expect(await list(subject)).toEqual({
      versions: [
        [after.VersionId, true],
        ['null', false],
      ],
      markers: [],
    })
  },

  'the null version is named where versioning was ever on': async (subject) => {
    await put(subject, 'before')
    await setVersioning(subject, 'Enabled')
    expect((await read(subject)).VersionId).toBe('null')
    await setVersioning(subject, 'Suspended')
    expect((await put(subject, 'after')).VersionId).toBe('null')
  },

  'suspended: the null version is replaced, the others stay': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const kept = await put(subject, 'kept')
    await setVersioning(subject, 'Suspended')
    await put(subject, 'null one')
    await put(subject, 'null two')
    expect((await read(subject)).text).toBe('null two')
    expect(await list(subject)).toEqual({
      versions: [
        ['null', true],
        [kept.VersionId, false],
      ],
      markers: [],
    })
  },

  'suspended: a delete puts a null marker in place of the null version': async (subject) => {
    await setVersioning(subject, 'Enabled')
    const kept = await put(subject, 'kept')
    await setVersioning(subject, 'Suspended')
    await put(subject, 'null one')
    expect(await remove(subject)).toMatchObject({ DeleteMarker: true, VersionId: 'null' })
    expect(await list(subject)).toEqual({ versions: [[kept.VersionId, false]], markers: [['null', true]] })
    await setVersioning(subject, 'Enabled')
    await remove(subject, 'null')
    expect((await read(subject)).text).toBe('kept')
  },

  'If-None-Match looks past a delete marker': async (subject) => {
    await setVersioning(subject, 'Enabled')
    await put(subject, 'one')
    await remove(subject)
    const again = new PutObjectCommand({ Bucket: subject.bucket, Key: 'k', Body: 'two', IfNoneMatch: '*' })
    await subject.client.send(again)
    expect((await read(subject)).text).toBe('two')
  },

  'an old version can be copied to become the current one': async (subject) => {
    const { client, bucket } = subject
    await setVersioning(subject, 'Enabled')
    const first = await put(subject, 'one')
    await put(subject, 'two')
    const copied = await client.send(
      new CopyObjectCommand({ Bucket: bucket, Key: 'k', CopySource: `${bucket}/k?versionId=${first.VersionId}` }),
    )
    expect(copied.CopySourceVersionId).toBe(first.VersionId)
    expect(await read(subject)).toMatchObject({ text: 'one', VersionId: copied.VersionId })
  },

  'a bucket with versions or markers cannot be deleted': async (subject) => {
    const drop = () => subject.client.send(new DeleteBucketCommand({ Bucket: subject.bucket }))
    await setVersioning(subject, 'Enabled')
    const marker = await remove(subject)
    expect(await failureOf(drop())).toMatchObject({ name: 'BucketNotEmpty', status: 409 })
    await remove(subject, marker.VersionId)
    await drop()
    expect(await failureOf(drop())).toMatchObject({ name: 'NoSuchBucket', status: 404 })
  },
}
