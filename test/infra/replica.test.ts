import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { projectRoles } from '../../local/gcs/principals.ts'
import { parseConfig } from '../../shared/config.ts'
import { historyDays } from '../../shared/features/as-of.ts'
import { identities } from '../../tools/stack-settings.ts'
import { base, config } from './example.ts'
import { type Evaluated, openTerraform, type Resource } from './terraform.ts'

const terraform = await openTerraform()
afterAll(() => terraform?.close())

const image = `europe-west1-docker.pkg.dev/prod-project/lifeboat/command@sha256:${'0'.repeat(64)}`
const kms = 'projects/prod-project/locations/europe-west1/keyRings/r/cryptoKeys/k'
const channels = ['projects/prod-project/notificationChannels/1']

const cases = {
  whole: {
    config,
    variables: {
      ...base,
      image,
      kms_key_name: kms,
      restorer_members: ['group:a@example.com'],
      collector_members: ['user:b@example.com'],
      notification_channels: channels,
    },
  },
  objects: { config, variables: { stage: 'dev', region: 'europe-west1' } },
  bare: { config, variables: { ...base, stage: 'bare' } },
}

const table = (name: string, families: string[]) => ({ name, protection: 'PROTECTED', families })

describe.skipIf(!terraform)('evaluated by Terraform', async () => {
  const nothing: Evaluated = { resources: [], outputs: {}, refusals: [] }
  const { whole = nothing, objects = nothing, bare = nothing } = (await terraform?.evaluate(cases)) ?? {}
  const of = (type: string, { resources }: Evaluated = whole): Resource[] =>
    resources.filter((resource) => resource.type === type)
  const only = (type: string, at?: Evaluated): Record<string, unknown> => {
    const found = of(type, at)
    expect(found.map(({ address }) => address)).toHaveLength(1)
    return found[0]!.values
  }
  const accounts = of('google_service_account').filter(({ name }) => name === 'this')
  const roles = projectRoles()
  const identity = (email: unknown) => accounts.find(({ values }) => values['email'] === email)?.index

  test('the format is the one of terraform fmt, and the configuration fits the schema of the provider', async () => {
    const formatted = await terraform?.run([
      'fmt',
      '-check',
      '-recursive',
      '-diff',
      join(import.meta.dirname, '../../infra/gcp'),
    ])
    expect(formatted).toMatchObject({ code: 0, stdout: '' })
    const validated = await terraform?.run(['validate', '-json'])
    expect(JSON.parse(validated?.stdout ?? '')).toMatchObject({ valid: true, diagnostics: [] })
  })

  test('the schema is what Terraform checks with: a misspelt argument and a wrong type are refused', async () => {
    const plant = join(terraform!.dir, 'infra/gcp/plant.tf')
    await writeFile(plant, 'resource "google_pubsub_topic" "plant" {\n  nam = "x"\n  labels = "y"\n}\n')
    const validated = await terraform!.run(['validate', '-json'])
    await rm(plant)
    const { diagnostics } = JSON.parse(validated.stdout) as { diagnostics: { summary: string; detail: string }[] }
    expect(diagnostics.map(({ detail }) => detail).join('\n')).toMatch(/"name" is required[^]*"nam" is not expected/)
    expect(diagnostics.map(({ detail }) => detail).join('\n')).toContain('map of string required')
  })

  test('the bucket is closed, versioned, takes retention and is never destroyed', () => {
    const bucket = only('google_storage_bucket')
    expect(bucket).toMatchObject({
      name: 'replica-bucket',
      location: 'europe-west1',
      public_access_prevention: 'enforced',
      uniform_bucket_level_access: true,
      enable_object_retention: true,
      force_destroy: false,
      versioning: [{ enabled: true }],
      retention_policy: [],
      encryption: [{ default_kms_key_name: kms }],
    })
    expect(bucket['soft_delete_policy']).toMatchObject([{ retention_duration_seconds: 604_800 }])
    // What Terraform says when it takes down what the evaluation made.
    expect(whole.refusals).toEqual([
      expect.stringMatching(/^Instance cannot be destroyed: .*google_storage_bucket\.replica/),
    ])
  })

  test('of what is current, heartbeats alone age', () => {
    type Rule = {
      action: { type: string }[]
      condition: { with_state: string; matches_prefix: string[]; age: number }[]
    }
    const rules = only('google_storage_bucket')['lifecycle_rule'] as Rule[]
    const live = rules.filter(({ condition }) => condition[0]?.with_state !== 'ARCHIVED')
    expect(live).toMatchObject([
      {
        action: [{ type: 'Delete' }],
        condition: [{ age: 8, matches_prefix: ['team/heartbeats/'], with_state: 'LIVE' }],
      },
    ])
  })

  test('every identity has what roles.json says, on the bucket and the instance, and no other role', () => {
    expect(accounts.map(({ values }) => String(values['account_id'])).toSorted()).toEqual(Object.keys(roles).toSorted())
    const customs = of('google_project_iam_custom_role')
    const permissionsOf = (role: unknown): string[] =>
      customs.find(({ values }) => values['name'] === role)!.values['permissions'] as string[]
    for (const account of accounts) {
      const { account_id, member } = account.values
      const bound = [...of('google_storage_bucket_iam_member'), ...of('google_bigtable_instance_iam_member')].filter(
        ({ values }) => values['member'] === member,
      )
      const allowed = bound.flatMap(({ values }) => permissionsOf(values['role']))
      expect({ account_id, allowed: allowed.toSorted() }).toEqual({
        account_id,
        allowed: roles[String(account_id)]?.permissions.toSorted(),
      })
    }
    const deleters = customs.filter(({ values }) =>
      (values['permissions'] as string[]).some((each) => /delete|setIam/i.test(each)),
    )
    expect(deleters.map(({ index }) => index)).toEqual(['lifeboat-collector-storage'])
  })

  test('no role of Google is granted but those that are looked through here', () => {
    const granted = whole.resources
      .filter(({ type }) => type.includes('_iam_'))
      .flatMap(({ type, values }) => (typeof values['role'] === 'string' ? [`${type} ${values['role']}`] : []))
      .filter((each) => each.includes(' roles/'))
    expect([...new Set(granted)].sort()).toEqual([
      'google_cloud_run_v2_job_iam_member roles/run.invoker',
      'google_kms_crypto_key_iam_member roles/cloudkms.cryptoKeyEncrypterDecrypter',
      'google_pubsub_topic_iam_member roles/pubsub.publisher',
      'google_service_account_iam_member roles/iam.serviceAccountTokenCreator',
      'google_service_account_iam_member roles/iam.workloadIdentityUser',
    ])
    const types = whole.resources.map(({ type }) => type)
    expect(
      types.filter((type) => /_iam_(policy|binding)$|google_(project|organization|folder)_iam_member/.test(type)),
    ).toEqual([])
  })

  test('a role of AWS becomes the identity that serverless.yml gives its function, and no other role gets a token', () => {
    const expected = Object.values(identities(parseConfig(config, { stage: 'prod', file: 'lifeboat.yml' }), 'prod'))
    const bindings = of('google_service_account_iam_member').filter(({ name }) => name === 'aws')
    const pool =
      'principalSet://iam.googleapis.com/projects/111111111111/locations/global/workloadIdentityPools/lifeboat'
    const bound = bindings.map(({ values }) => {
      const account = accounts.find((each) => each.values['name'] === values['service_account_id'])
      return [values['member'], `${String(account?.values['account_id'])}@prod-project.iam.gserviceaccount.com`]
    })
    const wanted = expected.map(({ roleName, serviceAccount }) => [
      `${pool}/attribute.aws_role/${roleName}`,
      serviceAccount,
    ])
    expect(Object.fromEntries(bound)).toEqual(Object.fromEntries(wanted))
    const names = expected.map(({ roleName }) => `"${roleName}"`).toSorted()
    expect(only('google_iam_workload_identity_pool_provider')).toMatchObject({
      aws: [{ account_id: '123456789012' }],
      attribute_mapping: {
        'google.subject': "assertion.arn.extract('assumed-role/{role}/')",
        'attribute.aws_role': "assertion.arn.extract('assumed-role/{role}/')",
      },
      attribute_condition: `assertion.account == '123456789012' && attribute.aws_role in [${names.join(',')}]`,
    })
    expect(whole.outputs['wif_audience']).toBe(
      '//iam.googleapis.com/projects/111111111111/locations/global/workloadIdentityPools/lifeboat/providers/aws',
    )
    expect(whole.outputs['deploy_command']).toBe(
      `npx serverless deploy --stage prod --param="gcpWifAudience=${String(whole.outputs['wif_audience'])}"`,
    )
  })

  test('people act as the restorer and the collector alone', () => {
    const people = of('google_service_account_iam_member').filter(({ name }) => name !== 'aws')
    const who = people.map(({ values }) => [
      accounts.find((each) => each.values['name'] === values['service_account_id'])?.index,
      values['member'],
    ])
    expect(who).toEqual([
      ['lifeboat-collector', 'user:b@example.com'],
      ['lifeboat-restorer', 'group:a@example.com'],
    ])
  })

  test('rows: one cluster, protected tables with their history, kept as long as it is read', () => {
    expect(only('google_bigtable_instance')).toMatchObject({
      name: 'lifeboat',
      deletion_protection: true,
      cluster: [{ zone: 'europe-west1-b', kms_key_name: kms, autoscaling_config: [{ min_nodes: 1, max_nodes: 3 }] }],
    })
    const tables = of('google_bigtable_table').map(({ values }) => ({
      name: values['name'],
      protection: values['deletion_protection'],
      families: (values['column_family'] as { family: string }[]).map(({ family }) => family).sort(),
    }))
    expect(tables.sort((a, b) => String(a.name).localeCompare(String(b.name)))).toEqual([
      table('features', ['d', 'm']),
      table('features-history', ['h']),
      table('users', ['d', 'm']),
      table('users-history', ['h']),
    ])
    const rules = of('google_bigtable_gc_policy').map(({ values }) => [
      `${String(values['table'])}/${String(values['column_family'])}`,
      (values['max_version'] as { number: number }[])[0]?.number ??
        (values['max_age'] as { duration: string }[])[0]?.duration,
    ])
    const age = `${historyDays * 24}h`
    expect(Object.fromEntries(rules)).toEqual({
      'features/d': 1,
      'features/m': 1,
      'features-history/h': age,
      'users/d': 1,
      'users/m': 1,
      'users-history/h': age,
    })
    expect(only('google_bigtable_app_profile')).toMatchObject({
      app_profile_id: 'lifeboat',
      single_cluster_routing: [{ cluster_id: 'lifeboat-c1', allow_transactional_writes: true }],
      multi_cluster_routing_use_any: false,
    })
  })

  test('a release is announced, by the prefix under which releases are written', () => {
    expect(only('google_storage_notification')).toMatchObject({
      bucket: 'replica-bucket',
      event_types: ['OBJECT_FINALIZE'],
      object_name_prefix: 'team/releases/',
    })
  })

  test('the jobs run as identities that read, are started on time, and both alerts watch their runs', () => {
    type Template = { template: { service_account: string; containers: { image: string; args: string[] }[] }[] }
    const jobs = of('google_cloud_run_v2_job').map(({ index, values }) => {
      const [task] = (values['template'] as Template[])[0]!.template
      return [index, identity(task?.service_account), task?.containers[0]?.args.join(' '), task?.containers[0]?.image]
    })
    expect(jobs).toEqual([
      [
        'scrub',
        'lifeboat-scrubber',
        'validate --scrub --slice today --report --json --replica gs://replica-bucket/team/',
        image,
      ],
      ['watch', 'lifeboat-watcher', 'status --heartbeat --json --replica gs://replica-bucket/team/', image],
    ])
    const scheduler = of('google_service_account').find(({ name }) => name === 'scheduler')!.values
    for (const job of ['scrub', 'watch']) {
      const started = of('google_cloud_scheduler_job').find(({ index }) => index === job)!.values
      expect(started['http_target']).toMatchObject([
        {
          http_method: 'POST',
          uri: `https://run.googleapis.com/v2/projects/prod-project/locations/europe-west1/jobs/lifeboat-${job}:run`,
          oauth_token: [{ service_account_email: scheduler['email'] }],
        },
      ])
      const alert = (name: string) =>
        of('google_monitoring_alert_policy').find((each) => each.name === name && each.index === job)!.values
      type Conditions = Record<string, Record<string, unknown>[]>[]
      const [failed, ...others] = alert('failed')['conditions'] as Conditions
      expect(failed?.['condition_threshold']?.[0]).toMatchObject({ comparison: 'COMPARISON_GT', threshold_value: 0 })
      expect(failed?.['condition_threshold']?.[0]?.['filter']).toContain(`resource.labels.job_name = "lifeboat-${job}"`)
      expect(failed?.['condition_threshold']?.[0]?.['filter']).toContain('metric.labels.result = "failed"')
      const [silent, ...more] = alert('silent')['conditions'] as Conditions
      expect(silent?.['condition_prometheus_query_language']?.[0]?.['query']).toMatch(
        new RegExp(`job_name="lifeboat-${job}",result="succeeded"\\}\\[\\d+[mh]\\]\\)\\) or vector\\(0\\)\\) < 0\\.5$`),
      )
      expect([...others, ...more]).toEqual([])
      for (const name of ['failed', 'silent']) expect(alert(name)).toMatchObject({ notification_channels: channels })
    }
    const invokers = of('google_cloud_run_v2_job_iam_member').map(({ values }) => values['member'])
    expect(new Set(invokers)).toEqual(new Set([scheduler['member']]))
  })

  test('without tables, image and key there is nothing of Bigtable, no job and no key', () => {
    const types = new Set(objects.resources.map(({ type }) => type))
    expect([...types].filter((type) => /bigtable|run_v2|scheduler_job|alert|kms/.test(type))).toEqual([])
    expect(only('google_storage_bucket', objects)).toMatchObject({ encryption: [], name: 'replica-bucket' })
    expect(objects.outputs['bigtable_cluster'] ?? null).toBeNull()
    expect(objects.outputs['replica']).toBe('gs://replica-bucket/team/')
  })

  test('rows without a named app profile are warned of', () => {
    expect(bare.refusals).toContainEqual(
      expect.stringMatching(/^Check block assertion failed: replica\.appProfile is not set/),
    )
    expect(of('google_bigtable_app_profile', bare)).toEqual([])
  })
})
