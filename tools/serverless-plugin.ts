import { realpathSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { buildFunctions } from './build.ts'
import { readStackConfig } from './stack-settings.ts'

type ServerlessFunction = { handler: string; package?: { individually: boolean; artifact: string } }
type Serverless = {
  serviceDir: string
  service: { functions: Record<string, ServerlessFunction>; provider: { stage: string } }
}
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

/** Bundles the functions before they are packaged or deployed. LIFEBOAT_BUILD_DIR names another folder than .build. */
export default class LifeboatPlugin {
  readonly hooks: Record<string, () => Promise<void>>

  constructor(serverless: Serverless, _options: unknown, utilities: Utilities = {}) {
    const bundle = (): Promise<void> => bundleAll(serverless, utilities)
    this.hooks = { 'before:package:initialize': bundle, 'before:package:function:package': bundle }
  }
}
