import { checkTags, type Tag } from './about.ts'
import { type Answer, type Call, change } from './call.ts'
import { receiveText } from './receive.ts'
import { requireBucket, requireVersion, tagsOf, versionHeader } from './versions.ts'
import { children, document, element, parseXml, requiredText } from './xml.ts'

const setTags = (call: Call, tags: Tag[], status: number): Answer =>
  change(call.s3, () => {
    const bucket = requireBucket(call.s3.store, call.bucket)
    const row = requireVersion(call.s3.store, bucket, call.key, call.query.get('versionId'))
    call.s3.store.run('UPDATE versions SET tags = ? WHERE id = ?', JSON.stringify(tags), row.id)
    return { status, headers: versionHeader(bucket, row) }
  })

export const putObjectTagging = async (call: Call): Promise<Answer> => {
  const { text } = await receiveText(call)
  const tags = children(parseXml(text, 'Tagging'), 'TagSet')
    .flatMap((set) => children(set, 'Tag'))
    .map((tag): Tag => [requiredText(tag, 'Key'), requiredText(tag, 'Value')])
  return setTags(call, checkTags(tags), 200)
}

export const deleteObjectTagging = (call: Call): Answer => setTags(call, [], 204)

export const getObjectTagging = (call: Call): Answer => {
  const bucket = requireBucket(call.s3.store, call.bucket)
  const row = requireVersion(call.s3.store, bucket, call.key, call.query.get('versionId'))
  const tags = tagsOf(row).map(([key, value]) => element('Tag', element('Key', key), element('Value', value)))
  return {
    status: 200,
    headers: versionHeader(bucket, row),
    xml: document('Tagging', element('TagSet', tags)),
  }
}
