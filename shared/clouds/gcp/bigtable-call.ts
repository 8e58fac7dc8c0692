import { type Client, Metadata, type MethodDefinition, type ServiceError } from '@grpc/grpc-js'
import { type Bigtable, requestTimeoutMs } from './bigtable-client.ts'

/**
 * Calls on the generated client's own stub, which has its channel and credentials. What is left out are the layers above
 * (settings, retries, logs), which cost about as much as a small call itself. `rest` are fields in protobuf that `request`
 * leaves out: they are sent behind it.
 */
type Call = {
  request: { tableName: string; appProfileId: string; [field: string]: unknown }
  rest: readonly Uint8Array[]
}
type Stub = Client & Record<string, MethodDefinition<object, object>>

/** Bigtable routes by it: https://google.aip.dev/client-libraries/4222 */
const routing = ({ tableName, appProfileId }: Call['request']): string =>
  `table_name=${encodeURIComponent(tableName)}&app_profile_id=${encodeURIComponent(appProfileId)}`

const asIs = (bytes: Buffer): Buffer => bytes

const prepare = async (bigtable: Bigtable, method: string, { request, rest }: Call) => {
  const stub = (await bigtable.client.initialize()) as unknown as Stub
  const definition = stub[method]
  if (!definition) throw new Error(`the client of Bigtable has no ${method}`)
  const metadata = new Metadata()
  metadata.set('x-goog-request-params', routing(request))
  for (const [name, value] of Object.entries(bigtable.headers)) metadata.set(name, value)
  return {
    stub,
    path: definition.path,
    deserialize: definition.responseDeserialize,
    bytes: Buffer.concat([definition.requestSerialize(request), ...rest]),
    metadata,
    options: { deadline: Date.now() + requestTimeoutMs },
  }
}

/** One attempt, and its one answer. */
export const callOnce = async <T extends object>(bigtable: Bigtable, method: string, call: Call): Promise<T> => {
  const { stub, path, deserialize, bytes, metadata, options } = await prepare(bigtable, method, call)
  return new Promise((resolve, reject) => {
    const settle = (error: ServiceError | null, answer?: object): void =>
      error ? reject(error) : resolve((answer ?? {}) as T)
    stub.makeUnaryRequest(path, asIs, deserialize, bytes, metadata, options, settle)
  })
}

/** One attempt, and its answers as they come. */
export const callStream = async <T extends object>(
  bigtable: Bigtable,
  method: string,
  call: Call,
): Promise<AsyncIterable<T> & { cancel(): void }> => {
  const { stub, path, deserialize, bytes, metadata, options } = await prepare(bigtable, method, call)
  return stub.makeServerStreamRequest(path, asIs, deserialize, bytes, metadata, options) as AsyncIterable<T> & {
    cancel(): void
  }
}
