import { join } from 'node:path'
import { loadPackageDefinition, Server, ServerCredentials, type ServiceClientConstructor } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { type Block, type GoogleSchema, readGoogleSchema } from './google-schema.ts'

/**
 * The Google provider as far as Terraform needs one to check a configuration: it answers its schema, and accepts whatever
 * fits. Terraform reaches it as a provider that somebody debugs, by TF_REATTACH_PROVIDERS, and downloads nothing.
 * https://developer.hashicorp.com/terraform/plugin/debugging
 */

/** `map(string)` as the protocol writes types: `["map","string"]`. */
const typeOf = (text: string): Buffer => {
  const [, collection, element] = /^(\w+)\((\w+)\)$/.exec(text) ?? []
  return Buffer.from(JSON.stringify(collection === undefined ? text : [collection, element]))
}

const toBlock = ({ attributes, blocks }: Block): object => ({
  attributes: Object.entries(attributes).map(([name, text]) => {
    const [use, type] = text.split(' ') as [string, string]
    // The provider fills in many of its optional arguments, and the file does not say which.
    return { name, type: typeOf(type), [use]: true, ...(use === 'optional' ? { computed: true } : {}) }
  }),
  blockTypes: Object.entries(blocks).map(([typeName, { nesting, least, most, block }]) => ({
    typeName,
    block: toBlock(block),
    nesting: nesting.toUpperCase(),
    minItems: nesting === 'single' ? 0 : least,
    maxItems: nesting === 'single' ? 0 : most,
  })),
})

const toSchemas = (types: GoogleSchema['resources']): object =>
  Object.fromEntries(Object.entries(types).map(([name, block]) => [name, { block: toBlock(block) }]))

type Answer = (error: null, reply: unknown) => void
const empty = (_call: unknown, answer: Answer): void => answer(null, {})

/** Serves on a port that the system chooses; `env` is what Terraform is started with. */
export const startOfflineProvider = async (): Promise<{ env: Record<string, string>; close(): Promise<void> }> => {
  const definition = loadSync(join(import.meta.dirname, 'provider.proto'), { enums: String, bytes: Buffer })
  const { Provider } = loadPackageDefinition(definition)['tfplugin5'] as unknown as {
    Provider: ServiceClientConstructor
  }
  const schema = readGoogleSchema()
  const reply = {
    provider: { block: toBlock(schema.configuration) },
    resourceSchemas: toSchemas(schema.resources),
    dataSourceSchemas: toSchemas(schema.data),
  }
  const server = new Server()
  server.addService(Provider.service, {
    GetSchema: (_call: unknown, answer: Answer) => answer(null, reply),
    PrepareProviderConfig: ({ request }: { request: unknown }, answer: Answer) => answer(null, request),
    ValidateResourceTypeConfig: empty,
    ValidateDataSourceConfig: empty,
    Stop: empty,
  })
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    )
  })
  const reattach = {
    'registry.terraform.io/hashicorp/google': {
      Protocol: 'grpc',
      ProtocolVersion: 5,
      Pid: process.pid,
      Test: true,
      Addr: { Network: 'tcp', String: `127.0.0.1:${port}` },
    },
  }
  return {
    env: { TF_REATTACH_PROVIDERS: JSON.stringify(reattach) },
    close: async () => server.forceShutdown(),
  }
}
