import { writeFile } from 'node:fs/promises'
import type { Command } from 'commander'
import { type Config, configJsonSchema, parseConfig } from '../../shared/config.ts'
import { InvalidInputError } from '../../shared/errors.ts'
import { type CliContext, configFile, type GlobalOptions, loadConfig } from '../context.ts'
import { type ConfigValues, configTemplate } from '../config-template.ts'
import { plural, renderJson, renderTable } from '../output.ts'

type InitOptions = GlobalOptions & Partial<ConfigValues> & { force?: boolean }

const init = async (context: CliContext, options: InitOptions): Promise<void> => {
  const { account, region, bucket, replicaBucket, project } = options
  const file = configFile(context, options)
  const text = configTemplate({
    account: account ?? '123456789012',
    region: region ?? 'eu-west-1',
    bucket: bucket ?? 'my-models',
    replicaBucket: replicaBucket ?? 'my-models-lifeboat',
    project: project ?? 'my-project',
  })
  parseConfig(text, { stage: options.stage, file })
  try {
    await writeFile(file, text, { flag: options.force ? 'w' : 'wx' })
  } catch (cause) {
    const exists = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const reason = exists ? 'it exists; --force replaces it' : cause instanceof Error ? cause.message : String(cause)
    throw new InvalidInputError(`cannot write ${file}: ${reason}`, { cause })
  }
  if (options.json) context.stdout.write(renderJson({ file }))
  else context.stdout.write(`wrote ${file}; "lifeboat config check" reads it back\n`)
}

const describe = (config: Config): string => {
  const { source, replica, rpo, retention, budget } = config
  const kept = retention.days === 0 ? 'none' : `${plural(retention.days, 'day')}, ${retention.mode}`
  const settings = [
    ['source', `${source.account} ${source.region}`],
    ['replica', `gs://${replica.bucket}/${replica.prefix} (project ${replica.project})`],
    ['bigtable', replica.bigtableInstance ?? '-'],
    ['rpo', `objects ${rpo.objectsMinutes} min, rows ${rpo.rowsSeconds} s`],
    ['retention', kept],
    ['budget', budget?.sentGiBPerDay === undefined ? '-' : `${budget.sentGiBPerDay} GiB sent a day`],
  ]
  const buckets = config.buckets.map(({ name, prefix, release }) => [
    `s3://${name}/${prefix}`,
    release.path,
    release.marker ?? '(well-known)',
    `${release.quietMinutes} min`,
  ])
  const tables = config.tables.map(({ name, target, streams, omit }) => [
    name,
    target ?? name,
    streams.map(({ epoch }) => epoch).join(', '),
    omit.join(', ') || '-',
  ])
  const sections = [renderTable(['setting', 'value'], settings)]
  if (buckets.length > 0) sections.push(renderTable(['bucket', 'release', 'marker', 'quiet period'], buckets))
  if (tables.length > 0) sections.push(renderTable(['table', 'target', 'epochs', 'omitted'], tables))
  return sections.join('\n')
}

const check = async (context: CliContext, options: GlobalOptions): Promise<void> => {
  const config = await loadConfig(context, options)
  const file = configFile(context, options)
  if (options.json) context.stdout.write(renderJson({ file, stage: options.stage, config }))
  else context.stdout.write(`${file}, stage ${options.stage}: fine\n\n${describe(config)}`)
}

export const register = (program: Command, context: CliContext): void => {
  const config = program.command('config').description('write, check and describe the configuration')
  config
    .command('init')
    .description('write a commented lifeboat.yml')
    .option('--account <id>', 'AWS account id of the source')
    .option('--region <region>', 'AWS region of the source')
    .option('--bucket <name>', 'S3 bucket to replicate')
    .option('--replica-bucket <name>', 'Cloud Storage bucket of the replica')
    .option('--project <id>', 'Google Cloud project of the replica')
    .option('--force', 'replace a file that exists')
    .addHelpText(
      'after',
      '\nExample:\n  lifeboat config init --account 123456789012 --bucket my-models --project my-project',
    )
    .action((_options, command: Command) => init(context, command.optsWithGlobals<InitOptions>()))
  config
    .command('check')
    .description('check the configuration and print what it says, or every problem')
    .addHelpText('after', '\nExample:\n  lifeboat --stage prod config check')
    .action((_options, command: Command) => check(context, command.optsWithGlobals<GlobalOptions>()))
  config
    .command('schema')
    .description('print the JSON Schema of lifeboat.yml, for editors')
    .action(() => void context.stdout.write(`${JSON.stringify(configJsonSchema(), undefined, 2)}\n`))
}
