import type { Config } from '../config.ts'
import { type Check, finding, ok, unknown, type Verdict } from './check.ts'
import { deployStage, repairTable } from './fixes.ts'
import { functionChecks, type SourceDeps } from './function-checks.ts'
import { currentStream, functionsOf, inStage, type Read } from './functions.ts'
import type { SourceFacts, SourceTable } from './ports.ts'

const accountCheck = ({ facts, config }: SourceDeps): Check => ({
  id: 'source-account',
  side: 'source',
  subject: config.source.account,
  title: 'AWS credentials are of the source account',
  run: async () => {
    const account = await facts.account()
    if (account === config.source.account) return ok('they are')
    return finding(
      `they are of account ${account}`,
      `use credentials of ${config.source.account}, or correct source.account`,
    )
  },
})

const versioning = (name: string, state: 'Enabled' | 'Suspended' | 'Off'): Verdict => {
  if (state === 'Enabled') return ok('enabled')
  const fix = `aws s3api put-bucket-versioning --bucket ${name} --versioning-configuration Status=Enabled`
  return finding(`${state.toLowerCase()}: a file that is replaced before it was read cannot be replicated`, fix)
}

const bucketChecks = ({ facts, config }: SourceDeps): Check[] =>
  [...new Set(config.buckets.map(({ name }) => name))].flatMap((name): Check[] => {
    const of = (
      id: string,
      title: string,
      judge: (bucket: NonNullable<Awaited<ReturnType<SourceFacts['bucket']>>>) => Verdict,
    ): Check => ({
      id,
      side: 'source',
      subject: name,
      title,
      run: async () => {
        const bucket = await facts.bucket(name)
        return bucket ? judge(bucket) : finding('there is no such bucket', 'correct buckets[].name, or create it')
      },
    })
    return [
      of('s3-region', 'the bucket is in the region of the source', ({ region }) =>
        region === config.source.region
          ? ok(region)
          : finding(
              `it is in ${region}, whose events never reach ${config.source.region}`,
              `deploy for ${region} with a configuration of its own: one deployment per source region`,
            ),
      ),
      of('s3-versioning', 'S3 versioning', ({ versioning: state }) => versioning(name, state)),
      of('s3-eventbridge', 'S3 sends its events to EventBridge', ({ eventBridge }) =>
        eventBridge
          ? ok('enabled')
          : finding(
              'disabled: new objects are found by the hourly listing alone',
              `aws s3api get-bucket-notification-configuration --bucket ${name} > n.json; add "EventBridgeConfiguration": {} to n.json; ` +
                `aws s3api put-bucket-notification-configuration --bucket ${name} --notification-configuration file://n.json`,
            ),
      ),
    ]
  })

const streamVerdict = (stage: string, name: string, { streamArn, viewType }: SourceTable): Verdict => {
  const enable = `aws dynamodb update-table --table-name ${name} --stream-specification StreamEnabled=true,StreamViewType=NEW_AND_OLD_IMAGES`
  if (streamArn === undefined) return finding('disabled', `${enable}; then list its ARN in tables[].streams`)
  if (viewType === 'NEW_AND_OLD_IMAGES') return ok(viewType)
  // While the stream is being disabled, DynamoDB refuses a change of the table (ResourceInUseException).
  const disable = `aws dynamodb update-table --table-name ${name} --stream-specification StreamEnabled=false; aws dynamodb wait table-exists --table-name ${name}`
  return finding(
    `it carries ${viewType}: what an item was before is lost`,
    `${disable}; ${enable}; list the new ARN with a higher epoch; ${repairTable(stage, name)}`,
  )
}

const epochVerdict = (stage: string, table: Config['tables'][number], { streamArn }: SourceTable): Verdict => {
  const { name, streams } = table
  if (streamArn === undefined) return unknown('the table has no stream')
  const highest = currentStream(table)
  if (highest.arn === streamArn) return ok(`epoch ${highest.epoch}`)
  const listed = streams.find(({ arn }) => arn === streamArn)
  const fix = `list ${streamArn} in tables[] ${name} with epoch ${highest.epoch + 1}, ${deployStage(stage)}, then ${repairTable(stage, name)}`
  return listed
    ? finding(`the table's stream has epoch ${listed.epoch}, and another one ${highest.epoch}: its changes lose`, fix)
    : finding(`the table's stream is not configured: its changes are not replicated`, fix)
}

const tableChecks = ({ facts, config, stage }: SourceDeps): Check[] =>
  config.tables.flatMap((table): Check[] => {
    const of = (id: string, title: string, judge: (found: SourceTable) => Verdict): Check => ({
      id,
      side: 'source',
      subject: table.name,
      title,
      run: async () => {
        const found = await facts.table(table.name)
        return found ? judge(found) : finding('there is no such table', 'correct tables[].name, or create it')
      },
    })
    return [
      of('stream', 'the stream carries both images', (found) => streamVerdict(stage, table.name, found)),
      of('stream-epoch', 'the current stream has the highest epoch', (found) => epochVerdict(stage, table, found)),
    ]
  })

/** `find` answers undefined where the bucket or table is not there, and no key where it is and KMS encrypts nothing. */
type KeyUse = {
  what: string
  find: (facts: SourceFacts) => Promise<{ id?: string } | undefined>
  reads: Read
}

const withId = (id: string | undefined): { id?: string } => (id === undefined ? {} : { id })

const keyUses = (config: Config): KeyUse[] => [
  ...[...new Set(config.buckets.map(({ name }) => name))].map((name): KeyUse => ({
    what: name,
    find: async (facts) => ((await facts.bucket(name)) ? withId(await facts.bucketKey(name)) : undefined),
    reads: 'objects',
  })),
  ...config.tables.map(({ name }): KeyUse => ({
    what: name,
    find: async (facts) => {
      const table = await facts.table(name)
      return table && withId(table.kmsKey)
    },
    reads: 'items',
  })),
]

/**
 * What grants every key in use: the parameter replaces the list that the stack has, so one alone would take the grant of the
 * others.
 */
const grantFix = async ({ facts, config, stage }: SourceDeps): Promise<string> => {
  const uses = keyUses(config)
  const keys = await Promise.allSettled(
    uses.map(async ({ find }) => {
      const id = (await find(facts))?.id
      return id === undefined ? undefined : facts.key(id)
    }),
  )
  const arns = keys.flatMap((one) =>
    one.status === 'fulfilled' && one.value && !one.value.isManaged ? one.value.arn : [],
  )
  const unseen = uses.flatMap(({ what }, at) => (keys[at]?.status === 'rejected' ? what : []))
  const more = [...unseen.map((what) => `the key of ${what}, which could not be looked at`), 'whatever else it has now']
  return `${deployStage(stage)} --param="sourceKmsKeyArns=${[...new Set(arns)].join(',')}" (it replaces the list: add ${more.join(', ')})`
}

const keyVerdict = async (deps: SourceDeps, { find, reads }: KeyUse): Promise<Verdict> => {
  const { facts, config, stage } = deps
  const found = await find(facts)
  if (!found) return unknown('it is not there')
  if (found.id === undefined) return ok('none of KMS')
  const key = await facts.key(found.id)
  if (key.state !== 'Enabled')
    return finding(
      `${key.arn} is ${key.state}`,
      `aws kms enable-key --key-id ${key.arn} (or cancel-key-deletion first)`,
    )
  if (key.isManaged) return ok(`one of AWS for its service (${key.arn})`)
  if (!key.trustsIam)
    return unknown(
      `${key.arn}: its policy does not leave it to IAM who may use it, and grants in it cannot be evaluated from here`,
    )
  const readers = functionsOf(config).filter((one) => one.reads?.includes(reads))
  const denied: string[] = []
  for (const { name } of readers) {
    const deployed = await facts.deployed(inStage(stage, name))
    if (!deployed) return unknown(`${inStage(stage, name)} is not deployed: nobody can say what its role may do`)
    if (!(await facts.mayUseKey(deployed.roleArn, key.arn, 'kms:Decrypt'))) denied.push(name)
  }
  if (denied.length > 0)
    return finding(`the role of ${denied.join(', ')} may not decrypt with ${key.arn}`, await grantFix(deps))
  return ok(`${key.arn}: enabled, and the roles may decrypt`)
}

const keyChecks = (deps: SourceDeps): Check[] =>
  keyUses(deps.config).map((use) => ({
    id: 'source-kms',
    side: 'source',
    subject: use.what,
    title: 'the key of the source can be used',
    run: () => keyVerdict(deps, use),
  }))

/** What can be seen with AWS credentials alone. */
export const sourceChecks = (deps: SourceDeps): Check[] => [
  accountCheck(deps),
  ...bucketChecks(deps),
  ...tableChecks(deps),
  ...keyChecks(deps),
  ...functionChecks(deps),
]
