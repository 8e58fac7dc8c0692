import type { CreateTableCommandInput } from '@aws-sdk/client-dynamodb'
import { readFileSync } from 'node:fs'
import { parseDocument } from 'yaml'

type Template = { Resources: { LedgerTable: { Properties: CreateTableCommandInput } } }

/** The ledger's table as infra/aws/ledger.yml defines it, without its name. */
export const ledgerShape = (): Omit<CreateTableCommandInput, 'TableName'> => {
  const file = new URL('../../infra/aws/ledger.yml', import.meta.url)
  // CloudFormation's own tags, such as !Ref, are of no interest here.
  const document = parseDocument(readFileSync(file, 'utf8'), { logLevel: 'silent' })
  const { Properties } = (document.toJS() as Template).Resources.LedgerTable
  const { AttributeDefinitions, KeySchema, GlobalSecondaryIndexes, BillingMode, StreamSpecification } = Properties
  return { AttributeDefinitions, KeySchema, GlobalSecondaryIndexes, BillingMode, StreamSpecification }
}
