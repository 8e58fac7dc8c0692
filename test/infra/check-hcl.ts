import type { Block, GoogleSchema } from './google-schema.ts'
import type { Blocks, Body, Hcl } from './hcl.ts'

/** What is wrong with the files of infra/gcp, as far as it shows without evaluating them; nothing where all is right. */

const meta = new Set(['count', 'for_each', 'depends_on', 'lifecycle', 'provider', 'dynamic'])

const asBodies = (value: unknown): Body[] => (Array.isArray(value) ? (value as Body[]) : [])

/** A dynamic block stands for any number of the block. */
const dynamicOf = (body: Body, name: string): Body[] =>
  asBodies((body['dynamic'] as Record<string, unknown> | undefined)?.[name]).flatMap(({ content }) => asBodies(content))

const bodyProblems = (at: string, body: Body, schema: Block): string[] => {
  const names = Object.keys(body).filter((name) => !meta.has(name))
  const dynamic = Object.keys((body['dynamic'] as object | undefined) ?? {})
  const unknown = [...names, ...dynamic].filter((name) => !(name in schema.attributes || name in schema.blocks))
  const computed = names.filter((name) => schema.attributes[name]?.startsWith('computed '))
  const missing = Object.entries(schema.attributes).filter(
    ([name, text]) => text.startsWith('required ') && body[name] === undefined,
  )
  const inner = Object.entries(schema.blocks).flatMap(([name, { least, most, block }]) => {
    const found = [...asBodies(body[name]), ...dynamicOf(body, name)]
    return [
      ...(found.length < least ? [`${at}: needs a block ${name}`] : []),
      ...(most > 0 && found.length > most ? [`${at}: at most ${most} of block ${name}`] : []),
      ...(body[name] !== undefined && !Array.isArray(body[name]) ? [`${at}: ${name} is a block`] : []),
      ...found.flatMap((each) => bodyProblems(`${at}.${name}`, each, block)),
    ]
  })
  return [
    ...unknown.map((name) => `${at}: unknown ${name}`),
    ...computed.map((name) => `${at}: ${name} is not given but computed`),
    ...missing.map(([name]) => `${at}: needs ${name}`),
    ...inner,
  ]
}

const typeProblems = (blocks: Blocks, known: GoogleSchema['resources']): string[] =>
  Object.entries(blocks).flatMap(([type, named]) =>
    Object.entries(named).flatMap(([name, bodies]) => {
      const block = known[type]
      if (!block) return [`${type}: not in the schema: run tools/provider-schema.ts`]
      return bodies.flatMap((body) => bodyProblems(`${type}.${name}`, body, block))
    }),
  )

/** Every type, argument and block against the provider's schema. */
export const schemaProblems = (hcl: Pick<Hcl, 'resource' | 'data'>, schema: GoogleSchema): string[] => [
  ...typeProblems(hcl.resource, schema.resources),
  ...typeProblems(hcl.data, schema.data),
]

const only = ({ resource }: Pick<Hcl, 'resource'>, type: string, name: string): Body =>
  resource[type]?.[name]?.[0] ?? {}

/** The arguments that must be as they are: type, name, path, value. */
const settled: [string, string, string, unknown][] = [
  ['google_storage_bucket', 'replica', 'public_access_prevention', 'enforced'],
  ['google_storage_bucket', 'replica', 'uniform_bucket_level_access', true],
  ['google_storage_bucket', 'replica', 'enable_object_retention', true],
  ['google_storage_bucket', 'replica', 'force_destroy', false],
  ['google_storage_bucket', 'replica', 'versioning.0.enabled', true],
  ['google_storage_bucket', 'replica', 'lifecycle.0.prevent_destroy', true],
  // It would hold what is pending.
  ['google_storage_bucket', 'replica', 'retention_policy', undefined],
  ['google_bigtable_instance', 'replica', 'deletion_protection', '${var.deletion_protection}'],
  ['google_bigtable_instance', 'replica', 'cluster.length', 1],
  ['google_bigtable_table', 'rows', 'deletion_protection', '${var.deletion_protection ? "PROTECTED" : "UNPROTECTED"}'],
  [
    'google_bigtable_table',
    'history',
    'deletion_protection',
    '${var.deletion_protection ? "PROTECTED" : "UNPROTECTED"}',
  ],
  ['google_bigtable_table', 'history', 'name', '${each.key}-history'],
  ['google_bigtable_app_profile', 'replica', 'single_cluster_routing.0.allow_transactional_writes', true],
  ['google_bigtable_app_profile', 'replica', 'multi_cluster_routing_use_any', undefined],
  ['google_project_iam_custom_role', 'this', 'permissions', '${each.value.permissions}'],
  ['google_project_iam_custom_role', 'this', 'for_each', '${module.config.custom_roles}'],
  ['google_iam_workload_identity_pool_provider', 'aws', 'aws.0.account_id', '${module.config.source.account}'],
  [
    'google_iam_workload_identity_pool_provider',
    'aws',
    'attribute_condition',
    "assertion.account == '${module.config.source.account}' && attribute.aws_role in ${jsonencode(sort(keys(module.config.aws_roles)))}",
  ],
  ['google_service_account_iam_member', 'aws', 'for_each', '${module.config.aws_roles}'],
]

const at = (body: Body, path: string): unknown =>
  path.split('.').reduce<unknown>((value, part) => (value as Record<string, unknown> | undefined)?.[part], body)

/** The roles of Google's own that somebody is given, each for one reason. */
const allowedRoles: Record<string, string[]> = {
  google_service_account_iam_member: ['roles/iam.workloadIdentityUser', 'roles/iam.serviceAccountTokenCreator'],
  google_pubsub_topic_iam_member: ['roles/pubsub.publisher'],
  google_cloud_run_v2_job_iam_member: ['roles/run.invoker'],
  google_kms_crypto_key_iam_member: ['roles/cloudkms.cryptoKeyEncrypterDecrypter'],
  google_storage_bucket_iam_member: ['${google_project_iam_custom_role.this[each.value].name}'],
  google_bigtable_instance_iam_member: ['${google_project_iam_custom_role.this[each.value].name}'],
}

/** A binding or policy takes away what others granted; a grant on the project reaches beyond the replica; a key can be stolen. */
const forbidden = /_iam_(binding|policy)$|^google_(project|folder|organization)_iam_member$|_key$|^google_storage_hmac/

export const policyProblems = (hcl: Pick<Hcl, 'resource'>): string[] => {
  const wrong = settled.flatMap(([type, name, path, expected]) => {
    const found = at(only(hcl, type, name), path)
    return found === expected ? [] : [`${type}.${name}.${path}: found ${JSON.stringify(found)}`]
  })
  const types = Object.keys(hcl.resource)
  const grants = types
    .filter((type) => type.includes('_iam_member'))
    .flatMap((type) =>
      Object.entries(hcl.resource[type] ?? {}).flatMap(([name, bodies]) =>
        bodies
          .filter(({ role }) => !allowedRoles[type]?.includes(String(role)))
          .map(({ role }) => `${type}.${name}: grants ${String(role)}`),
      ),
    )
  return [...wrong, ...grants, ...types.filter((type) => forbidden.test(type)).map((type) => `${type}: not allowed`)]
}
