import { stringify } from 'yaml'

const stream = (table: string) => ({
  arn: `arn:aws:dynamodb:eu-west-1:123456789012:table/${table}/stream/2026-01-01T00:00:00.000`,
  epoch: 1,
})
/** A replica with a prefix; in `prod` with tables and an app profile, in `bare` with a table and none. */
const file = {
  formatVersion: 1,
  source: { account: '123456789012', region: 'eu-west-1' },
  replica: { project: 'replica-project', bucket: 'replica-bucket', prefix: 'team/' },
  buckets: [{ name: 'models' }],
  tables: [],
  stages: {
    prod: {
      replica: { project: 'prod-project', bigtableInstance: 'lifeboat', appProfile: 'lifeboat' },
      tables: [
        { name: 'features', streams: [stream('features')] },
        { name: 'Users.v2', target: 'users', streams: [stream('Users.v2')] },
      ],
    },
    bare: { replica: { bigtableInstance: 'lifeboat' }, tables: [{ name: 'features', streams: [stream('features')] }] },
  },
}
export const config = stringify(file)

/** The variables that `prod` needs. */
export const base = { stage: 'prod', region: 'europe-west1', bigtable_zone: 'europe-west1-b' }
