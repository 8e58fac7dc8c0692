import type { Template } from '../local/lambda/template.ts'
import { cloudFormationActions, doctorReasons, terraformRoles } from './permission-deploy.ts'
import { grantReasons, reasons, serviceReasons } from './permission-reasons.ts'
import { type FunctionRows, functionRows, type Row, serviceRows, type ServiceRow } from './permission-rows.ts'

/** docs/permissions.md of a compiled template and of what infra/gcp says. */

type Identity = { title: string; used_by: string; functions?: string[]; permissions: string[] }
type Doctor = { aws: { Statement: { Action: string[]; Resource: string }[] }; google: string[] }
export type Sources = {
  template: Template
  stage: string
  identities: Record<string, Identity>
  /** Terraform's resources: type, then name, then bodies. */
  terraform: Record<string, Record<string, { role?: unknown }[]>>
  doctor?: Doctor
}
export type Permissions = { text: string; unexplained: string[]; unused: string[] }

const code = (text: string): string => `\`${text}\``
const codes = (text: string): string => text.split(', ').map(code).join(', ')
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n')

/** Looks reasons up and remembers what was found, and what was not. */
const createLookup = () => {
  const used = new Map<object, Set<string>>()
  const unexplained = new Set<string>()
  const find = <T>(all: Readonly<Record<string, T>>, keys: readonly string[]): T | undefined => {
    const key = keys.find((one) => Object.hasOwn(all, one))
    if (key === undefined) {
      unexplained.add(keys[0] ?? '')
      return undefined
    }
    used.set(all, (used.get(all) ?? new Set()).add(key))
    return all[key]
  }
  const unusedOf = (all: Readonly<Record<string, unknown>>): string[] =>
    Object.keys(all).filter((key) => !used.get(all)?.has(key))
  return { find, unexplained, unusedOf }
}
type Lookup = ReturnType<typeof createLookup>

const keyOf = ({ sid, action, when }: Row, on: string): string => JSON.stringify([sid, action, on, when])
const shared = ({ name }: FunctionRows, row: Row): string =>
  keyOf(row, row.on.replaceAll(new RegExp(`\\b${name}\\b`, 'g'), 'FUNCTION'))

/** What every function has, with its own name as FUNCTION. */
const commonKeys = (functions: readonly FunctionRows[]): Set<string> => {
  const sets = functions.map((one) => new Set(one.rows.map((row) => shared(one, row))))
  return new Set([...(sets[0] ?? [])].filter((key) => sets.every((set) => set.has(key))))
}

const rowCells = (lookup: Lookup, name: string, row: Row): string[] => {
  const { sid, action, on, when } = row
  const why = lookup.find(reasons, [`${name} ${sid} ${action}`, `${sid} ${action}`, action]) ?? '?'
  return [code(action), on, when === '' ? '' : `with ${when}`, why]
}
const head = ['action', 'on', 'only', 'why']

const googleCells = (lookup: Lookup, identity: string, permission: string): string[] => {
  const why = lookup.find(reasons, [`${identity} ${permission}`, permission]) ?? '?'
  return [code(permission), permission.startsWith('bigtable.') ? 'the Bigtable instance' : 'the bucket', why]
}
const googleTable = (lookup: Lookup, identity: string, { permissions }: Identity): string =>
  table(
    ['permission', 'on', 'why'],
    permissions.map((permission) => googleCells(lookup, identity, permission)),
  )

const functionSection = (lookup: Lookup, one: FunctionRows, sources: Sources, common: Set<string>): string => {
  const own = one.rows.filter((row) => !common.has(shared(one, row)))
  return `### ${one.name}

Role ${code(one.role)}, which becomes [${code(one.serviceAccount)}](#${one.serviceAccount}) at Google: ${codes(
    sources.identities[one.serviceAccount]?.permissions.join(', ') ?? '?',
  )}.

${table(
  head,
  own.map((row) => rowCells(lookup, one.name, row)),
)}`
}

const functionsSection = (lookup: Lookup, sources: Sources): string => {
  const functions = functionRows(sources.template, sources.stage)
  const common = commonKeys(functions)
  const [first] = functions
  const every = first
    ? first.rows
        .filter((row) => common.has(shared(first, row)))
        .map((row) => rowCells(lookup, 'FUNCTION', { ...row, on: row.on.replaceAll(first.name, 'FUNCTION') }))
    : []
  return ['### Every function', table(head, every)]
    .concat(functions.map((one) => functionSection(lookup, one, sources, common)))
    .join('\n\n')
}

const identitySection = (lookup: Lookup, name: string, identity: Identity): string => {
  const by = identity.functions ? `the functions ${codes(identity.functions.join(', '))}` : identity.used_by
  return `### ${name}\n\nUsed by ${by}.\n\n${googleTable(lookup, name, identity)}`
}

const serviceCells = (lookup: Lookup, row: ServiceRow): string[] => {
  const keys = [`${row.resource} ${row.sid}`.trim(), row.action]
  return [row.who, code(row.action), row.on, row.only, lookup.find(serviceReasons, keys) ?? '?']
}

const grantsSection = (lookup: Lookup, { terraform }: Sources): string => {
  const grants = Object.entries(terraform)
    .filter(([type]) => /_iam_(member|binding|policy)$/.test(type))
    .flatMap(([type, named]) =>
      Object.entries(named).map(([name, [body]]) => {
        const address = `${type}.${name}`
        const role = String(body?.role)
        const { who, on, why } = lookup.find(grantReasons, [address]) ?? { who: '?', on: '?', why: '?' }
        return [code(address), who, role.startsWith('roles/') ? code(role) : 'its custom role', on, why]
      }),
    )
  return table(['in Terraform', 'who', 'role', 'on', 'why'], grants)
}

const deploySection = (lookup: Lookup, { template, terraform }: Sources): string => {
  const types = [...new Set(Object.values(template.Resources).map(({ Type }) => Type))].toSorted()
  const roles = [
    ...new Set(Object.keys(terraform).map((type) => lookup.find(terraformRoles, [type]) ?? '?')),
  ].toSorted()
  return `\`npx serverless deploy\` acts as whoever runs it. For the stack itself: \`cloudformation:CreateStack, UpdateStack, DeleteStack, CreateChangeSet,
ExecuteChangeSet, DescribeStacks, DescribeStackEvents, DescribeStackResource, ListStackResources, ValidateTemplate\` on \`lifeboat-STAGE\`. CloudFormation makes the resources with the
same credentials, or with a role of its own that you give it:

${table(
  ['type', 'needs'],
  types.map((type) => [code(type), lookup.find(cloudFormationActions, [type]) ?? '?']),
)}

\`terraform apply\` acts as whoever runs it, in the project of the replica alone. An owner of the project can; without owners these roles:
${roles.map(code).join(', ')},
and \`roles/iam.serviceAccountUser\` on the identities of the jobs, since Cloud Run and Cloud Scheduler run as them.

Both lists are from the documentation of the services. Neither was tried on a real account: expect that one is missing, and that the refusal names it.`
}

const doctorSection = (lookup: Lookup, { aws, google }: Doctor): string => `## lifeboat doctor

For the person who runs it, on both sides; it changes nothing. [infra/aws/doctor-policy.json](../infra/aws/doctor-policy.json) and
[infra/gcp/doctor-role.yaml](../infra/gcp/doctor-role.yaml) hold them.

${table(
  ['action', 'on', 'why'],
  [
    ...aws.Statement.flatMap(({ Action, Resource }) => Action.map((action) => [action, code(Resource)] as const)),
    ...google.map((permission) => [permission, 'the project'] as const),
  ].map(([action, on]) => [code(action), on, lookup.find(doctorReasons, [action]) ?? '?']),
)}

`

const introduction = `# Permissions

Everything that Lifeboat may do, and why. Generated by \`npm run permissions\` from the compiled CloudFormation template and from
[infra/gcp](../infra/gcp/README.md); a test compares. The configuration has a bucket \`BUCKET\` with the prefix \`PREFIX/\`, a table \`TABLE\`, canaries in both, and keys of its own:
*only* says which parameter or setting a line hangs on. No role has an action with a wildcard; every resource with one is in a reviewed list of the tests.

## Functions on AWS

One role for each function, \`lifeboat-STAGE-REGION-FUNCTION\`, which Lambda alone may assume.`

const people = `## People

| who | needs | why |
| --- | --- | --- |
| who restores, and reads \`ls\`, \`rows\`, \`status\`, \`rpo\`, \`trace\`, \`validate\` | to be one of \`restorer_members\`, or the same permissions | the replica alone is read |
| who runs \`redrive\` | \`lambda:InvokeFunction\` on \`lifeboat-STAGE-redrive\` | the function does the work |
| who runs \`diff\` | \`lambda:InvokeFunction\` on \`lifeboat-STAGE-compareRows\` | the function does the work |
| who redrives dead letters | \`sqs:StartMessageMoveTask\`, \`ReceiveMessage\`, \`DeleteMessage\`, \`GetQueueAttributes\` on the dead-letter queue, \`SendMessage\` on its queue | SQS moves them as that person |
| who collects | to be one of \`collector_members\` | nobody else can delete; no command of this version does |`

/** The document, what has no reason, and the reasons that nothing needs. */
export const permissionsDocument = (sources: Sources): Permissions => {
  const lookup = createLookup()
  const { identities, template, doctor } = sources
  const functions = functionsSection(lookup, sources)
  const identityList = Object.entries(identities).map(([name, identity]) => identitySection(lookup, name, identity))
  const services = serviceRows(template).map((row) => serviceCells(lookup, row))
  const text = `${introduction}

${functions}

## Services of AWS

What others may do with what the stack has.

${table(['who', 'action', 'on', 'only', 'why'], services)}

## Identities at Google

A service account and custom roles for each of [roles.json](../infra/gcp/roles.json), granted on the bucket and on the Bigtable instance, never on the project; the embedded GCS of the tests
enforces the same file. No key is made.

${identityList.join('\n\n')}

## What Terraform grants

${grantsSection(lookup, sources)}

${people}

${doctor ? doctorSection(lookup, doctor) : ''}## To deploy

${deploySection(lookup, sources)}
`
  const tables = [reasons, serviceReasons, grantReasons, cloudFormationActions, terraformRoles]
  const unused = [...tables, ...(doctor ? [doctorReasons] : [])].flatMap((all) => lookup.unusedOf(all))
  return { text: placeholders(text, sources.stage), unexplained: [...lookup.unexplained], unused }
}

const placeholders = (text: string, stage: string): string =>
  text
    .replaceAll(`lifeboat-${stage}-`, 'lifeboat-STAGE-')
    .replaceAll('eu-west-1', 'REGION')
    .replaceAll('123456789012', 'ACCOUNT')
    .replaceAll('s3:::bucket', 's3:::BUCKET')
