import type { Config } from '../../shared/config.ts'
import { didYouMean } from '../../shared/config-problems.ts'
import { InvalidInputError, NotFoundError } from '../../shared/errors.ts'
import type { RowStore } from '../../shared/features/row-store.ts'
import {
  type CliContext,
  configFile,
  configFileDefault,
  type GlobalOptions,
  isMissingFile,
  loadConfig,
  type RowsPlace,
} from '../context.ts'

export type RowsOptions = GlobalOptions & { instance?: string }

/** The configured table; throws NotFoundError with those that there are. */
export const configuredTable = (config: Config, name: string, file: string): Config['tables'][number] => {
  const table = config.tables.find((candidate) => candidate.name === name)
  if (table) return table
  const names = config.tables.map((candidate) => candidate.name)
  if (names.length === 0) throw new NotFoundError(`there is no table ${name}: ${file} names no tables`)
  const meant = config.tables.find(({ target }) => target === name)?.name ?? didYouMean(name, names)
  const hint = meant === undefined ? '' : `; did you mean "${meant}"?`
  throw new NotFoundError(`there is no table ${name} in ${file}, which names ${names.join(', ')}${hint}`)
}

const parseInstance = (text: string): RowsPlace => {
  const match = /^([a-z][a-z0-9:.-]*)\/([a-z][a-z0-9-]*)$/.exec(text)
  if (!match?.[1] || !match[2]) throw new InvalidInputError(`--instance: found "${text}", expected PROJECT/INSTANCE`)
  return { projectId: match[1], instanceId: match[2] }
}

/** Where a table's rows are: the configuration's Bigtable and the table's target there, or --instance and the very name. */
export const findRows = async (
  context: Pick<CliContext, 'cwd'>,
  table: string,
  options: RowsOptions,
): Promise<{ place: RowsPlace; target: string }> => {
  if (options.instance !== undefined) return { place: parseInstance(options.instance), target: table }
  let config: Config
  try {
    config = await loadConfig(context, options)
  } catch (error) {
    if (options.config !== undefined || !isMissingFile(error)) throw error
    throw new InvalidInputError(
      `which Bigtable? give --instance PROJECT/INSTANCE, or a configuration by --config (there is no ${configFileDefault} here)`,
      { cause: error },
    )
  }
  const file = configFile(context, options)
  const { target } = configuredTable(config, table, file)
  const { project, bigtableInstance, appProfile } = config.replica
  if (bigtableInstance === undefined)
    throw new InvalidInputError(`${file} has tables and no replica.bigtableInstance: where are their rows?`)
  const place = { projectId: project, instanceId: bigtableInstance }
  return { place: appProfile === undefined ? place : { ...place, appProfileId: appProfile }, target: target ?? table }
}

/** Does `work` on the rows of a table, and closes what was opened for it. */
export const withRows = async <T>(
  context: CliContext,
  table: string,
  options: RowsOptions,
  work: (rows: RowStore, target: string) => Promise<T>,
): Promise<T> => {
  const { place, target } = await findRows(context, table, options)
  const opened = await context.openRows(place)
  try {
    return await work(opened.rows, target)
  } finally {
    await opened.close()
  }
}
