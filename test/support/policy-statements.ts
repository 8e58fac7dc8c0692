import { listOf, names, ofType, type Properties, type Viewed } from './template-view.ts'

/** Rules about who may do what; each answers one line for each thing that breaks it. */

type Statement = {
  Sid?: string
  Effect: string
  Principal?: unknown
  Action?: string | string[]
  Resource?: unknown
  Condition?: unknown
}
type Document = { Statement: Statement[] }

const statementsOf = (document: unknown): Statement[] => (document as Document).Statement

/** What a role may do, by the role's logical name; policies that are resources of their own count too. */
export const statementsByRole = (resources: readonly Viewed[]): Map<string, Statement[]> =>
  new Map(
    ofType(resources, 'AWS::IAM::Role').map(({ name, properties }) => {
      const inline = listOf(properties['Policies'] as { PolicyDocument: Document }[] | undefined)
      const apart = ofType(resources, 'AWS::IAM::RolePolicy').filter((one) => names(one.properties['RoleName'], name))
      const documents = [
        ...inline.map(({ PolicyDocument }) => PolicyDocument),
        ...apart.map(({ properties: { PolicyDocument } }) => PolicyDocument),
      ]
      return [name, documents.flatMap(statementsOf)]
    }),
  )

/** The only resources with a wildcard that a role may name, each with the reason why it has one. */
const reviewed: { resource: RegExp; actions: RegExp; reason: string }[] = [
  { resource: /^\*$/, actions: /^xray:Put(TraceSegments|TelemetryRecords)$/, reason: 'X-Ray has no resources' },
  { resource: /^\*$/, actions: /^cloudwatch:GetMetricData$/, reason: 'metrics have no resources' },
  {
    resource: /:log-group:\/aws\/lambda\/lifeboat-[a-z0-9-]+-[A-Za-z]+:\*$/,
    actions: /^logs:(CreateLogStream|PutLogEvents)$/,
    reason: 'the streams of the own log group, whose names Lambda makes',
  },
  {
    resource: /^arn:\$\{AWS::Partition\}:s3:::[a-z0-9.-]+\/[^*]*\*$/,
    actions: /^s3:GetObject(Version)?(Attributes)?$/,
    reason: 'the objects below a configured prefix of a source bucket, to be read',
  },
  {
    resource: /^\$\{FailedBatchesBucket\.Arn\}\/(quarantine|aws\/lambda|redriven)\/\*$/,
    actions: /^s3:(Get|Put|Delete)Object$/,
    reason: 'objects in one folder of the own bucket, named by time',
  },
]

const textOf = (resource: unknown): string => {
  const text = typeof resource === 'string' ? resource : (resource as { 'Fn::Sub'?: string })['Fn::Sub']
  return text ?? JSON.stringify(resource)
}

/** `${!*}` is a star that IAM reads as itself. */
const withoutLiterals = (text: string): string => text.replaceAll(/\$\{![*?$]\}/g, '_')
const hasWildcard = (text: string): boolean => /[*?]/.test(withoutLiterals(text))

const isReviewed = (resource: string, action: string): boolean =>
  reviewed.some((one) => one.resource.test(withoutLiterals(resource)) && one.actions.test(action))

export const wildcardFindings = (resources: readonly Viewed[]): string[] =>
  [...statementsByRole(resources)].flatMap(([role, statements]) =>
    statements.flatMap((statement) => {
      const at = `${role} ${statement.Sid ?? '(no Sid)'}`
      if ('NotAction' in statement || 'NotResource' in statement || !statement.Action || !statement.Resource)
        return [`${at}: allows what it does not name`]
      const actions = listOf(statement.Action)
      const wide = listOf(statement.Resource as unknown[])
        .map(textOf)
        .filter(hasWildcard)
      return [
        ...actions.filter(hasWildcard).map((action) => `${at}: action ${action}`),
        ...wide.flatMap((resource) =>
          actions
            .filter((action) => !isReviewed(resource, action))
            .map((action) => `${at}: ${action} on ${resource} is not in the reviewed list`),
        ),
      ]
    }),
  )

export const roleFindings = (resources: readonly Viewed[]): string[] => {
  const functions = ofType(resources, 'AWS::Lambda::Function')
  const roles = ofType(resources, 'AWS::IAM::Role')
  return [
    ...roles.flatMap(({ name, properties }) => {
      const users = functions.filter((one) => names(one.properties['Role'], name))
      const trust = statementsOf(properties['AssumeRolePolicyDocument']).map(({ Principal }) => Principal)
      return [
        ...(users.length === 1 ? [] : [`${name}: used by ${users.length} functions`]),
        ...(JSON.stringify(trust) === '[{"Service":"lambda.amazonaws.com"}]'
          ? []
          : [`${name}: not Lambda alone may be it`]),
        ...(properties['ManagedPolicyArns'] === undefined ? [] : [`${name}: has a policy of someone else's`]),
      ]
    }),
    ...functions
      .filter((one) => !roles.some(({ name }) => names(one.properties['Role'], name)))
      .map(({ name }) => `${name}: has no role of the template`),
  ]
}

const hasSource = (condition: unknown): boolean => {
  const text = JSON.stringify(condition ?? {})
  return text.includes('"aws:SourceArn"') && text.includes('"aws:SourceAccount"')
}

/** The account itself, whose own policies decide then; everyone else is named with what they do. */
const isAccount = ({ Principal }: Statement): boolean =>
  JSON.stringify(Principal) === '{"AWS":{"Fn::Sub":"arn:${AWS::Partition}:iam::${AWS::AccountId}:root"}}'

const keyFindings = ({ name, properties }: Viewed): string[] =>
  statementsOf(properties['KeyPolicy'])
    .filter((statement) => statement.Effect === 'Allow' && !isAccount(statement))
    .filter(
      ({ Condition, Action }) =>
        !JSON.stringify(Condition ?? {}).includes('"aws:SourceAccount"') || listOf(Action).includes('kms:*'),
    )
    .map(({ Sid }) => `${name} ${Sid}: not for some actions in one account`)

/** Queues, topics and keys are open to named services only, for one source in one account; functions have no URL. */
export const resourcePolicyFindings = (resources: readonly Viewed[]): string[] => [
  ...[...ofType(resources, 'AWS::SQS::QueuePolicy'), ...ofType(resources, 'AWS::SNS::TopicPolicy')].flatMap(
    ({ name, properties }) =>
      statementsOf(properties['PolicyDocument'])
        .filter(({ Effect }) => Effect === 'Allow')
        .flatMap(({ Sid, Principal, Condition }) => [
          ...(hasSource(Condition) ? [] : [`${name} ${Sid}: not for one source in one account`]),
          ...(typeof (Principal as Properties)['Service'] === 'string' ? [] : [`${name} ${Sid}: not for one service`]),
        ]),
  ),
  ...ofType(resources, 'AWS::KMS::Key').flatMap(keyFindings),
  ...ofType(resources, 'AWS::Lambda::Permission')
    .filter(({ properties }) => properties['SourceArn'] === undefined)
    .map(({ name }) => `${name}: anything of the service may call`),
  ...ofType(resources, 'AWS::Lambda::Url').map(({ name }) => `${name}: a function has a URL`),
]
