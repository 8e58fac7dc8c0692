/** The lifeboat.yml that `lifeboat config init` writes. Values are quoted as JSON strings, which YAML reads too. */

export type ConfigValues = {
  account: string
  region: string
  bucket: string
  replicaBucket: string
  project: string
}

export const configTemplate = (values: ConfigValues): string => {
  const quoted = (key: keyof ConfigValues): string => JSON.stringify(values[key])
  return `# What Lifeboat replicates, from where to where. "lifeboat config check" reads it back.
formatVersion: 1

source:
  account: ${quoted('account')}
  region: ${quoted('region')}

replica:
  project: ${quoted('project')}
  bucket: ${quoted('replicaBucket')}
  # All names in the bucket begin with this; empty, or ended by a slash.
  prefix: ""
  # Needed once there are tables.
  # bigtableInstance: features
  # appProfile: lifeboat

buckets:
  - name: ${quoted('bucket')}
    # Only keys below this prefix; empty, or ended by a slash.
    prefix: ""
    release:
      # Which keys make one version of a model. Without {version} it is the time and content of the publish.
      path: "{model}/{version}/**"
      # The file that a publish writes last, beside the well-known ones (_PUBLISH.json, _SUCCESS, MLmodel, *.index.json).
      # marker: DONE
      # Without any marker: complete when nothing has changed for so long.
      quietMinutes: 60

# tables:
#   - name: user-features
#     # The epoch grows with every new stream of the table.
#     streams:
#       - arn: arn:aws:dynamodb:${values.region}:${values.account}:table/user-features/stream/2026-01-01T00:00:00.000
#         epoch: 1

rpo:
  objectsMinutes: 15
  rowsSeconds: 60

retention:
  # Nobody can delete what is sealed for so long; Locked can never be shortened.
  days: 30
  mode: Unlocked

# budget:
#   sentGiBPerDay: 500

# What differs in a stage, field by field:
# stages:
#   prod:
#     retention:
#       days: 365
`
}
