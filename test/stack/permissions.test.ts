import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { readSources } from '../../tools/permissions.ts'
import { permissionsDocument, type Sources } from '../../tools/permissions-document.ts'

/** docs/permissions.md is what the template and infra/gcp say, with a reason for each line. */

let sources: Sources
beforeAll(async () => {
  sources = await readSources()
}, 180_000)

type Statement = { Sid: string; Action: string[]; Resource: unknown }
const statement = ({ template }: Sources, role: string, sid: string): Statement => {
  const [policy] = template.Resources[role]!.Properties['Policies'] as { PolicyDocument: { Statement: Statement[] } }[]
  return policy!.PolicyDocument.Statement.find(({ Sid }) => Sid === sid)!
}
const changed = (change: (copy: Sources) => void): ReturnType<typeof permissionsDocument> => {
  const copy = structuredClone(sources)
  change(copy)
  return permissionsDocument(copy)
}

test('the document is what is generated: `npm run permissions` writes it', () => {
  const { text } = permissionsDocument(sources)
  expect(readFileSync(join(import.meta.dirname, '../../docs/permissions.md'), 'utf8')).toBe(text)
})

test('every action has a reason, and no reason is left over', () => {
  const { text, unexplained, unused } = permissionsDocument(sources)
  expect({ unexplained, unused }).toEqual({ unexplained: [], unused: [] })
  expect(text).not.toMatch(/\| \? \||undefined|\[object/)
})

test('every function, identity and condition is in it', () => {
  const { text } = permissionsDocument(sources)
  const functions = Object.values(sources.identities).flatMap(({ functions: names = [] }) => names)
  for (const name of functions) expect(text).toContain(`\n### ${name}\n`)
  for (const name of Object.keys(sources.identities)) expect(text).toContain(`\n### ${name}\n`)
  for (const condition of [
    'with kmsKeyArn',
    'with sourceKmsKeyArns',
    'with canaries',
    'with canaries, sourceKmsKeyArns',
  ])
    expect(text).toContain(`| ${condition} |`)
})

const count = (type: string): number =>
  Object.values(sources.template.Resources).filter(({ Type }) => Type === type).length

test('docs/deploy.md counts the alarms that there are', () => {
  const text = readFileSync(join(import.meta.dirname, '../../docs/deploy.md'), 'utf8')
  expect(text).toContain(`| CloudWatch, alarms | ${count('AWS::CloudWatch::Alarm')} alarms |`)
  expect(text).toContain(`| CloudWatch, composite alarms | ${count('AWS::CloudWatch::CompositeAlarm')} alarms |`)
})

describe('a change shows', () => {
  test.for([
    [
      'an action',
      'planObject Ledger dynamodb:DeleteTable',
      (copy: Sources) => statement(copy, 'PlanObjectRole', 'Ledger').Action.push('dynamodb:DeleteTable'),
    ],
    [
      'a permission',
      'lifeboat-writer storage.buckets.get',
      (copy: Sources) => copy.identities['lifeboat-writer']!.permissions.push('storage.buckets.get'),
    ],
    [
      'a grant',
      'google_storage_bucket_iam_member.more',
      (copy: Sources) =>
        (copy.terraform['google_storage_bucket_iam_member']!['more'] = [{ role: 'roles/storage.admin' }]),
    ],
    [
      'a type of Terraform',
      'google_container_cluster',
      (copy: Sources) => (copy.terraform['google_container_cluster'] = {}),
    ],
    [
      'a type of the template',
      'AWS::EC2::VPC',
      (copy: Sources) => (copy.template.Resources['Net'] = { Type: 'AWS::EC2::VPC', Properties: {} }),
    ],
  ] as [string, string, (copy: Sources) => unknown][])('%s without a reason', ([, missing, change]) => {
    expect(changed(change).unexplained).toEqual([missing])
  })

  test('a reason that nothing needs', () => {
    const { unused } = changed((copy) => {
      statement(copy, 'MeasureLagRole', 'CountMessages').Action = []
    })
    expect(unused).toEqual(['CountMessages sqs:GetQueueAttributes'])
  })

  test('another resource', () => {
    const before = permissionsDocument(sources).text
    const { text } = changed((copy) => (statement(copy, 'PlanObjectRole', 'Ledger').Resource = '*'))
    expect(text).not.toBe(before)
    expect(text).toContain('| `dynamodb:PutItem` | `*` |')
  })

  test('what the doctor may do is listed where its policy is there', () => {
    const { text, unexplained } = changed((copy) => {
      copy.doctor = {
        aws: { Statement: [{ Action: ['s3:GetBucketVersioning', 's3:PutObject'], Resource: 'arn:aws:s3:::*' }] },
        google: ['storage.buckets.get'],
      }
    })
    expect(text).toContain('\n## lifeboat doctor\n')
    expect(text).toContain('| `s3:GetBucketVersioning` | `arn:aws:s3:::*` | whether it has versions |')
    expect(unexplained).toEqual(['s3:PutObject'])
  })
})
