import { statementsByRole } from './policy-statements.ts'
import { listOf, names, ofType, type Properties, type Viewed } from './template-view.ts'

/** Rules about resources; each answers one line for each thing that breaks it. */

const isOwnKey = (value: unknown): boolean => (value as { Ref?: string } | undefined)?.Ref === 'KmsKeyArn'

/** The framework's bucket holds bundles alone, which anyone can build. */
const bundles = 'ServerlessDeploymentBucket'

/** With `ownKey` the stack was given a key, and everything that holds data uses it. */
export const encryptionFindings = (resources: readonly Viewed[], ownKey: boolean): string[] => {
  const isEncrypted = ({ name, type, properties }: Viewed): boolean => {
    if (type === 'AWS::SQS::Queue')
      return ownKey ? isOwnKey(properties['KmsMasterKeyId']) : properties['SqsManagedSseEnabled'] === true
    // Without a key of its own a table has that of DynamoDB, and a log group that of CloudWatch: neither can be left out.
    if (type === 'AWS::DynamoDB::Table')
      return !ownKey || isOwnKey((properties['SSESpecification'] as Properties | undefined)?.['KMSMasterKeyId'])
    if (type === 'AWS::Logs::LogGroup') return !ownKey || isOwnKey(properties['KmsKeyId'])
    if (type === 'AWS::SNS::Topic') return properties['KmsMasterKeyId'] !== undefined
    if (type !== 'AWS::S3::Bucket') return true
    const text = JSON.stringify(properties['BucketEncryption'] ?? {})
    return ownKey && name !== bundles
      ? text.includes('"KMSMasterKeyID":{"Ref":"KmsKeyArn"}')
      : text.includes('SSEAlgorithm')
  }
  return resources.filter((one) => !isEncrypted(one)).map(({ name, type }) => `${name}: ${type} is not encrypted`)
}

const fourteenDays = 14 * 86_400

const destinationOf = ({ properties }: Viewed): unknown =>
  (properties['DestinationConfig'] as { OnFailure?: { Destination?: unknown } } | undefined)?.OnFailure?.Destination

/** What fails for good is kept, for every way in which a function is called, and its role may write it there. */
export const lostWorkFindings = (resources: readonly Viewed[]): string[] => {
  const queues = ofType(resources, 'AWS::SQS::Queue')
  const statements = statementsByRole(resources)
  const mappings = ofType(resources, 'AWS::Lambda::EventSourceMapping')
  const rules = ofType(resources, 'AWS::Events::Rule')
  const calls = ofType(resources, 'AWS::Lambda::EventInvokeConfig')
  const mayWrite = (one: Viewed, destination: unknown): boolean =>
    [...statements].some(
      ([role, list]) =>
        names(one.properties['Role'], role) &&
        list.some(
          ({ Action, Resource }) =>
            listOf(Action).some((action) => action === 'sqs:SendMessage' || action === 's3:PutObject') &&
            resources.some(({ name }) => names(destination, name) && names(Resource, name)),
        ),
    )
  const deadOf = (queue: Viewed): Viewed | undefined => {
    const redrive = queue.properties['RedrivePolicy'] as { deadLetterTargetArn?: unknown } | undefined
    return queues.find(({ name }) => names(redrive?.deadLetterTargetArn, name))
  }
  const findingsOf = (one: Viewed): string[] => {
    const own = mappings.filter(({ properties }) => names(properties['FunctionName'], one.name))
    const ofQueues = own.flatMap(({ properties }) =>
      queues.filter(({ name }) => names(properties['EventSourceArn'], name)),
    )
    const ofStreams = own.filter(({ properties }) => properties['StartingPosition'] !== undefined)
    const called = calls.find(({ properties }) => names(properties['FunctionName'], one.name))
    const isScheduled = rules.some(({ properties }) => names(properties['Targets'], one.name))
    const kept = [...ofStreams, ...(called ? [called] : [])].map(destinationOf)
    return [
      ...ofQueues.filter((queue) => !deadOf(queue)).map(({ name }) => `${one.name}: ${name} has no dead-letter queue`),
      ...ofStreams
        .filter((stream) => !destinationOf(stream))
        .map(({ name }) => `${one.name}: ${name} has no destination`),
      ...((isScheduled || own.length === 0) && !(called && destinationOf(called))
        ? [`${one.name}: what calls it and fails is not kept`]
        : []),
      ...(kept.every((destination) => destination === undefined || mayWrite(one, destination))
        ? []
        : [`${one.name}: its role may not write to its destination`]),
    ]
  }
  const dead = queues.filter(({ properties }) => properties['RedrivePolicy'] === undefined)
  return [
    ...ofType(resources, 'AWS::Lambda::Function').flatMap(findingsOf),
    ...dead
      .filter(({ properties }) => properties['MessageRetentionPeriod'] !== fourteenDays)
      .map(({ name }) => `${name}: forgets before 14 days`),
  ]
}

/** A message is not shown again while its function may still run. */
export const visibilityFindings = (resources: readonly Viewed[]): string[] =>
  ofType(resources, 'AWS::Lambda::EventSourceMapping').flatMap(({ name, properties }) => {
    const queue = ofType(resources, 'AWS::SQS::Queue').find((one) => names(properties['EventSourceArn'], one.name))
    const user = ofType(resources, 'AWS::Lambda::Function').find((one) => names(properties['FunctionName'], one.name))
    if (!queue) return []
    const [visible, timeout] = [Number(queue.properties['VisibilityTimeout']), Number(user?.properties['Timeout'])]
    return visible >= 6 * timeout
      ? []
      : [`${name}: ${queue.name} hides for ${visible} s, the function runs for ${timeout} s`]
  })

const tells = ({ properties }: Viewed): boolean =>
  listOf(properties['AlarmActions']).length > 0 && properties['ActionsEnabled'] !== false

/** Every alarm tells someone, itself or through a composite alarm that names it. */
export const alarmFindings = (resources: readonly Viewed[]): string[] => {
  const composite = ofType(resources, 'AWS::CloudWatch::CompositeAlarm')
  const isNamed = ({ properties }: Viewed): boolean =>
    composite.some(
      (one) =>
        tells(one) && String(one.properties['AlarmRule']).includes(`ALARM("${String(properties['AlarmName'])}")`),
    )
  const alarms = ofType(resources, 'AWS::CloudWatch::Alarm')
  return [
    ...alarms.filter((one) => !tells(one) && !isNamed(one)).map(({ name }) => `${name}: tells nobody`),
    ...composite.filter((one) => !tells(one)).map(({ name }) => `${name}: tells nobody`),
  ]
}

/** Where a function runs, what it is told and where its lines go. */
export const functionFindings = (resources: readonly Viewed[]): string[] =>
  ofType(resources, 'AWS::Lambda::Function').flatMap(({ name, properties }) => {
    const { FunctionName, VpcConfig, Runtime, Architectures, LoggingConfig, Environment } = properties
    const group = ofType(resources, 'AWS::Logs::LogGroup').find(
      (one) => one.properties['LogGroupName'] === `/aws/lambda/${String(FunctionName)}`,
    )
    const { Variables = {} } = (Environment ?? {}) as { Variables?: Properties }
    const emulators = Object.keys(Variables).filter((key) => /_ENDPOINT$|^AWS_ENDPOINT_URL/.test(key))
    const broken: [boolean, string][] = [
      [VpcConfig !== undefined, 'is in a VPC, where every byte to Google costs'],
      [Number(group?.properties['RetentionInDays'] ?? 0) <= 0, 'has logs that are kept for ever'],
      [Runtime !== 'nodejs24.x' || JSON.stringify(Architectures) !== '["arm64"]', 'is not nodejs24.x on arm64'],
      [(LoggingConfig as Properties | undefined)?.['LogFormat'] !== 'JSON', 'does not log JSON'],
      [emulators.length > 0, `is told of ${emulators.join(', ')}`],
    ]
    return broken.flatMap(([is, what]) => (is ? [`${name}: ${what}`] : []))
  })

const blocks = ['BlockPublicAcls', 'BlockPublicPolicy', 'IgnorePublicAcls', 'RestrictPublicBuckets']

/** Buckets are private and spoken to over TLS; what holds data outlives the stack and a mistake. */
export const storageFindings = (resources: readonly Viewed[]): string[] => [
  ...ofType(resources, 'AWS::S3::Bucket').flatMap(({ name, properties, deletionPolicy }) => {
    const block = (properties['PublicAccessBlockConfiguration'] ?? {}) as Properties
    const policies = ofType(resources, 'AWS::S3::BucketPolicy').filter((one) => names(one.properties['Bucket'], name))
    const isTls = policies.some(({ properties: { PolicyDocument } }) =>
      (PolicyDocument as { Statement: Properties[] }).Statement.some(
        ({ Effect, Principal, Action, Condition }) =>
          JSON.stringify([Effect, Principal, Action]) === '["Deny","*","s3:*"]' &&
          String((Condition as { Bool?: Properties })?.Bool?.['aws:SecureTransport']) === 'false',
      ),
    )
    const versions = (properties['VersioningConfiguration'] as Properties | undefined)?.['Status']
    const keeps =
      versions === 'Enabled' && properties['LifecycleConfiguration'] !== undefined && deletionPolicy === 'Retain'
    return [
      ...(blocks.every((one) => block[one] === true) ? [] : [`${name}: may become public`]),
      ...(isTls ? [] : [`${name}: answers without TLS`]),
      ...(keeps || name === bundles ? [] : [`${name}: is not kept, versioned and cleaned`]),
    ]
  }),
  ...ofType(resources, 'AWS::DynamoDB::Table').flatMap(({ name, properties, deletionPolicy }) => {
    const recovery = properties['PointInTimeRecoverySpecification'] as Properties | undefined
    const stream = properties['StreamSpecification'] as Properties | undefined
    const isKept = deletionPolicy === 'Retain' && recovery?.['PointInTimeRecoveryEnabled'] === true
    return [
      ...(isKept ? [] : [`${name}: is not kept`]),
      ...(JSON.stringify(properties['TimeToLiveSpecification']) === '{"AttributeName":"expiresAt","Enabled":true}'
        ? []
        : [`${name}: forgets nothing`]),
      ...(stream?.['StreamViewType'] === 'NEW_AND_OLD_IMAGES' ? [] : [`${name}: has no stream of images`]),
    ]
  }),
]
