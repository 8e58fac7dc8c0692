import { randomUUID } from 'node:crypto'
import { type Answer, type Call, change } from './call.ts'
import { invalidArgument, malformedXml, notImplemented } from './errors.ts'
import { announceTest, type QueueConfiguration, queuesOf } from './events.ts'
import { receiveText } from './receive.ts'
import { requireBucket } from './versions.ts'
import {
  children,
  childText,
  document,
  element,
  parseXml,
  requiredText,
  textOf,
  type Xml,
  type XmlNode,
} from './xml.ts'

const eventNames = new Set([
  's3:ObjectCreated:*',
  's3:ObjectCreated:Put',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectRemoved:*',
  's3:ObjectRemoved:Delete',
  's3:ObjectRemoved:DeleteMarkerCreated',
])

const filterOf = (configuration: XmlNode, name: 'prefix' | 'suffix'): string => {
  const rules = children(configuration, 'Filter')
    .flatMap((filter) => children(filter, 'S3Key'))
    .flatMap((key) => children(key, 'FilterRule'))
    .filter((rule) => requiredText(rule, 'Name').toLowerCase() === name)
  if (rules.length > 1)
    throw invalidArgument('FilterRule', name, `Cannot specify more than one ${name} rule in a filter.`)
  return rules[0] ? requiredText(rules[0], 'Value') : ''
}

const readQueue = (configuration: XmlNode): QueueConfiguration => {
  const queueArn = requiredText(configuration, 'Queue').trim()
  if (!/^arn:[^:]+:sqs:[^:]+:[^:]+:[^:]+$/.test(queueArn))
    throw invalidArgument('Queue', queueArn, 'The ARN could not be parsed')
  const events = children(configuration, 'Event').map((event) => textOf(event).trim())
  if (events.length === 0) throw malformedXml()
  for (const event of events) if (!eventNames.has(event)) throw notImplemented(`the notification event ${event}`)
  return {
    id: childText(configuration, 'Id') || randomUUID(),
    queueArn,
    events,
    prefix: filterOf(configuration, 'prefix'),
    suffix: filterOf(configuration, 'suffix'),
  }
}

export const putBucketNotification = async (call: Call): Promise<Answer> => {
  const root = parseXml((await receiveText(call)).text, 'NotificationConfiguration')
  for (const other of ['TopicConfiguration', 'CloudFunctionConfiguration']) if (root[other]) throw notImplemented(other)
  const queues = children(root, 'QueueConfiguration').map(readQueue)
  return change(call.s3, () => {
    const bucket = requireBucket(call.s3.store, call.bucket)
    call.s3.store.run(
      'UPDATE buckets SET eventBridge = ?, queues = ? WHERE name = ?',
      root['EventBridgeConfiguration'] ? 1 : 0,
      JSON.stringify(queues),
      bucket.name,
    )
    for (const queueArn of new Set(queues.map((queue) => queue.queueArn))) announceTest(call, bucket, queueArn)
    return { status: 200 }
  })
}

const filterElement = (queue: QueueConfiguration): Xml | undefined => {
  const rules = (['prefix', 'suffix'] as const)
    .filter((name) => queue[name] !== '')
    .map((name) => element('FilterRule', element('Name', name), element('Value', queue[name])))
  return rules.length > 0 ? element('Filter', element('S3Key', rules)) : undefined
}

export const getBucketNotification = (call: Call): Answer => {
  const bucket = requireBucket(call.s3.store, call.bucket)
  const queues = queuesOf(bucket).map((queue) =>
    element(
      'QueueConfiguration',
      element('Id', queue.id),
      element('Queue', queue.queueArn),
      queue.events.map((event) => element('Event', event)),
      filterElement(queue),
    ),
  )
  return {
    status: 200,
    xml: document(
      'NotificationConfiguration',
      queues,
      bucket.eventBridge === 1 ? element('EventBridgeConfiguration') : undefined,
    ),
  }
}
