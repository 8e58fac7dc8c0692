import { readFileSync } from 'node:fs'
import { ApiError } from './api-error.ts'

/** Role name -> what it may do; the shape of infra/gcp/roles.json. A principal's role is the local part of its name. */
export type RoleTable = Record<string, { permissions: string[] }>

/** Who calls. `need` throws GCS's 403 where the permission is missing. */
export type Caller = {
  name: string
  has(permission: string): boolean
  need(permission: string): void
}

const ADMIN = 'lifeboat-admin'

export const projectRoles = (): RoleTable =>
  JSON.parse(readFileSync(new URL('../../infra/gcp/roles.json', import.meta.url), 'utf8')) as RoleTable

export const denied = (principal: string, permission: string): ApiError => {
  const what = permission.startsWith('storage.objects.') && permission !== 'storage.objects.list' ? 'object' : 'bucket'
  return new ApiError(
    403,
    'forbidden',
    `${principal} does not have ${permission} access to the Google Cloud Storage ${what}. ` +
      `Permission '${permission}' denied on resource (or it may not exist).`,
  )
}

/** The principal called `name` (an e-mail or its local part), or undefined when no role bears its name. */
export const findCaller = (roles: RoleTable, name: string): Caller | undefined => {
  const role = name.split('@')[0] ?? ''
  const permissions = Object.hasOwn(roles, role) ? new Set(roles[role]?.permissions) : undefined
  if (!permissions && role !== ADMIN) return undefined
  const has = (permission: string): boolean => role === ADMIN || permissions?.has(permission) === true
  return {
    name,
    has,
    need: (permission) => {
      if (!has(permission)) throw denied(name, permission)
    },
  }
}

/** Throws 401 unless the header carries a bearer token that names a principal. */
export const authenticate = (roles: RoleTable, authorization: string | undefined): Caller => {
  const token = /^Bearer (.+)$/i.exec(authorization ?? '')?.[1]
  if (token === undefined)
    throw new ApiError(401, 'required', 'Anonymous caller does not have storage access: login required.')
  const caller = findCaller(roles, token.trim())
  if (!caller) throw new ApiError(401, 'authError', 'Invalid Credentials')
  return caller
}
