import { s3Contract } from './s3-contract.ts'
import { startEmbedded } from './s3-support.ts'

s3Contract('embedded', startEmbedded, { knownBugs: {} })
