/** DynamoDB Streams as bare JSON: what a record carries on the wire is exactly what Lambda hands to a function. */
export type StreamRecord = {
  eventID: string
  eventName: string
  dynamodb: { SequenceNumber: string; ApproximateCreationDateTime: number; [field: string]: unknown }
  [field: string]: unknown
}
export type Shard = { ShardId: string; ParentShardId?: string }

export class StreamError extends Error {
  override readonly name = 'StreamError'
  readonly code: string

  constructor(operation: string, code: string, message: string) {
    super(`${operation}: ${code}: ${message}`)
    this.code = code
  }
}

export type StreamClient = {
  /** Every shard, all pages. */
  shards(arn: string): Promise<Shard[]>
  iterator(input: Record<string, string>): Promise<string>
  /** `next` is undefined once a closed shard is read to its end. */
  records(iterator: string, limit: number): Promise<{ records: StreamRecord[]; next: string | undefined }>
}

type Identity = { PrincipalId?: string; Type?: string }

const toLambdaRecord = (record: StreamRecord & { userIdentity?: Identity }, arn: string): StreamRecord => {
  const { userIdentity, ...rest } = record
  const identity = userIdentity && { principalId: userIdentity.PrincipalId, type: userIdentity.Type }
  return { ...rest, ...(identity ? { userIdentity: identity } : {}), eventSourceARN: arn }
}

export const createStreamClient = (endpoint: string, region: string, arn: string): StreamClient => {
  const call = async <T>(operation: string, input: object): Promise<T> => {
    const response = await fetch(endpoint, {
      method: 'POST',
      headers: {
        'content-type': 'application/x-amz-json-1.0',
        'x-amz-target': `DynamoDBStreams_20120810.${operation}`,
        'x-amz-date': new Date().toISOString().replaceAll(/[-:]|\.\d{3}/g, ''),
        authorization: `AWS4-HMAC-SHA256 Credential=runner/20260101/${region}/dynamodb/aws4_request, SignedHeaders=host, Signature=0`,
      },
      body: JSON.stringify(input),
    })
    const text = await response.text()
    if (response.ok) return JSON.parse(text) as T
    let code = `HTTP ${response.status}`
    try {
      code = ((JSON.parse(text) as { __type?: string }).__type ?? code).replace(/^.*#/, '')
    } catch {
      // A fault in between answers without JSON; the status says it all.
    }
    throw new StreamError(operation, code, text.slice(0, 500))
  }
  return {
    shards: async (StreamArn) => {
      const shards: Shard[] = []
      let ExclusiveStartShardId: string | undefined
      do {
        const { StreamDescription: page } = await call<{
          StreamDescription: { Shards?: Shard[]; LastEvaluatedShardId?: string }
        }>('DescribeStream', { StreamArn, ExclusiveStartShardId })
        shards.push(...(page.Shards ?? []))
        ExclusiveStartShardId = page.LastEvaluatedShardId
      } while (ExclusiveStartShardId)
      return shards
    },
    iterator: async (input) => (await call<{ ShardIterator: string }>('GetShardIterator', input)).ShardIterator,
    records: async (ShardIterator, Limit) => {
      const page = await call<{ Records?: StreamRecord[]; NextShardIterator?: string }>('GetRecords', {
        ShardIterator,
        Limit,
      })
      return {
        records: (page.Records ?? []).map((record) => toLambdaRecord(record, arn)),
        next: page.NextShardIterator,
      }
    },
  }
}
