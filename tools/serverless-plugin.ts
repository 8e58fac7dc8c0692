import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { alarmResources } from './alarm-resources.ts'
import { buildFunctions } from './build.ts'
import { dashboard } from './dashboard.ts'
import { readStackConfig } from './stack-settings.ts'

type ServerlessFunction = { handler: string; package?: { individually: boolean; artifact: string } }
type Serverless = {
  serviceDir: string
  service: {
    functions: Record<string, ServerlessFunction>
    provider: { stage: string; compiledCloudFormationTemplate: { Resources: Record<string, Resource> } }
  }
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

const keysOf = (resources: Record<string, Resource>, wanted: (resource: Resource) => boolean): string[] =>
  Object.keys(resources).filter((name) => {
    const resource = resources[name]
    return resource !== undefined && wanted(resource)
  })

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

/** Bundles the functions before they are packaged or deployed, and adds alarms and dashboard to the template. LIFEBOAT_BUILD_DIR names another folder than .build. */
export default class LifeboatPlugin {
  readonly hooks: Record<string, () => Promise<void>>

  constructor(serverless: Serverless, _options: unknown, utilities: Utilities = {}) {
    const bundle = (): Promise<void> => bundleAll(serverless, utilities)
    this.hooks = {
      'before:package:initialize': bundle,
      'before:package:function:package': bundle,
      'after:aws:package:finalize:mergeCustomProviderResources': async () => addWatch(serverless),
    }
  }
}
