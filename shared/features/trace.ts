import { hash } from 'node:crypto'

/** 32 hex digits that name a change in logs and in `lifeboat trace`. */
export const changeTraceId = (streamArn: string, sequenceNumber: string): string =>
  hash('sha256', JSON.stringify([streamArn, sequenceNumber]), 'hex').slice(0, 32)
