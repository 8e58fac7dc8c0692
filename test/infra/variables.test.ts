import { afterAll, expect, test } from 'vitest'
import { base, config } from './example.ts'
import { parseFile } from './hcl.ts'
import { openTerraform } from './terraform.ts'

const terraform = await openTerraform()
afterAll(() => terraform?.close())

test.skipIf(!terraform)('a wrong variable is refused with what is allowed', async () => {
  const wrong: [string, unknown, string][] = [
    ['stage', 'Prod', 'A stage is up to 20'],
    ['region', 'EU', 'Give one region'],
    ['bigtable_zone', 'us-east1-b', 'must be in the region'],
    ['bigtable_zone', null, 'set bigtable_zone'],
    ['bigtable_nodes', { min: 1, max: 11 }, 'at most ten times'],
    ['storage_class', 'ARCHIVE', 'STANDARD or NEARLINE'],
    ['soft_delete_days', 3, '0, or 7 to 90'],
    ['noncurrent_days', 0, 'At least one whole day'],
    ['kms_key_name', 'projects/p/locations/us/keyRings/r/cryptoKeys/k', 'A key in the region'],
    ['pool_id', 'gcp-pool', 'not beginning with gcp-'],
    ['restorer_members', ['allUsers'], 'Each is user:'],
    ['collector_members', ['allAuthenticatedUsers'], 'Each is user:'],
    ['image', 'europe-west1-docker.pkg.dev/p/lifeboat/command:latest', 'a tag can be moved'],
    ['watch_schedule', 'every minute', 'Five fields'],
    ['scrub_schedule', '', 'Five fields'],
    ['notification_channels', ['ops@example.com'], 'notificationChannels/ID'],
  ]
  const refused = await terraform?.evaluate(
    Object.fromEntries(
      wrong.map(([name, value], at) => [`wrong${at}`, { config, variables: { ...base, [name]: value } }]),
    ),
  )
  for (const [at, [name, , allowed]] of wrong.entries()) {
    const { refusals, resources } = refused![`wrong${at}`]!
    expect({ name, text: refusals.join('\n') }).toEqual({ name, text: expect.stringContaining(allowed) })
    expect({ name, resources }).toEqual({ name, resources: [] })
  }
})

test.skipIf(!terraform)('the variables of the example stages are accepted', async () => {
  for (const stage of ['dev', 'prod']) {
    const variables = parseFile(`stages/${stage}.tfvars`)
    expect(variables).toMatchObject({ stage, region: base.region, bigtable_zone: base.bigtable_zone })
    const evaluated = await terraform!.evaluate({ [stage]: { config, variables } })
    // All that Terraform refuses is to take the bucket down again.
    expect(evaluated[stage]?.refusals.map((text) => text.split(':')[0])).toEqual(['Instance cannot be destroyed'])
  }
})
