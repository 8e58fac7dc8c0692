import type { Template } from '../../local/lambda/template.ts'
import {
  alarmFindings,
  encryptionFindings,
  functionFindings,
  lostWorkFindings,
  storageFindings,
  visibilityFindings,
} from './policy-resources.ts'
import { resourcePolicyFindings, roleFindings, wildcardFindings } from './policy-statements.ts'
import type { Properties } from './template-view.ts'

/** Every rule of the compiled template by name, and what is planted for it to find. */

export const rules = {
  wildcards: wildcardFindings,
  roles: roleFindings,
  'resource policies': resourcePolicyFindings,
  encryption: encryptionFindings,
  'lost work': lostWorkFindings,
  visibility: visibilityFindings,
  alarms: alarmFindings,
  functions: functionFindings,
  storage: storageFindings,
}
export type Rule = keyof typeof rules

export type Raw = Template & {
  Resources: Record<string, { Type: string; Properties: Properties; DeletionPolicy?: string }>
}

type Statement = { Sid: string; Action: unknown; Resource: unknown; Condition?: Properties; Principal?: unknown }
const statement = (document: unknown, sid: string): Statement => {
  const found = (document as { Statement: Statement[] }).Statement.find(({ Sid }) => Sid === sid)
  if (!found) throw new Error(`there is no statement ${sid}`)
  return found
}
const ofRole = ({ Resources }: Raw, role: string, sid: string): Statement =>
  statement((Resources[role]!.Properties['Policies'] as { PolicyDocument: unknown }[])[0]!.PolicyDocument, sid)
const properties = ({ Resources }: Raw, name: string): Properties => Resources[name]!.Properties

/** The rule, what is planted, how, and what the rule must name; for `prod` and the configuration of policy.test.ts. */
export const violations: [Rule, string, (template: Raw) => void, string][] = [
  ['wildcards', 'an action', (t) => (ofRole(t, 'PlanObjectRole', 'Ledger').Action = ['dynamodb:*']), 'dynamodb:*'],
  ['wildcards', 'all actions', (t) => (ofRole(t, 'RedriveRole', 'GivenUp').Action = '*'), 'RedriveRole GivenUp'],
  ['wildcards', 'all resources', (t) => (ofRole(t, 'CopySegmentRole', 'Send').Resource = '*'), 'sqs:SendMessage on *'],
  [
    'wildcards',
    'a whole bucket',
    (t) => (ofRole(t, 'RedriveRole', 'Redriven').Resource = { 'Fn::Sub': '${FailedBatchesBucket.Arn}/*' }),
    'FailedBatchesBucket.Arn}/*',
  ],
  [
    'wildcards',
    'a write to source objects',
    (t) => (ofRole(t, 'ValidateRole', 'HeadObjects').Action = ['s3:GetObject', 's3:DeleteObject']),
    's3:DeleteObject',
  ],
  [
    'wildcards',
    'everything but something',
    (t) => Object.assign(ofRole(t, 'PlanObjectRole', 'Ledger'), { NotAction: ['iam:*'], Action: undefined }),
    'allows what it does not name',
  ],
  [
    'wildcards',
    'a policy apart',
    (t) => {
      const { PolicyDocument } = properties(t, 'MeasureLagCanaryPolicy')
      statement(PolicyDocument, 'CanaryItems').Resource = '*'
    },
    'MeasureLagRole CanaryItems',
  ],
  [
    'roles',
    'a shared role',
    (t) => (properties(t, 'RedriveLambdaFunction')['Role'] = { 'Fn::Sub': '${ApplyChangesRole.Arn}' }),
    'ApplyChangesRole: used by 2',
  ],
  ['roles', 'an unused role', (t) => delete t.Resources['RedriveLambdaFunction'], 'RedriveRole: used by 0'],
  [
    'roles',
    'a role from elsewhere',
    (t) => (properties(t, 'RedriveLambdaFunction')['Role'] = 'arn:aws:iam::1:role/x'),
    'RedriveLambdaFunction: has no role',
  ],
  [
    'roles',
    'a managed policy',
    (t) => (properties(t, 'ValidateRole')['ManagedPolicyArns'] = ['arn:aws:iam::aws:policy/AdministratorAccess']),
    "ValidateRole: has a policy of someone else's",
  ],
  [
    'roles',
    'a role for anyone',
    (t) => {
      const trust = properties(t, 'ValidateRole')['AssumeRolePolicyDocument'] as { Statement: Statement[] }
      trust.Statement[0]!.Principal = { AWS: '*' }
    },
    'ValidateRole: not Lambda alone',
  ],
  ...['ObjectsQueuePolicy', 'ObjectsDeadQueuePolicy', 'PageTopicPolicy'].map((name): (typeof violations)[number] => [
    'resource policies',
    `${name} for any account`,
    (t) => {
      const sid = name.startsWith('Page') ? 'Alarms' : 'EventBridge'
      delete statement(properties(t, name)['PolicyDocument'], sid).Condition!['StringEquals']
    },
    `${name} `,
  ]),
  [
    'resource policies',
    'a queue for any source',
    (t) => {
      const { Condition } = statement(properties(t, 'ObjectsQueuePolicy')['PolicyDocument'], 'SourceBuckets')
      delete Condition!['ArnEquals']
    },
    'ObjectsQueuePolicy SourceBuckets',
  ],
  [
    'resource policies',
    'a queue for everyone',
    (t) => (statement(properties(t, 'ObjectsQueuePolicy')['PolicyDocument'], 'EventBridge').Principal = '*'),
    'ObjectsQueuePolicy EventBridge: not for one service',
  ],
  [
    'resource policies',
    'a key for any account',
    (t) => delete statement(properties(t, 'AlarmTopicsKey')['KeyPolicy'], 'Alarms').Condition,
    'AlarmTopicsKey Alarms',
  ],
  [
    'resource policies',
    'a function for any rule',
    (t) => delete properties(t, 'ValidateLambdaPermissionEventsRuleSchedule1')['SourceArn'],
    'anything of the service may call',
  ],
  [
    'resource policies',
    'a URL',
    (t) => (t.Resources['Url'] = { Type: 'AWS::Lambda::Url', Properties: {} }),
    'Url: a function has a URL',
  ],
  ...['SegmentsQueue', 'CallsDeadQueue', 'LedgerTable', 'FailedBatchesBucket', 'PageTopic', 'PlanObjectLogGroup'].map(
    (name): (typeof violations)[number] => [
      'encryption',
      `${name} without a key`,
      (t) => {
        for (const key of [
          'KmsMasterKeyId',
          'SqsManagedSseEnabled',
          'SSESpecification',
          'BucketEncryption',
          'KmsKeyId',
        ])
          delete properties(t, name)[key]
      },
      `${name}: AWS::`,
    ],
  ),
  [
    'lost work',
    'a queue without dead letters',
    (t) => delete properties(t, 'SegmentsQueue')['RedrivePolicy'],
    'SegmentsQueue has no dead-letter queue',
  ],
  [
    'lost work',
    'a stream without a destination',
    (t) => delete properties(t, 'CommitObjectEventSourceMappingDynamodbLedgerTable')['DestinationConfig'],
    'CommitObjectEventSourceMappingDynamodbLedgerTable has no destination',
  ],
  [
    'lost work',
    'a schedule without a destination',
    (t) => delete t.Resources['CommitObjectLambdaEvConf'],
    'CommitObjectLambdaFunction: what calls it',
  ],
  [
    'lost work',
    'a function called by hand without a destination',
    (t) => delete t.Resources['RedriveLambdaEvConf'],
    'RedriveLambdaFunction: what calls it',
  ],
  [
    'lost work',
    'a destination that the role may not write to',
    (t) => (ofRole(t, 'ValidateRole', 'DeadCalls').Action = ['sqs:GetQueueAttributes']),
    'ValidateLambdaFunction: its role may not write',
  ],
  [
    'lost work',
    'dead letters that are forgotten',
    (t) => (properties(t, 'ObjectsDeadQueue')['MessageRetentionPeriod'] = 345_600),
    'ObjectsDeadQueue: forgets',
  ],
  [
    'visibility',
    'a message that shows too early',
    (t) => (properties(t, 'SegmentsQueue')['VisibilityTimeout'] = 6 * 240 - 1),
    'SegmentsQueue hides for 1439 s',
  ],
  [
    'alarms',
    'an alarm that no composite alarm names',
    (t) => {
      const page = properties(t, 'AlarmPage')
      page['AlarmRule'] = String(page['AlarmRule']).replace('ALARM("lifeboat-prod-objects-lag") OR ', '')
    },
    'AlarmObjectsLag: tells nobody',
  ],
  ['alarms', 'nobody to tell', (t) => (properties(t, 'AlarmTicket')['AlarmActions'] = []), 'AlarmTicket: tells nobody'],
  [
    'alarms',
    'actions that are off',
    (t) => (properties(t, 'AlarmPage')['ActionsEnabled'] = false),
    'AlarmPage: tells nobody',
  ],
  ['functions', 'a VPC', (t) => (properties(t, 'CopySegmentLambdaFunction')['VpcConfig'] = {}), 'is in a VPC'],
  [
    'functions',
    'logs for ever',
    (t) => delete properties(t, 'RedriveLogGroup')['RetentionInDays'],
    'RedriveLambdaFunction: has logs that are kept for ever',
  ],
  ['functions', 'no log group', (t) => delete t.Resources['RedriveLogGroup'], 'logs that are kept for ever'],
  ['functions', 'text logs', (t) => delete properties(t, 'RedriveLambdaFunction')['LoggingConfig'], 'log JSON'],
  [
    'functions',
    'another runtime',
    (t) => (properties(t, 'RedriveLambdaFunction')['Runtime'] = 'nodejs20.x'),
    'nodejs24.x',
  ],
  [
    'functions',
    'an emulator',
    (t) => {
      const { Variables } = properties(t, 'PlanObjectLambdaFunction')['Environment'] as { Variables: Properties }
      Variables['GCS_ENDPOINT'] = 'http://127.0.0.1'
    },
    'PlanObjectLambdaFunction: is told of GCS_ENDPOINT',
  ],
  [
    'storage',
    'a bucket that may become public',
    (t) => {
      const { PublicAccessBlockConfiguration: block } = properties(t, 'FailedBatchesBucket')
      ;(block as Properties)['BlockPublicPolicy'] = false
    },
    'FailedBatchesBucket: may become public',
  ],
  [
    'storage',
    'no TLS',
    (t) => delete t.Resources['FailedBatchesBucketPolicy'],
    'FailedBatchesBucket: answers without TLS',
  ],
  [
    'storage',
    'one version',
    (t) => delete properties(t, 'FailedBatchesBucket')['VersioningConfiguration'],
    'FailedBatchesBucket: is not kept',
  ],
  [
    'storage',
    'a ledger that goes',
    (t) => delete t.Resources['LedgerTable']!.DeletionPolicy,
    'LedgerTable: is not kept',
  ],
  [
    'storage',
    'a ledger without a stream',
    (t) => delete properties(t, 'LedgerTable')['StreamSpecification'],
    'LedgerTable: has no stream',
  ],
  [
    'storage',
    'a ledger that grows for ever',
    (t) => delete properties(t, 'LedgerTable')['TimeToLiveSpecification'],
    'LedgerTable: forgets nothing',
  ],
]
