import type { Config } from '../config.ts'
import { historyDays } from '../features/as-of.ts'
import { deploymentOf, describeDeployment, isSameDeployment, readOwner } from '../owner.ts'
import { type Check, finding, ok, unknown, type Verdict } from './check.ts'
import { applyTerraform } from './fixes.ts'
import type { ReplicaBucket, ReplicaFacts, ReplicaTable } from './ports.ts'

export type ReplicaDeps = { facts: ReplicaFacts; config: Config; stage: string }

const byTerraform = (stage: string, what: string): string => `${applyTerraform(stage)} (${what})`

const bucketJudges: [
  id: string,
  title: string,
  judge: (bucket: ReplicaBucket, config: Config, stage: string) => Verdict,
][] = [
  [
    'bucket-retention',
    'objects of the bucket can be retained',
    ({ objectRetention }, { retention }, stage) => {
      if (objectRetention) return ok(`enabled; lifeboat.yml asks for ${retention.days} days, ${retention.mode}`)
      const fix = `object retention can only be enabled where a bucket is made (older buckets: in the console): ${byTerraform(stage, 'a new bucket')}, or retention.days: 0`
      return retention.days === 0
        ? ok('disabled, as retention.days 0 wants')
        : finding('disabled: nothing can be sealed', fix)
    },
  ],
  [
    'bucket-public',
    'public access is prevented',
    ({ publicAccessPrevention }, { replica }) =>
      publicAccessPrevention
        ? ok('enforced')
        : finding('not enforced', `gcloud storage buckets update gs://${replica.bucket} --public-access-prevention`),
  ],
  [
    'bucket-uniform',
    'access is by IAM alone',
    ({ uniformAccess }, { replica }) =>
      uniformAccess
        ? ok('uniform')
        : finding(
            'object ACLs count as well',
            `gcloud storage buckets update gs://${replica.bucket} --uniform-bucket-level-access`,
          ),
  ],
  [
    'bucket-versioning',
    'what is deleted can be brought back',
    ({ versioning, softDeleteSeconds }, { replica }) => {
      const days = Math.floor(softDeleteSeconds / 86_400)
      if (versioning && softDeleteSeconds > 0) return ok(`versioning, and soft delete for ${days} days`)
      const missing = [...(versioning ? [] : ['versioning']), ...(softDeleteSeconds > 0 ? [] : ['soft delete'])]
      const flags = [
        ...(versioning ? [] : ['--versioning']),
        ...(softDeleteSeconds > 0 ? [] : ['--soft-delete-duration=7d']),
      ]
      return finding(
        `no ${missing.join(' and no ')}`,
        `gcloud storage buckets update gs://${replica.bucket} ${flags.join(' ')}`,
      )
    },
  ],
]

const bucketChecks = ({ facts, config, stage }: ReplicaDeps): Check[] =>
  bucketJudges.map(([id, title, judge]) => ({
    id,
    side: 'replica',
    subject: config.replica.bucket,
    title,
    run: async () => {
      const bucket = await facts.bucket()
      return bucket
        ? judge(bucket, config, stage)
        : finding('there is no such bucket', byTerraform(stage, 'it makes the bucket'))
    },
  }))

const ownerCheck = ({ facts, config, stage }: ReplicaDeps): Check => ({
  id: 'owner',
  side: 'replica',
  subject: `gs://${config.replica.bucket}/${config.replica.prefix}`,
  title: 'the replica belongs to this deployment',
  run: async () => {
    const owner = await readOwner(facts.store)
    if (!owner) return ok('to nobody yet: the first function that writes becomes its owner')
    if (isSameDeployment(owner, deploymentOf(config, stage))) return ok(`since ${owner.claimedAt}`)
    return finding(
      `it belongs to ${describeDeployment(owner)} since ${owner.claimedAt}`,
      'another bucket, replica.prefix or --stage; or hand it over: docs/runbook.md, "The owner record"',
    )
  },
})

type Rule = ReplicaTable['families'][string]
const ruleText = (rule: Rule | undefined): string => {
  if (rule === undefined || rule === 'none') return 'no rule'
  if ('versions' in rule) return `${rule.versions} versions`
  return 'seconds' in rule ? `age ${rule.seconds} s` : rule.other
}

/** What docs/format.md 14.1 says of each family. */
const wanted: Record<
  'rows' | 'history',
  Record<string, { holds: (rule: Rule) => boolean; text: string; policy: string }>
> = {
  rows: {
    d: {
      holds: (rule) => rule !== 'none' && 'versions' in rule && rule.versions === 1,
      text: 'one version',
      policy: 'maxversions=1',
    },
    // An age would remove tombstones and versions, and a late change would bring deleted rows back.
    m: {
      holds: (rule) => rule === 'none' || ('versions' in rule && rule.versions >= 1),
      text: 'versions and no age',
      policy: 'maxversions=1',
    },
  },
  history: {
    h: {
      holds: (rule) => rule === 'none' || ('seconds' in rule && rule.seconds >= historyDays * 86_400),
      text: `an age of at least ${historyDays} days`,
      policy: `maxage=${historyDays}d`,
    },
  },
}

const tableVerdict = (
  kind: 'rows' | 'history',
  table: string,
  { families }: ReplicaTable,
  { instance, stage }: { instance: string; stage: string },
): Verdict => {
  const cbt = `cbt -instance ${instance}`
  const wrong = Object.entries(wanted[kind]).flatMap(([family, { holds, text, policy }]) => {
    const rule = families[family]
    const set = `${cbt} setgcpolicy ${table} ${family} ${policy}`
    if (rule === undefined)
      return [{ text: `no family ${family}`, fix: `${cbt} createfamily ${table} ${family}; ${set}` }]
    return holds(rule) ? [] : [{ text: `family ${family} has ${ruleText(rule)}, not ${text}`, fix: set }]
  })
  if (wrong.length === 0)
    return ok(
      Object.entries(families)
        .map(([name, rule]) => `${name}: ${ruleText(rule)}`)
        .join(', '),
    )
  const detail = wrong.map(({ text }) => text).join('; ')
  const fixes = wrong.map(({ fix }) => fix).join('; ')
  return finding(detail, `${byTerraform(stage, 'families and rules')}; or ${fixes}`)
}

const rowChecks = ({ facts, config, stage }: ReplicaDeps): Check[] => {
  const { bigtableInstance: instance, appProfile } = config.replica
  if (config.tables.length === 0 || instance === undefined) return []
  const tables = config.tables.flatMap(({ name, target = name }) => [
    { table: target, kind: 'rows' as const },
    { table: `${target}-history`, kind: 'history' as const },
  ])
  const profile = appProfile ?? 'default'
  return [
    ...tables.map(({ table, kind }): Check => ({
      id: 'bigtable-table',
      side: 'replica',
      subject: table,
      title: 'the table has its families and rules',
      run: async () => {
        const found = await facts.table(table)
        return found
          ? tableVerdict(kind, table, found, { instance, stage })
          : finding('there is no such table', byTerraform(stage, 'tables'))
      },
    })),
    {
      id: 'app-profile',
      side: 'replica',
      subject: profile,
      title: 'the app profile allows a check and mutation',
      run: async () => {
        const found = await facts.appProfile(profile)
        if (!found) return finding('there is no such app profile', byTerraform(stage, 'app profile'))
        if (found.cluster !== undefined && found.hasTransactions)
          return ok(`all to ${found.cluster}, with single-row transactions`)
        return finding(
          found.cluster === undefined ? 'it routes to any cluster' : 'single-row transactions are off',
          `gcloud bigtable app-profiles update ${profile} --instance=${instance} --route-to=CLUSTER --transactional-writes, or ${byTerraform(stage, 'replica.appProfile')}`,
        )
      },
    },
  ]
}

/** What a restore needs that nobody thinks of until then. */
const chainChecks = ({ facts, config }: ReplicaDeps): Check[] => [
  {
    id: 'restore-credentials',
    side: 'replica',
    subject: '',
    title: 'these Google credentials do not come from AWS',
    run: async () => {
      const { kind, isFromAws } = await facts.credentials()
      if (!isFromAws) return ok(`${kind}; who else can restore, with what, is for you to know`)
      return finding(
        `${kind}: they end with AWS`,
        'gcloud auth application-default login as somebody of the Google side, whose password and second factor are not kept in AWS',
      )
    },
  },
  {
    id: 'restore-config',
    side: 'replica',
    subject: '',
    title: 'the configuration is in the replica',
    run: async () => {
      for await (const { name } of facts.store.list('config/')) return ok(name)
      return finding('it is not: nothing was planned yet', 'publish an object; plan-object writes it')
    },
  },
  {
    id: 'restore-keys',
    side: 'replica',
    subject: '',
    title: 'the keys that encrypt the replica are in Google and enabled',
    run: async () => {
      const bucket = await facts.bucket()
      const clusters = config.tables.length === 0 ? [] : await facts.clusterKeys()
      const names = [...new Set([bucket?.kmsKey, ...clusters.map(({ kmsKey }) => kmsKey)])].filter(
        (name) => name !== undefined,
      )
      for (const name of names) {
        const { state, protection } = await facts.key(name)
        if (state !== 'ENABLED')
          return finding(
            `${name} is ${state}`,
            `gcloud kms keys versions enable (of the primary version of ${name}); never destroy one`,
          )
        if (protection.startsWith('EXTERNAL'))
          return finding(
            `${name} is held outside of Google (${protection})`,
            'make sure that its key manager does not run in AWS, or use a key of Cloud KMS',
          )
      }
      if (!bucket) return unknown('there is no such bucket')
      if (config.tables.length > 0 && clusters.length === 0) return unknown('the instance for rows has no cluster')
      return ok(names.length === 0 ? "Google's own keys" : `${names.length} of Cloud KMS, enabled`)
    },
  },
]

/** What can be seen with Google credentials alone. */
export const replicaChecks = (deps: ReplicaDeps): Check[] => {
  const { bigtableInstance } = deps.config.replica
  const instance: Check = {
    id: 'bigtable-instance',
    side: 'replica',
    subject: '',
    title: 'an instance for rows is configured',
    run: async () => finding('tables are configured and no instance', 'set replica.bigtableInstance'),
  }
  return [
    ...bucketChecks(deps),
    ownerCheck(deps),
    ...(deps.config.tables.length > 0 && bigtableInstance === undefined ? [instance] : rowChecks(deps)),
    ...chainChecks(deps),
  ]
}
