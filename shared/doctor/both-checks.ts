import type { Config } from '../config.ts'
import { type Check, finding, ok, unknown, type Verdict } from './check.ts'
import { applyTerraform, deployStage } from './fixes.ts'
import { functionNames } from './functions.ts'
import type { ReplicaFacts, SourceFacts, SourceFunction } from './ports.ts'
import { placeOf } from './regions.ts'

export type BothDeps = { source: SourceFacts; replica: ReplicaFacts; config: Config; stage: string }

/** AWS refuses signatures that are 5 minutes off. Answers tell whole seconds, and take some time. */
const clockApartMsMax = 5000
const signatureMs = 5 * 60_000

const seconds = (ms: number): string => `${Math.round(ms / 1000)} s`

const clockCheck = ({ source, replica }: BothDeps): Check => ({
  id: 'clocks',
  side: 'both',
  subject: '',
  title: 'the clocks of both clouds agree',
  run: async () => {
    const [aws, google] = await Promise.all([source.clockAheadMs(), replica.clockAheadMs()])
    const apart = Math.abs(aws - google)
    const here = Math.max(Math.abs(aws), Math.abs(google))
    if (apart > clockApartMsMax)
      return finding(
        `they are ${seconds(apart)} apart: lags and times are off by as much`,
        'look at the status pages of both; nothing here can set them',
      )
    if (here > signatureMs / 5)
      return finding(
        `they agree, and this machine is ${seconds(here)} off`,
        'set the clock of this machine (NTP): a signature that is 5 minutes off is refused',
      )
    return ok(`within ${seconds(Math.max(apart, 1000))}`)
  },
})

const distanceVerdict = (source: string, replica: string): Verdict => {
  const [from, to] = [placeOf(source), placeOf(replica)]
  if (!from || !to) return unknown(`where ${from ? replica : source} is, this version does not know`)
  if (from.area === to.area)
    return finding(
      `${source} and ${replica} are both in ${from.area}: one disaster can take both`,
      'a bucket and an instance in another area; a location cannot be changed, so a new replica (replica.bucket) and a backfill',
    )
  if (to.area === 'many')
    return ok(`${source}, ${replica}: several regions of ${to.continent}, the nearest of which may be close`)
  const far =
    from.continent === to.continent
      ? ''
      : `; ${to.continent} is another continent: mind where data may be, and the latency`
  return ok(`${from.area} and ${to.area}${far}`)
}

const distanceCheck = ({ replica, config }: BothDeps): Check => ({
  id: 'distance',
  side: 'both',
  subject: '',
  title: 'source and replica are apart',
  run: async () => {
    const bucket = await replica.bucket()
    if (!bucket) return unknown('there is no bucket')
    return distanceVerdict(config.source.region, bucket.location)
  },
})

const placeholder = /\/projects\/0+\//

const roleNameOf = (arn: string): string => arn.split('/').at(-1) ?? ''

const loginVerdict = async (
  { replica, config, stage }: BothDeps,
  { roleArn, audience = '', serviceAccount = '' }: SourceFunction,
): Promise<Verdict> => {
  const apply = applyTerraform(stage)
  const redeploy = `${deployStage(stage)} --param="gcpWifAudience=$(terraform -chdir=infra/gcp output -raw wif_audience)"`
  if (audience === '' || placeholder.test(audience)) return finding('its audience is the placeholder', redeploy)
  const provider = await replica.provider(audience)
  if (!provider) return finding(`there is no provider ${audience}`, redeploy)
  if (!provider.isActive) return finding(`the provider ${audience} is disabled or deleted`, apply)
  if (provider.awsAccount !== config.source.account)
    return finding(
      `the provider takes AWS account ${provider.awsAccount ?? '(none)'}`,
      `the account is that of lifeboat.yml: correct source.account (${config.source.account}) where it is wrong, then ${apply}`,
    )
  const members = await replica.federatedMembers(serviceAccount)
  if (!members) return finding(`there is no service account ${serviceAccount}`, apply)
  const role = roleNameOf(roleArn)
  const isBound = members.some((member) => member.includes('/workloadIdentityPools/') && roleNameOf(member) === role)
  if (isBound) return ok(`${role} becomes ${serviceAccount}`)
  return finding(
    `${role} may not become ${serviceAccount}`,
    `${apply}: it grants roles/iam.workloadIdentityUser to the roles of this stage and region`,
  )
}

const loginChecks = (deps: BothDeps): Check[] =>
  functionNames(deps.config, deps.stage).map((name) => ({
    id: 'login',
    side: 'both',
    subject: name,
    title: 'the function can log in at Google',
    run: async () => {
      const found = await deps.source.deployed(name)
      return found ? loginVerdict(deps, found) : unknown('it is not deployed')
    },
  }))

/** What takes a look at both sides. */
export const bothChecks = (deps: BothDeps): Check[] => [...loginChecks(deps), clockCheck(deps), distanceCheck(deps)]
