import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { projectRoles } from '../../local/gcs/principals.ts'
import { parseConfig } from '../../shared/config.ts'
import { historyDays } from '../../shared/features/as-of.ts'
import { identities } from '../../tools/stack-settings.ts'
import { policyProblems, schemaProblems } from './check-hcl.ts'
import { readGoogleSchema } from './google-schema.ts'
import { type Body, type Hcl, parseFile, readHcl } from './hcl.ts'

const root = join(import.meta.dirname, '../..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')
const hcl = readHcl()
const schema = readGoogleSchema()

/** A copy in which `change` did something to the first body of that type and name. */
const changed = (type: string, name: string, change: (body: Body) => void): Hcl => {
  const copy = structuredClone(hcl)
  const body = copy.resource[type]?.[name]?.[0]
  if (!body) throw new Error(`no ${type}.${name}`)
  change(body)
  return copy
}

describe('against the schema of the provider', () => {
  test('every type, argument and block is known, and what is required is there', () => {
    expect(schemaProblems(hcl, schema)).toEqual([])
    expect(Object.keys(hcl.resource).length).toBeGreaterThan(20)
  })

  test('the schema is of the version that is pinned, and of nothing that is not used', () => {
    const [, pinned] = /version = "~> (\d+\.\d+)"/.exec(read('infra/gcp/versions.tf')) ?? []
    expect(schema.version.startsWith(`${pinned}.`)).toBe(true)
    expect(Object.keys(schema.resources)).toEqual(Object.keys(hcl.resource).toSorted())
    expect(Object.keys(schema.data)).toEqual(Object.keys(hcl.data).toSorted())
  })

  test.for([
    ['a misspelt argument', (body: Body) => (body['storage_clas'] = 'STANDARD'), 'unknown storage_clas'],
    ['an argument left out', (body: Body) => delete body['location'], 'needs location'],
    ['a computed one', (body: Body) => (body['self_link'] = 'x'), 'self_link is not given but computed'],
    ['a misspelt block', (body: Body) => (body['versionning'] = [{ enabled: true }]), 'unknown versionning'],
    ['a block twice', (body: Body) => (body['versioning'] = [{ enabled: true }, { enabled: true }]), 'at most 1'],
    ['a block as an argument', (body: Body) => (body['versioning'] = { enabled: true }), 'versioning is a block'],
    ['an argument in a block', (body: Body) => (body['versioning'] = [{ enable: true }]), 'versioning: needs enabled'],
    [
      'a misspelt argument of a dynamic block',
      (body: Body) => (body['dynamic'] = { encryption: [{ content: [{ kms_key_name: 'x' }] }] }),
      'encryption: unknown kms_key_name',
    ],
    [
      'a block without what it needs',
      (body: Body) => (body['lifecycle_rule'] = [{ action: [{ type: 'Delete' }] }]),
      'needs a block condition',
    ],
  ] as [string, (body: Body) => unknown, string][])('finds %s', ([, change, expected]) => {
    const problems = schemaProblems(changed('google_storage_bucket', 'replica', change), schema)
    expect(problems.join('\n')).toContain(expected)
  })
})

describe('policy', () => {
  test('nothing is looser than it was decided', () => {
    expect(policyProblems(hcl)).toEqual([])
  })

  test.for([
    ['google_storage_bucket', 'replica', 'public_access_prevention', 'inherited'],
    ['google_storage_bucket', 'replica', 'uniform_bucket_level_access', false],
    ['google_storage_bucket', 'replica', 'versioning', [{ enabled: false }]],
    ['google_storage_bucket', 'replica', 'lifecycle', []],
    ['google_storage_bucket', 'replica', 'retention_policy', [{ retention_period: 1 }]],
    ['google_storage_bucket', 'replica', 'force_destroy', true],
    ['google_bigtable_instance', 'replica', 'cluster', [{}, {}]],
    ['google_bigtable_instance', 'replica', 'deletion_protection', false],
    ['google_bigtable_table', 'history', 'name', '${each.key}_history'],
    ['google_bigtable_app_profile', 'replica', 'single_cluster_routing', [{ cluster_id: 'lifeboat-c1' }]],
    ['google_bigtable_app_profile', 'replica', 'multi_cluster_routing_use_any', true],
    ['google_storage_bucket_iam_member', 'this', 'role', 'roles/storage.admin'],
    ['google_bigtable_instance_iam_member', 'this', 'role', 'roles/bigtable.user'],
    ['google_service_account_iam_member', 'aws', 'role', 'roles/owner'],
    [
      'google_service_account_iam_member',
      'aws',
      'for_each',
      '${setproduct(keys(module.config.aws_roles), keys(module.config.identities))}',
    ],
    ['google_iam_workload_identity_pool_provider', 'aws', 'attribute_condition', undefined],
    ['google_iam_workload_identity_pool_provider', 'aws', 'aws', [{ account_id: '1' }]],
    ['google_project_iam_custom_role', 'this', 'permissions', ['storage.objects.delete']],
  ] as [string, string, string, unknown][])('%s.%s: another %s is found', ([type, name, field, value]) => {
    expect(policyProblems(changed(type, name, (body) => (body[field] = value)))).toEqual([
      expect.stringContaining(type),
    ])
  })

  test.for(['google_project_iam_member', 'google_storage_bucket_iam_binding', 'google_service_account_key'])(
    'a %s is not allowed',
    (type) => {
      const more = { ...hcl.resource, [type]: { more: [{ role: 'roles/editor' }] } }
      expect(policyProblems({ resource: more }).length).toBeGreaterThan(0)
    },
  )

  test('the roles are those that the embedded clouds enforce; the collector alone deletes', () => {
    expect(read('infra/gcp/config/main.tf')).toContain('jsondecode(file("${path.module}/../roles.json"))')
    const destroys =
      /delete|setIamPolicy|overrideUnlockedRetention|^(storage\.buckets|bigtable\.(instances|clusters))\./
    const able = Object.entries(projectRoles()).filter(([, { permissions }]) =>
      permissions.some((each) => destroys.test(each)),
    )
    expect(able.map(([name]) => name)).toEqual(['lifeboat-collector'])
  })

  test('the history is collected no sooner than it is read', () => {
    const [policy] = hcl.resource['google_bigtable_gc_policy']?.['history'] ?? []
    expect(policy?.['max_age']).toEqual([{ duration: `${historyDays * 24}h` }])
  })

  test('every variable says what it is, and refuses what is not', () => {
    const free = Object.entries(hcl.variable).filter(([, [body]]) => body?.['validation'] === undefined)
    expect(free.map(([name]) => name)).toEqual(['deletion_protection'])
    const undescribed = Object.entries(hcl.variable).filter(
      ([, [body]]) => !String(body?.['description']).endsWith('.'),
    )
    expect(undescribed).toEqual([])
  })
})

describe('the AWS side', () => {
  const config = parseConfig(read('lifeboat.yml'), { stage: 'prod', file: 'lifeboat.yml' })
  const files = readdirSync(join(root, 'infra/aws')).filter((file) => file.endsWith('.yml'))
  const texts = ['serverless.yml', ...files.map((file) => `infra/aws/${file}`)].map(read)
  const named = Object.entries(projectRoles() as Record<string, { functions?: string[] }>).flatMap(
    ([identity, { functions = [] }]) => functions.map((name): [string, string] => [name, identity]),
  )
  /** The functions whose `setting` is used in the files of infra/aws. */
  const used = (setting: string): string[] =>
    texts.flatMap((text) =>
      [...text.matchAll(new RegExp(`:identities\\.(\\w+)\\.${setting}\\}`, 'g'))].map(([, name]) => String(name)),
    )

  test('a function becomes the identity that roles.json says', () => {
    const accounts = Object.entries(identities(config, 'prod')).map(([name, { serviceAccount }]) => [
      name,
      serviceAccount,
    ])
    const expected = named.map(([name, identity]) => [name, `${identity}@example-project.iam.gserviceaccount.com`])
    expect(Object.fromEntries(accounts)).toEqual(Object.fromEntries(expected))
  })

  test('every role of the template bears the name that the pool is bound to', () => {
    const functions = named.map(([name]) => name).toSorted()
    expect(used('roleName').toSorted()).toEqual(functions)
    expect(used('serviceAccount').toSorted()).toEqual(functions)
    expect(texts.join('\n').match(/RoleName: (?!\$\{file\(infra\/aws\/settings\.cjs\):identities\.)/g)).toBeNull()
  })

  /** Names of roles as config/main.tf makes them, in the order of roles.json. */
  const namedByTerraform = (expression: string, stage: string, region: string): [string, string][] => {
    const [, template = ''] = /: "([^"]+)" => identity/.exec(expression) ?? []
    const values = { 'var.stage': stage, 'local.source.region': region }
    return named.map(([name, identity]) => {
      const all: Record<string, string> = { ...values, function: name }
      return [template.replaceAll(/\$\{([\w.]+)\}/g, (_, variable: string) => all[variable] ?? '?'), identity]
    })
  }
  const [locals] = parseFile('config/main.tf')['locals'] as Body[]
  const places = [
    ['dev', 'us-east-1'],
    ['prod', 'eu-west-1'],
    ['a-stage-with-dashes', 'ap-southeast-1'],
    ['s'.repeat(20), 'us-west-2'],
  ] as const
  const namedByFunctions = (stage: string, region: string): [string, string][] => {
    const there = { ...config, source: { ...config.source, region } }
    return Object.values(identities(there, stage)).map(({ roleName, serviceAccount }) => [
      roleName,
      serviceAccount.replace(/@.*/, ''),
    ])
  }

  // test/infra/config.test.ts has Terraform itself evaluate the same.
  test.for(places)('stage %s in %s: the pool is bound to the very names of the roles', ([stage, region]) => {
    const terraform = namedByTerraform(String(locals?.['aws_roles']), stage, region)
    expect(terraform).toHaveLength(named.length)
    expect(Object.fromEntries(terraform)).toEqual(Object.fromEntries(namedByFunctions(stage, region)))
  })

  test('another order of its parts would be seen', () => {
    const swapped = String(locals?.['aws_roles']).replace(
      '${var.stage}-${local.source.region}',
      '${local.source.region}-${var.stage}',
    )
    expect(swapped).not.toBe(locals?.['aws_roles'])
    expect(namedByTerraform(swapped, 'prod', 'eu-west-1')[0]?.[0]).toMatch(/^lifeboat-eu-west-1-prod-/)
  })

  // https://cloud.google.com/iam/docs/workload-identity-federation says 127 bytes of google.subject.
  test('a role makes a subject that is short enough, in the longest stage and region', () => {
    const longest = { ...config, source: { ...config.source, region: 'ap-southeast-1' } }
    for (const { roleName } of Object.values(identities(longest, 's'.repeat(20))))
      expect(roleName.length).toBeLessThanOrEqual(64)
    const [provider] = hcl.resource['google_iam_workload_identity_pool_provider']?.['aws'] ?? []
    const role = "assertion.arn.extract('assumed-role/{role}/')"
    expect(provider?.['attribute_mapping']).toEqual({ 'google.subject': role, 'attribute.aws_role': role })
  })
})
