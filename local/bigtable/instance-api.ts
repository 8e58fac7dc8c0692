import { exists, invalid, notFound } from './api-error.ts'
import type { Unary } from './calls.ts'
import type { Store } from './store.ts'

type Body = Record<string, unknown>
type CreateInstanceRequest = {
  parent?: string
  instanceId?: string
  instance?: Body | null
  clusters?: Record<string, Body>
}
type CreateAppProfileRequest = { parent?: string; appProfileId?: string; appProfile?: Body | null }
type Named = { name?: string }
type Listing = { parent?: string }

const require = (store: Store, { name = '' }: Named): unknown => {
  const body = store.resource(name)
  if (body === undefined) throw notFound(`${name} not found`)
  return body
}

const put = (store: Store, name: string, body: Body): Body => {
  if (store.resource(name) !== undefined) throw exists(`${name} already exists`)
  const named = { ...body, name }
  store.putResource({ name, body: named })
  return named
}

/** Nothing takes time here: the operation is answered as done. */
const createInstance = (
  store: Store,
  request: CreateInstanceRequest,
  serialize: (instance: unknown) => Buffer,
): unknown => {
  const { parent = '', instanceId = '', clusters = {} } = request
  if (!/^projects\/[^/]+$/.test(parent)) throw invalid(`no parent of an instance: "${parent}"`)
  if (!/^[a-z][-a-z0-9]{5,32}$/.test(instanceId)) throw invalid(`no instance id: "${instanceId}"`)
  if (Object.keys(clusters).length === 0) throw invalid('an instance needs a cluster')
  const name = `${parent}/instances/${instanceId}`
  return store.transaction(() => {
    const instance = put(store, name, { ...request.instance, state: 'READY' })
    for (const [id, cluster] of Object.entries(clusters))
      put(store, `${name}/clusters/${id}`, { ...cluster, state: 'READY' })
    const value = serialize(instance)
    return {
      name: `operations/${name}/create`,
      done: true,
      result: 'response',
      response: { type_url: 'type.googleapis.com/google.bigtable.admin.v2.Instance', value },
    }
  })
}

const deleteInstance = (store: Store, named: Named): object => {
  require(store, named)
  const name = named.name ?? ''
  store.transaction(() => {
    for (const table of store.tables()) if (table.name.startsWith(`${name}/tables/`)) store.deleteTable(table)
    for (const kind of ['clusters', 'appProfiles'])
      for (const part of store.resources(`${name}/${kind}/`)) store.deleteResource(part.name)
    store.deleteResource(name)
  })
  return {}
}

const createAppProfile = (store: Store, request: CreateAppProfileRequest): Body => {
  const { parent = '', appProfileId = '', appProfile } = request
  require(store, { name: parent })
  if (!appProfile?.['routingPolicy']) throw invalid('an app profile needs a routing policy')
  return put(store, `${parent}/appProfiles/${appProfileId}`, { ...appProfile, etag: '1' })
}

const list = (store: Store, { parent = '' }: Listing, kind: string): unknown[] =>
  store.resources(`${parent}/${kind}/`).map(({ body }) => body)

/** Instances, clusters and app profiles, made, read and deleted but not changed. Tables need no instance. */
export const createInstanceApi = (
  store: Store,
  serializeInstance: (instance: unknown) => Buffer,
): { unary: Record<string, Unary> } => ({
  unary: {
    CreateInstance: (request: CreateInstanceRequest) => createInstance(store, request, serializeInstance),
    GetInstance: (request: Named) => require(store, request),
    ListInstances: (request: Listing) => ({ instances: list(store, request, 'instances') }),
    DeleteInstance: (request: Named) => deleteInstance(store, request),
    GetCluster: (request: Named) => require(store, request),
    ListClusters: (request: Listing) => ({ clusters: list(store, request, 'clusters') }),
    CreateAppProfile: (request: CreateAppProfileRequest) => createAppProfile(store, request),
    GetAppProfile: (request: Named) => require(store, request),
    ListAppProfiles: (request: Listing) => ({ appProfiles: list(store, request, 'appProfiles') }),
    DeleteAppProfile: (request: Named) => {
      require(store, request)
      store.deleteResource(request.name ?? '')
      return {}
    },
  },
})
