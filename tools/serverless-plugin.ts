import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { alarmResources } from './alarm-resources.ts'
import { buildFunctions } from './build.ts'
import { dashboard } from './dashboard.ts'
import { deployRefusals, unknownParameters } from './deploy-checks.ts'
import { readStackConfig } from './stack-settings.ts'

type ServerlessFunction = { handler: string; package?: { individually: boolean; artifact: string } }
type Serverless = {
  serviceDir: string
  service: {
    functions: Record<string, ServerlessFunction>
    provider: {
      stage: string
      environment: { GCP_WIF_AUDIENCE?: string }
      compiledCloudFormationTemplate: { Resources: Record<string, Resource> }
    }
  }
  configurationInput: { params?: Record<string, Record<string, unknown> | null> | null }
  processedInput: { commands: readonly string[]; options: { param?: readonly string[] } }
  classes: { Error: new (message: string, code: string) => Error }
  getProvider(name: 'aws'): { getRegion(): string; getAccountId(): Promise<string> }
}
type Resource = { Type: string; Properties: Record<string, unknown> }
type Utilities = { log?: { notice(message: string): void } }

const bundleAll = async (serverless: Serverless, utilities: Utilities): Promise<void> => {
  // The cache of packages runs the framework in a folder of links: sources are read where they really are.
  const root = dirname(realpathSync(join(serverless.serviceDir, 'functions')))
  const functions = Object.values(serverless.service.functions)
  const built = await buildFunctions({
    root,
    names: functions.map((one) => basename(one.handler).replace(/\.[^.]+$/, '')),
    config: readStackConfig(serverless.service.provider.stage),
    outDir: process.env['LIFEBOAT_BUILD_DIR'] ?? join(root, '.build'),
  })
  functions.forEach((one, index) => {
    one.package = { individually: true, artifact: built[index]?.zip ?? '' }
  })
  utilities.log?.notice(
    `Bundled ${built.map(({ name, bytes }) => `${name} ${(bytes / 1e6).toFixed(2)} MB`).join(', ')}`,
  )
}

/** Throws where this stage is given a parameter that there is not. */
const checkParameters = ({ service, configurationInput, processedInput, classes }: Serverless): void => {
  const { stage } = service.provider
  const given = [
    ...['default', stage].flatMap((section) => Object.keys(configurationInput.params?.[section] ?? {})),
    ...(processedInput.options.param ?? []).map((text) => text.replace(/=.*$/s, '')),
  ]
  const unknown = unknownParameters(readStackConfig(stage), given)
  if (unknown.length > 0)
    throw new classes.Error(
      `there are no parameters ${unknown.join(', ')} in stage ${stage}; serverless.yml says which there are`,
      'LIFEBOAT_UNKNOWN_PARAMETER',
    )
}

/** Throws with all that is still an example's, before anything of an account is touched. */
const checkDeployment = async (serverless: Serverless): Promise<void> => {
  const { service, classes } = serverless
  const { stage, environment } = service.provider
  const config = readStackConfig(stage)
  const refuse = (refusals: readonly string[]): void => {
    if (refusals.length === 0) return
    const list = refusals.map((line) => `\n- ${line}`).join('')
    throw new classes.Error(`stage ${stage} is not ready to be deployed:${list}`, 'LIFEBOAT_NOT_READY')
  }
  const aws = serverless.getProvider('aws')
  const { GCP_WIF_AUDIENCE: audience = '' } = environment
  refuse(deployRefusals({ config, stage, region: aws.getRegion(), audience }))
  const account = await aws.getAccountId()
  if (account !== config.source.account)
    refuse([`source.account: lifeboat.yml says ${config.source.account}, the credentials are of account ${account}`])
}

const keysOf = (resources: Record<string, Resource>, wanted: (resource: Resource) => boolean): string[] =>
  Object.keys(resources).filter((name) => {
    const resource = resources[name]
    return resource !== undefined && wanted(resource)
  })

/** The framework makes the groups of logs, without a key. */
const encryptLogs = ({ service }: Serverless): void => {
  for (const { Type, Properties } of Object.values(service.provider.compiledCloudFormationTemplate.Resources))
    if (Type === 'AWS::Logs::LogGroup')
      Properties['KmsKeyId'] = { 'Fn::If': ['OwnKey', { Ref: 'KmsKeyArn' }, { Ref: 'AWS::NoValue' }] }
}

/** Alarms and charts of every function, stream and dead-letter queue of the whole template, and of what they measure. */
const addWatch = ({ service }: Serverless): void => {
  const { stage, compiledCloudFormationTemplate: template } = service.provider
  const redrives = JSON.stringify(
    Object.values(template.Resources).map(({ Properties }) => Properties?.['RedrivePolicy'] ?? null),
  )
  const subjects = {
    functions: Object.keys(service.functions),
    streamMappings: keysOf(
      template.Resources,
      ({ Type, Properties }) =>
        Type === 'AWS::Lambda::EventSourceMapping' && Properties['StartingPosition'] !== undefined,
    ),
    deadQueues: keysOf(template.Resources, ({ Type }) => Type === 'AWS::SQS::Queue').filter((name) =>
      redrives.includes(`"${name}"`),
    ),
  }
  const config = readStackConfig(stage)
  Object.assign(template.Resources, alarmResources(config, stage, subjects), dashboard(config, stage, subjects))
}

/**
 * Bundles the functions before they are packaged or deployed, adds alarms, dashboard and the key of logs to the template, and refuses to deploy
 * what is still an example's. LIFEBOAT_BUILD_DIR names another folder than .build.
 */
export default class LifeboatPlugin {
  readonly hooks: Record<string, () => Promise<void>>

  constructor(serverless: Serverless, _options: unknown, utilities: Utilities = {}) {
    let checked: Promise<void> | undefined
    const check = (): Promise<void> => (checked ??= checkDeployment(serverless))
    const bundle = async (): Promise<void> => {
      checkParameters(serverless)
      if (serverless.processedInput.commands[0] === 'deploy') await check()
      await bundleAll(serverless, utilities)
    }
    this.hooks = {
      // Of a package that was made before nothing is bundled.
      'before:deploy:deploy': check,
      'before:package:initialize': bundle,
      'before:package:function:package': bundle,
      'after:aws:package:finalize:mergeCustomProviderResources': async () => {
        encryptLogs(serverless)
        addWatch(serverless)
      },
    }
  }
}
