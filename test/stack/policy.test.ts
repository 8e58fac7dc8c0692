import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { packageStack } from '../../local/lambda/package.ts'
import type { Template } from '../../local/lambda/template.ts'
import { parseConfig } from '../../shared/config.ts'
import { identities } from '../../tools/stack-settings.ts'
import { type Raw, rules, type Rule, violations } from '../support/policy-violations.ts'
import { ofType, type Properties, type Viewed, viewTemplate } from '../support/template-view.ts'

/** What the compiled template may not do, and that each of these rules can fail. */

const streamOf = (month: string): string =>
  `arn:aws:dynamodb:us-east-1:111122223333:table/features/stream/2026-${month}-01T00:00:00.000`
const configText = JSON.stringify({
  formatVersion: 1,
  source: { account: '111122223333', region: 'us-east-1' },
  replica: { project: 'lifeboat-local', bucket: 'replica', bigtableInstance: 'lifeboat-rows' },
  buckets: [{ name: 'models', prefix: 'm*/', canary: 'lifeboat-canary' }, { name: 'plain' }],
  tables: [
    {
      name: 'features',
      canary: { partition: 'lifeboat' },
      streams: [
        { arn: streamOf('01'), epoch: 1 },
        { arn: streamOf('02'), epoch: 2 },
      ],
    },
  ],
})

let dir: string
let text: string
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), 'lifeboat-policy-'))
  const configFile = join(dir, 'lifeboat.yml')
  writeFileSync(configFile, configText)
  const { buildDir } = await packageStack({ configFile, stage: 'prod', cacheDir: join(dir, 'cache') })
  text = readFileSync(join(buildDir, '../.serverless/cloudformation-template-update-stack.json'), 'utf8')
}, 180_000)
afterAll(() => rmSync(dir, { recursive: true, force: true }))

const ownKeys = [true, false]
const view = (template: Template, ownKey: boolean): Viewed[] =>
  viewTemplate(template, {
    OwnKey: ownKey,
    SourceKeys: ownKey,
    BackfillExports: ownKey,
    OwnPageTopic: true,
    OwnTicketTopic: true,
    OwnTopic: true,
  })

describe('the compiled template', () => {
  it.each(Object.keys(rules) as Rule[])('breaks no rule of %s, with a key of its own or without', (rule) => {
    const template = JSON.parse(text) as Raw
    for (const ownKey of ownKeys) expect(rules[rule](view(template, ownKey), ownKey)).toEqual([])
  })

  it('gives every function the role and the Google account that infra/gcp binds', () => {
    const resources = view(JSON.parse(text) as Raw, false)
    const config = parseConfig(configText, { stage: 'prod', file: 'lifeboat.yml' })
    const found = ofType(resources, 'AWS::Lambda::Function').map(({ name, properties }) => {
      const { Variables } = properties['Environment'] as { Variables: Properties }
      const role = name.replace('LambdaFunction', 'Role')
      return [
        String(properties['FunctionName']).replace('lifeboat-prod-', ''),
        {
          roleName: resources.find((one) => one.name === role)?.properties['RoleName'],
          serviceAccount: Variables['GCP_SERVICE_ACCOUNT'],
        },
      ]
    })
    expect(Object.fromEntries(found)).toEqual(identities(config, 'prod'))
  })
})

describe('a rule finds what is planted', () => {
  it.each(violations)('%s: %s', (rule, _what, plant, named) => {
    const template = JSON.parse(text) as Raw
    plant(template)
    const found = ownKeys.filter((ownKey) => rules[rule](view(template, ownKey), ownKey).join('\n').includes(named))
    // Without a key of the stack's a table and a log group have one of AWS's, which cannot be left out.
    expect(found).toEqual(rule === 'encryption' && /Table|LogGroup/.test(named) ? [true] : ownKeys)
  })

  it('and every rule has a violation', () => {
    expect(new Set(violations.map(([rule]) => rule))).toEqual(new Set(Object.keys(rules)))
  })
})
