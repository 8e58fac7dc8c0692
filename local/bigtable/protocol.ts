import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { loadPackageDefinition, type ServiceClientConstructor, type ServiceDefinition } from '@grpc/grpc-js'
import { type PackageDefinition, loadSync } from '@grpc/proto-loader'

const require = createRequire(import.meta.url)

/** Where the SDK ships Google's .proto files, and its transport library those that they import. */
const protoFolders = (): string[] => {
  const bigtable = require.resolve('@google-cloud/bigtable')
  const gax = createRequire(bigtable).resolve('google-gax')
  return [join(dirname(bigtable), '../protos'), join(dirname(gax), '../protos')]
}

const files = [
  'google/bigtable/v2/bigtable.proto',
  'google/bigtable/admin/v2/bigtable_table_admin.proto',
  'google/bigtable/admin/v2/bigtable_instance_admin.proto',
]

const names = {
  data: 'google.bigtable.v2.Bigtable',
  tableAdmin: 'google.bigtable.admin.v2.BigtableTableAdmin',
  instanceAdmin: 'google.bigtable.admin.v2.BigtableInstanceAdmin',
}

export type Protocol = {
  services: Record<keyof typeof names, ServiceDefinition>
  /** Clients of the services by the same names, for tests. */
  clients: Record<keyof typeof names, ServiceClientConstructor>
}

const find = (root: unknown, name: string): unknown =>
  name.split('.').reduce((at, part) => (at as Record<string, unknown>)[part], root)

/** Bigtable's services as the SDK's own .proto files have them; takes some 100 ms. */
export const loadProtocol = (): Protocol => {
  const definition: PackageDefinition = loadSync(files, {
    includeDirs: protoFolders(),
    longs: String,
    enums: String,
    bytes: Buffer,
    oneofs: true,
  })
  const root = loadPackageDefinition(definition)
  const client = (name: string): ServiceClientConstructor => find(root, name) as ServiceClientConstructor
  const clients = {
    data: client(names.data),
    tableAdmin: client(names.tableAdmin),
    instanceAdmin: client(names.instanceAdmin),
  }
  return {
    clients,
    services: {
      data: clients.data.service,
      tableAdmin: clients.tableAdmin.service,
      instanceAdmin: clients.instanceAdmin.service,
    },
  }
}
