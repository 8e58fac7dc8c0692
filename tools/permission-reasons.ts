/**
 * Why each action is allowed: one sentence, refined where one does not fit, by the Sid of its statement and by the function before
 * that: `function Sid action`, `Sid action`, `action`. A test refuses an action without a reason and a reason that is not used.
 */
export const reasons: Record<string, string> = {
  'logs:CreateLogStream': 'a stream for each instance, which Lambda makes as the function',
  'logs:PutLogEvents': 'its log lines and its metrics, which are log lines too (EMF)',
  'xray:PutTraceSegments': 'traces of calls; X-Ray has no resources to name',
  'xray:PutTelemetryRecords': 'the count of traces sent and lost',

  'sqs:ReceiveMessage': 'the event source polls the queue as this role',
  'sqs:DeleteMessage': 'the event source takes off the queue what is done',
  'sqs:ChangeMessageVisibility':
    'a message whose work may take longer stays hidden, and one that has to wait is shown later',
  'sqs:GetQueueAttributes': 'the event source scales by how many messages wait',
  'CountMessages sqs:GetQueueAttributes': 'how many messages wait, and how many died: a part of the lag and an alarm',
  'planObject Send sqs:SendMessage': 'the segments of an object; an event that has to wait goes back to its own queue',
  'copySegment Send sqs:SendMessage':
    'a segment that the deadline cuts goes back to its queue, an object that changed meanwhile is planned again',
  'commitObject Send sqs:SendMessage':
    'what the sweep finds undone: segments are sent again, objects are planned again',
  'validate Send sqs:SendMessage': 'what is missing or wrong in the replica is planned again',
  'backfill Send sqs:SendMessage':
    'the segments of an object of a backfill, on the queue of backfills; the message by which it calls itself on',
  'reconcile Send sqs:SendMessage': 'what no event announced is planned',
  'DeadCalls sqs:SendMessage': 'Lambda writes there, as this role, the call that failed three times',

  's3:GetObject': 'bytes, and HEAD with checksums, of objects in a bucket without versions',
  's3:GetObjectVersion': 'bytes, and HEAD with checksums, of exactly the version that the event named',
  'HeadObjects s3:GetObject': 'HEAD with checksums, to compare and before copying anew; the bytes are not read',
  'HeadObjects s3:GetObjectVersion': 'the same of one version',
  's3:GetObjectAttributes': 'sizes and checksums of the parts of an upload, by which each part is checked',
  's3:GetObjectVersionAttributes': 'the same of one version',
  's3:ListBucket': 'without it S3 answers "denied", not "not found", for an object that is gone',
  'ListVersions s3:ListBucket': 'the listing, and "not found" for an object that is gone',
  's3:ListBucketVersions': 'every version of the source, to find those that no event announced',
  'commitObject ListObjects s3:ListBucketVersions':
    'a release takes, of each key, the version that was current when its marker was written',
  'FailedBatchesBucket s3:ListBucket': 'Lambda asks for it of whoever writes given-up batches into a bucket',
  's3:PutObject': 'Lambda writes there, as this role, a batch that it gave up, whole',
  'Quarantine s3:PutObject': 'a change that cannot be applied is kept whole',
  'redrive Quarantine s3:PutObject': 'what fails again is kept with its new reason',
  'Redriven s3:PutObject': 'what was redriven is moved there, not thrown away',
  'Quarantine s3:GetObject': 'the changes that are to be read again',
  'measureLag Quarantine s3:GetObject': 'how old the oldest change is that waits: a part of the lag',
  'GivenUp s3:GetObject': 'the batches that the event source gave up become changes to be read again',
  'Quarantine s3:DeleteObject': 'a change that was redriven leaves the quarantine (its version stays 30 days)',
  'GivenUp s3:DeleteObject': 'a batch whose changes were taken over goes (its version stays 30 days)',
  'ListQuarantine s3:ListBucket': 'what waits, in order; by prefix S3 would answer "denied" for a key that is gone',
  'CanaryObjects s3:PutObject': "the canary object, every 5 minutes: Lifeboat's only write into a source bucket",
  'CanaryObjects s3:GetObject': 'HEAD of the canary, where the bucket has no versions',
  'CanaryObjects s3:GetObjectVersion': 'HEAD of the canary as it was written, by which it is found in the ledger',

  'dynamodb:GetItem': 'rows of the ledger, read consistently',
  'dynamodb:PutItem': 'new rows of the ledger, on condition that there is none',
  'dynamodb:UpdateItem': 'a row goes on from one state to the next, on condition of the one before',
  'dynamodb:DeleteItem': 'a segment is opened again: its unit goes, and the entry of a chunk whose body is missing',
  'validate Ledger dynamodb:DeleteItem': 'the entry of a chunk whose body was found wrong, so that it is sent anew',
  'validate Ledger dynamodb:PutItem': 'its own state, and orders to seal a release anew',
  'dynamodb:Query': 'the segments of an object and the members of a release',
  'Pending dynamodb:Query': 'what waits longest, oldest first',
  'dynamodb:BatchGetItem': 'which chunks of a segment the replica has already',
  'dynamodb:BatchWriteItem': 'which chunks it has from now on',
  'State dynamodb:PutItem': 'how far its own run came; nothing of an object',
  'State dynamodb:GetItem': 'how far its own run came, and the feature time that measureLag wrote',
  'ReadLedger dynamodb:GetItem': 'whether the canary and the oldest object are protected, and its own state',
  'Remember dynamodb:PutItem': 'what it saw a minute ago, and nothing else in the ledger',
  'ReadItems dynamodb:GetItem': 'the item as it is now, where a change cannot be applied from the stream alone',
  'compareRows ReadItems dynamodb:GetItem': 'an item that differs is read again before it counts and is repaired',
  'redrive ReadItems dynamodb:GetItem': 'the item as it is now, whose row is brought to the same state',
  'dynamodb:Scan': 'the items, to compare them with their rows',
  'dynamodb:DescribeTable': 'the names and types of the keys, and which table this is',
  'dynamodb:DescribeStream': 'the shards of the stream, which the event source polls as this role',
  'dynamodb:GetShardIterator': 'where in a shard it reads on',
  'dynamodb:GetRecords': 'the records themselves',
  'dynamodb:ListStreams': 'Lambda asks for it of every reader of a stream',
  'Streams dynamodb:DescribeStream': 'the shards, each of which gets a canary item',
  'Streams dynamodb:GetShardIterator': 'the end of a shard',
  'Streams dynamodb:GetRecords': 'in which shard a canary item comes out',
  'CanaryItems dynamodb:DescribeTable': 'the key of the canary items',
  'CanaryItems dynamodb:UpdateItem': "the canary items, every minute: Lifeboat's only write into a source table",

  'cloudwatch:GetMetricData': 'the ages of queues and of the stream; metrics have no resources to name',

  'kms:Decrypt': 'reads source objects and tables that are encrypted with them',
  'kms:GenerateDataKey': 'writes canaries that are encrypted with them',
  'OwnKey kms:Decrypt': 'reads queues, ledger and held batches, which are encrypted with it',
  'OwnKey kms:GenerateDataKey': 'writes queues, ledger and held batches, which are encrypted with it',

  'storage.objects.get': 'reads records and bodies, and compares what it wrote',
  'storage.objects.list': 'lists what is there',
  'lifeboat-writer storage.objects.create': 'plans, chunks, parts and failures, each once: it cannot overwrite',
  'lifeboat-writer storage.objects.get': 'whether a body is there and is the one its name says',
  'lifeboat-committer storage.objects.create': 'manifests and releases, each once',
  'lifeboat-committer storage.objects.list': 'finds by name what an earlier attempt or another plan wrote',
  'lifeboat-committer storage.objects.update': 'takes the mark of the collector off a body that a new manifest names',
  'lifeboat-committer storage.objects.setRetention': 'sets and extends the retention of what a manifest names',
  'lifeboat-rows storage.objects.create':
    'a copy of the configuration, once for each content; the owner record, where there is none',
  'lifeboat-rows storage.objects.get': 'whose replica this is (owner.json), before anything is written',
  'lifeboat-observer storage.objects.create': 'a heartbeat every minute; the owner record, where there is none',
  'lifeboat-observer storage.objects.get': 'whose replica this is (owner.json), before anything is written',
  'lifeboat-backfill storage.objects.create': 'plans of what it found, and the account of a backfill, each once',
  'bigtable.tables.readRows': 'rows and their history',
  'bigtable.tables.mutateRows': 'the row and its history, by conditional writes',
  'lifeboat-rows bigtable.tables.readRows': 'a conditional write reads the version that is there; comparisons read all',
  'lifeboat-observer bigtable.tables.readRows': 'whether the canary items arrived',
  'lifeboat-validator storage.objects.create': 'reports',
  'lifeboat-scrubber storage.objects.create': 'reports',
  'lifeboat-collector storage.objects.create': 'records of what it is about to collect',
  'storage.objects.update': 'marks a body that nothing names',
  'storage.objects.delete': 'removes what was marked long enough ago',
}

/** Why services of AWS may do something with a resource of the stack, by its name in the template and the Sid. */
export const serviceReasons: Record<string, string> = {
  'lambda:InvokeFunction': 'a schedule calls the function',
  'ObjectsQueuePolicy EventBridge': 'the rule that passes on events of source buckets',
  'ObjectsQueuePolicy SourceBuckets': 'a source bucket that tells the queue itself (infra/aws/object-events.yml)',
  'ObjectsDeadQueuePolicy EventBridge': 'events that EventBridge could not deliver within a day',
  'PageTopicPolicy Alarms': 'alarms of this stage',
  'TicketTopicPolicy Alarms': 'alarms of this stage',
  'AlarmTopicsKey Account': "the account's own policies decide about the key",
  'AlarmTopicsKey Alarms': 'CloudWatch writes to topics that are encrypted with it',
  'FailedBatchesBucketPolicy TlsOnly': 'nothing without TLS',
  ServerlessDeploymentBucketPolicy: 'nothing without TLS',
}

/** What Terraform grants besides the custom roles, by the resource's address: who, on what, and why. */
export const grantReasons: Record<string, { who: string; on: string; why: string }> = {
  'google_storage_bucket_iam_member.this': {
    who: 'each identity',
    on: 'the bucket',
    why: 'its storage permissions of roles.json, and no others',
  },
  'google_bigtable_instance_iam_member.this': {
    who: 'each identity that has them, with tables',
    on: 'the Bigtable instance',
    why: 'its Bigtable permissions of roles.json, and no others',
  },
  'google_service_account_iam_member.aws': {
    who: 'the AWS role of each function',
    on: 'the one identity that it becomes',
    why: 'no key: the role logs in by identity federation, and no other role of the account can',
  },
  'google_service_account_iam_member.restorer': {
    who: '`restorer_members`',
    on: 'lifeboat-restorer',
    why: 'people restore as an identity that only reads',
  },
  'google_service_account_iam_member.collector': {
    who: '`collector_members`',
    on: 'lifeboat-collector',
    why: 'nobody acts as the identity that deletes until this says who',
  },
  'google_cloud_run_v2_job_iam_member.scheduler': {
    who: 'lifeboat-scheduler',
    on: 'the jobs scrub and watch, with `image`',
    why: 'Cloud Scheduler starts them as this identity, which may do nothing else',
  },
  'google_pubsub_topic_iam_member.storage': {
    who: "Cloud Storage's service agent",
    on: 'the topic lifeboat-releases',
    why: 'the bucket tells of releases',
  },
  'google_kms_crypto_key_iam_member.this': {
    who: 'the service agents of Cloud Storage and Bigtable, with `kms_key_name`',
    on: 'the key',
    why: 'the services encrypt with it; the identities have nothing of it',
  },
}
