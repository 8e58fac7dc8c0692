import type { Template } from '../local/lambda/template.ts'

/** What a compiled template allows, as rows of text: who, which action, on what, and when. */

export type Row = {
  /** The statement's Sid, by which a reason is looked up. */
  sid: string
  action: string
  on: string
  /** The template's condition under which the statement is there; empty where it always is. */
  when: string
}
export type FunctionRows = { name: string; role: string; serviceAccount: string; rows: Row[] }
export type ServiceRow = Row & { resource: string; who: string; only: string }

type Properties = Record<string, unknown>
type Statement = {
  Sid?: string
  Effect: string
  Principal?: unknown
  Action: string | string[]
  Resource?: unknown
  Condition?: Record<string, Record<string, unknown>>
}
type Document = { Statement: (Statement | { 'Fn::If': [string, Statement, unknown] })[] }

const listOf = <T>(value: T | T[]): T[] => (Array.isArray(value) ? value : [value])

const nameFields: Record<string, string> = {
  'AWS::SQS::Queue': 'QueueName',
  'AWS::DynamoDB::Table': 'TableName',
  'AWS::S3::Bucket': 'BucketName',
  'AWS::SNS::Topic': 'TopicName',
  'AWS::Events::Rule': 'Name',
  'AWS::Lambda::Function': 'FunctionName',
}
const pseudo = { Partition: 'aws', Region: 'REGION', AccountId: 'ACCOUNT' }

/** Text of a value: resources by the names they are given, parameters by theirs. */
const render = ({ Resources }: Template, value: unknown): string => {
  const physical = (logical: string): string => {
    const resource = Resources[logical]
    const name = resource?.Properties[nameFields[resource.Type] ?? '']
    return name === undefined ? logical : text(name)
  }
  const substituted = (template: string): string =>
    template
      .replaceAll(/\$\{AWS::(\w+)\}/g, (_, name: string) => pseudo[name as keyof typeof pseudo] ?? name)
      .replaceAll(/\$\{(\w+)\.Arn\}/g, (_, logical: string) => physical(logical))
      .replaceAll(/\$\{!(.)\}/g, '$1')
  const text = (one: unknown): string => {
    if (typeof one !== 'object' || one === null) return String(one)
    const { 'Fn::GetAtt': attribute, 'Fn::Sub': sub, Ref, 'Fn::Join': join } = one as Record<string, unknown>
    if (typeof sub === 'string') return substituted(sub)
    if (Array.isArray(attribute)) {
      const [logical, field] = attribute as [string, string]
      return field === 'StreamArn' ? `the stream of ${physical(logical)}` : physical(logical)
    }
    if (Array.isArray(join)) return (join[1] as unknown[]).map(text).join('')
    if (typeof Ref === 'string')
      return Ref.startsWith('AWS::') ? substituted(`\${${Ref}}`) : (parameters[Ref] ?? physical(Ref))
    return JSON.stringify(one)
  }
  return text(value)
}

/** CloudFormation's name -> the name in params.yml. */
const parameters: Record<string, string> = {
  KmsKeyArn: 'the key of kmsKeyArn',
  SourceKmsKeyArns: 'the keys of sourceKmsKeyArns',
}
const conditions: Record<string, string> = { OwnKey: 'kmsKeyArn', SourceKeys: 'sourceKmsKeyArns' }

const only = (template: Template, condition: Statement['Condition']): string =>
  Object.entries(condition ?? {})
    .flatMap(([operator, fields]) =>
      Object.entries(fields).map(
        ([key, value]) =>
          `\`${key}\` ${operator} ${listOf(value)
            .map((one) => marked(render(template, one)))
            .join(', ')}`,
      ),
    )
    .join('; ')

/** Markdown would take the stars of a name for emphasis. */
const marked = (name: string): string => (name.startsWith('the ') ? name : `\`${name}\``)

type Found = Statement & { when: string }
const statementsOf = (document: unknown): Found[] =>
  (document as Document).Statement.map((one) => {
    if (!('Fn::If' in one)) return { ...one, when: '' }
    const [condition, statement] = one['Fn::If']
    return { ...statement, when: conditions[condition] ?? condition }
  })

const rowsOf = (template: Template, statement: Found): Row[] => {
  const { Sid = '', Action, Resource, Condition, when } = statement
  const resources = listOf(Resource).map((one) => render(template, one))
  const limits = only(template, Condition)
  const on = [...resources.map(marked), ...(limits === '' ? [] : [`only ${limits}`])].join(', ')
  return listOf(Action).map((action) => ({ sid: Sid, action, on, when }))
}

const documentsOf = (template: Template, role: string): { document: unknown; when: string }[] => {
  const own = (template.Resources[role]?.Properties['Policies'] ?? []) as { PolicyDocument: unknown }[]
  const apart = Object.values(template.Resources).filter(
    ({ Type, Properties }) =>
      Type === 'AWS::IAM::RolePolicy' && (Properties['RoleName'] as { Ref?: string }).Ref === role,
  )
  return [
    ...own.map(({ PolicyDocument }) => ({ document: PolicyDocument, when: '' })),
    ...apart.map(({ Properties }) => ({
      document: Properties['PolicyDocument'],
      when: String(Properties['PolicyName']),
    })),
  ]
}

/** Every function with all that its role may do. */
export const functionRows = (template: Template, stage: string): FunctionRows[] =>
  Object.values(template.Resources)
    .filter(({ Type }) => Type === 'AWS::Lambda::Function')
    .map(({ Properties }) => {
      const [, role = ''] = /^\$\{(\w+)\.Arn\}$/.exec((Properties['Role'] as { 'Fn::Sub': string })['Fn::Sub']) ?? []
      const { Variables } = Properties['Environment'] as { Variables: Properties }
      return {
        name: String(Properties['FunctionName']).replace(`lifeboat-${stage}-`, ''),
        role: String(template.Resources[role]?.Properties['RoleName']),
        serviceAccount: String(Variables['GCP_SERVICE_ACCOUNT']).replace(/@.*$/, ''),
        rows: documentsOf(template, role).flatMap(({ document, when }) =>
          statementsOf(document).flatMap((statement) =>
            rowsOf(template, { ...statement, when: [when, statement.when].filter((one) => one !== '').join(', ') }),
          ),
        ),
      }
    })

const whoOf = (template: Template, principal: unknown): string =>
  typeof principal === 'string'
    ? principal
    : Object.values(principal as Properties)
        .map((one) => render(template, one))
        .join(', ')

const documentFields: Record<string, string> = {
  'AWS::SQS::QueuePolicy': 'PolicyDocument',
  'AWS::SNS::TopicPolicy': 'PolicyDocument',
  'AWS::S3::BucketPolicy': 'PolicyDocument',
  'AWS::KMS::Key': 'KeyPolicy',
}

/** What services of AWS, the account and everyone may do with resources of the stack. */
export const serviceRows = (template: Template): ServiceRow[] =>
  Object.entries(template.Resources).flatMap(([resource, { Type, Properties }]) => {
    if (Type === 'AWS::Lambda::Permission') {
      const { FunctionName, Action, Principal, SourceArn } = Properties
      const on = marked(render(template, FunctionName))
      const source = `\`aws:SourceArn\` ${marked(render(template, SourceArn))}`
      return [{ resource, sid: '', action: String(Action), on, when: '', who: String(Principal), only: source }]
    }
    const field = documentFields[Type]
    if (field === undefined) return []
    return statementsOf(Properties[field]).flatMap((statement) => {
      const who = `${statement.Effect === 'Deny' ? 'denied to ' : ''}${whoOf(template, statement.Principal)}`
      const { Condition, ...rest } = statement
      const limits = only(template, Condition)
      return rowsOf(template, rest).map((row) => ({
        ...row,
        on: Type === 'AWS::KMS::Key' ? marked(resource) : row.on,
        resource,
        who,
        only: limits,
      }))
    })
  })
