import { type Answer, type Call, header } from './call.ts'
import { invalidArgument, invalidRequest } from './errors.ts'
import { checksumElement, checksumElements, readCount } from './render.ts'
import { aboutOf, partsOf, requireBucket, requireVersion, versionHeader, type VersionRow } from './versions.ts'
import { document, element, type Xml } from './xml.ts'

const known = ['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize']

const readWanted = (call: Call): string[] => {
  const wanted = (header(call, 'x-amz-object-attributes') ?? '').split(',').map((name) => name.trim())
  if (wanted.length === 1 && wanted[0] === '')
    throw invalidRequest(
      'The x-amz-object-attributes header specifying the attributes to be retrieved is either missing or empty',
    )
  for (const name of wanted)
    if (!known.includes(name))
      throw invalidArgument('x-amz-object-attributes', name, 'Invalid attribute name specified.')
  return wanted
}

/** The composite checksum without the `-N` that HeadObject shows, as S3 answers here. */
const checksumOf = (row: VersionRow): Xml | undefined =>
  row.checksum === null
    ? undefined
    : element('Checksum', checksumElements({ ...row, checksum: row.checksum.replace(/-\d+$/, '') }))

/** Only a composite object has its parts listed; of other multipart objects S3 tells their number alone. */
const partsElement = (call: Call, row: VersionRow): Xml | undefined => {
  if (row.partsCount === null) return undefined
  if (row.checksumType !== 'COMPOSITE') return element('ObjectParts', element('PartsCount', row.partsCount))
  const max = readCount('x-amz-max-parts', header(call, 'x-amz-max-parts'))
  const marker = Number(header(call, 'x-amz-part-number-marker') ?? 0)
  const after = partsOf(call.s3.store, row.id).filter((part) => part.number > marker)
  const page = after.slice(0, max)
  return element(
    'ObjectParts',
    element('PartsCount', row.partsCount),
    element('PartNumberMarker', marker),
    element('NextPartNumberMarker', page.at(-1)?.number ?? marker),
    element('MaxParts', max),
    element('IsTruncated', after.length > page.length),
    page.map((part) =>
      element(
        'Part',
        element('PartNumber', part.number),
        element('Size', part.size),
        checksumElement(row.algorithm, part.checksum),
      ),
    ),
  )
}

export const getObjectAttributes = (call: Call): Answer => {
  const bucket = requireBucket(call.s3.store, call.bucket)
  const row = requireVersion(call.s3.store, bucket, call.key, call.query.get('versionId'))
  const wanted = readWanted(call)
  const when = (name: string, xml: Xml | undefined): Xml | undefined => (wanted.includes(name) ? xml : undefined)
  return {
    status: 200,
    headers: { 'last-modified': new Date(row.modified).toUTCString(), ...versionHeader(bucket, row) },
    xml: document(
      'GetObjectAttributesResponse',
      when('ETag', element('ETag', row.etag)),
      when('Checksum', checksumOf(row)),
      when('ObjectParts', partsElement(call, row)),
      when('StorageClass', element('StorageClass', aboutOf(row).storageClass)),
      when('ObjectSize', element('ObjectSize', row.size)),
    ),
  }
}
