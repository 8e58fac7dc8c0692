import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parse } from 'yaml'
import { packageStack } from '../local/lambda/package.ts'
import { readHcl } from '../test/infra/hcl.ts'
import { permissionsDocument, type Sources } from './permissions-document.ts'

/** `npm run permissions` writes docs/permissions.md. */

const root = join(import.meta.dirname, '..')
const read = (file: string): string => readFileSync(join(root, file), 'utf8')

/** With everything that a permission hangs on; the names stand for the reader's own. */
const config = {
  formatVersion: 1,
  source: { account: '123456789012', region: 'eu-west-1' },
  replica: { project: 'project', bucket: 'replica', bigtableInstance: 'lifeboat', appProfile: 'lifeboat' },
  buckets: [{ name: 'bucket', prefix: 'PREFIX/', canary: 'CANARY' }],
  tables: [
    {
      name: 'TABLE',
      canary: { partition: 'lifeboat-canary', sort: '0' },
      streams: [
        { arn: 'arn:aws:dynamodb:eu-west-1:123456789012:table/TABLE/stream/2026-01-01T00:00:00.000', epoch: 1 },
      ],
    },
  ],
}

const readDoctor = (): Sources['doctor'] => {
  if (!existsSync(join(root, 'infra/aws/doctor-policy.json'))) return undefined
  const { includedPermissions } = parse(read('infra/gcp/doctor-role.yaml')) as { includedPermissions: string[] }
  return { aws: JSON.parse(read('infra/aws/doctor-policy.json')), google: includedPermissions }
}

/** The repository as it is now: packages the stack, which takes half a minute. */
export const readSources = async (): Promise<Sources> => {
  const dir = mkdtempSync(join(tmpdir(), 'lifeboat-permissions-'))
  try {
    const configFile = join(dir, 'lifeboat.yml')
    writeFileSync(configFile, JSON.stringify(config))
    const stage = 'prod'
    const { template } = await packageStack({ configFile, stage, cacheDir: join(dir, 'cache') })
    const doctor = readDoctor()
    return {
      template,
      stage,
      identities: JSON.parse(read('infra/gcp/roles.json')) as Sources['identities'],
      terraform: readHcl().resource,
      ...(doctor && { doctor }),
    }
  } finally {
    rmSync(dir, { recursive: true, force: true })
  }
}

if (import.meta.main) {
  const { text, unexplained, unused } = permissionsDocument(await readSources())
  if (unexplained.length + unused.length > 0)
    throw new Error(
      `tools/permission-*.ts: without a reason: ${unexplained.join(', ')}; not used: ${unused.join(', ')}`,
    )
  writeFileSync(join(root, 'docs/permissions.md'), text)
}
