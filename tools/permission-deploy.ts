/**
 * What whoever deploys needs, by type of resource. Of AWS the actions that make, change and remove one; of Google the smallest
 * predefined role that can. A test refuses a type without an entry and an entry without a type. Not tried on real accounts.
 */

export const cloudFormationActions: Record<string, string> = {
  'AWS::CloudWatch::Alarm': 'cloudwatch:PutMetricAlarm, DescribeAlarms, DeleteAlarms',
  'AWS::CloudWatch::CompositeAlarm': 'cloudwatch:PutCompositeAlarm, DescribeAlarms, DeleteAlarms',
  'AWS::CloudWatch::Dashboard': 'cloudwatch:PutDashboard, GetDashboard, DeleteDashboards',
  'AWS::DynamoDB::Table':
    'dynamodb:CreateTable, UpdateTable, DescribeTable, UpdateTimeToLive, DescribeTimeToLive, UpdateContinuousBackups, DescribeContinuousBackups',
  'AWS::Events::Rule': 'events:PutRule, PutTargets, RemoveTargets, DescribeRule, DeleteRule',
  'AWS::IAM::Role':
    'iam:CreateRole, GetRole, UpdateAssumeRolePolicy, PutRolePolicy, GetRolePolicy, DeleteRolePolicy, DeleteRole, and PassRole to lambda.amazonaws.com',
  'AWS::IAM::RolePolicy': 'iam:PutRolePolicy, GetRolePolicy, DeleteRolePolicy',
  'AWS::KMS::Key':
    'kms:CreateKey, PutKeyPolicy, EnableKeyRotation, DescribeKey, ScheduleKeyDeletion; only without pageTopicArn and ticketTopicArn',
  'AWS::Lambda::EventInvokeConfig':
    'lambda:PutFunctionEventInvokeConfig, GetFunctionEventInvokeConfig, DeleteFunctionEventInvokeConfig',
  'AWS::Lambda::EventSourceMapping':
    'lambda:CreateEventSourceMapping, UpdateEventSourceMapping, GetEventSourceMapping, DeleteEventSourceMapping',
  'AWS::Lambda::Function':
    'lambda:CreateFunction, UpdateFunctionCode, UpdateFunctionConfiguration, GetFunction, DeleteFunction',
  'AWS::Lambda::Permission': 'lambda:AddPermission, RemovePermission, GetPolicy',
  'AWS::Logs::LogGroup': 'logs:CreateLogGroup, PutRetentionPolicy, AssociateKmsKey, DescribeLogGroups, DeleteLogGroup',
  'AWS::S3::Bucket':
    's3:CreateBucket, PutBucketVersioning, PutEncryptionConfiguration, PutLifecycleConfiguration, PutBucketPublicAccessBlock, PutBucketOwnershipControls, DeleteBucket; PutObject and DeleteObject in the bucket of bundles',
  'AWS::S3::BucketPolicy': 's3:PutBucketPolicy, GetBucketPolicy, DeleteBucketPolicy',
  'AWS::SNS::Topic': 'sns:CreateTopic, SetTopicAttributes, GetTopicAttributes, DeleteTopic',
  'AWS::SNS::TopicPolicy': 'sns:SetTopicAttributes',
  'AWS::SQS::Queue': 'sqs:CreateQueue, SetQueueAttributes, GetQueueAttributes, DeleteQueue',
  'AWS::SQS::QueuePolicy': 'sqs:SetQueueAttributes',
}

export const terraformRoles: Record<string, string> = {
  google_artifact_registry_repository: 'roles/artifactregistry.admin',
  google_bigtable_app_profile: 'roles/bigtable.admin',
  google_bigtable_gc_policy: 'roles/bigtable.admin',
  google_bigtable_instance: 'roles/bigtable.admin',
  google_bigtable_instance_iam_member: 'roles/bigtable.admin',
  google_bigtable_table: 'roles/bigtable.admin',
  google_cloud_run_v2_job: 'roles/run.admin',
  google_cloud_run_v2_job_iam_member: 'roles/run.admin',
  google_cloud_scheduler_job: 'roles/cloudscheduler.admin',
  google_iam_workload_identity_pool: 'roles/iam.workloadIdentityPoolAdmin',
  google_iam_workload_identity_pool_provider: 'roles/iam.workloadIdentityPoolAdmin',
  google_kms_crypto_key_iam_member: 'roles/cloudkms.admin',
  google_monitoring_alert_policy: 'roles/monitoring.alertPolicyEditor',
  google_project_iam_custom_role: 'roles/iam.roleAdmin',
  google_project_service: 'roles/serviceusage.serviceUsageAdmin',
  google_pubsub_topic: 'roles/pubsub.admin',
  google_pubsub_topic_iam_member: 'roles/pubsub.admin',
  google_service_account: 'roles/iam.serviceAccountAdmin',
  google_service_account_iam_member: 'roles/iam.serviceAccountAdmin',
  google_storage_bucket: 'roles/storage.admin',
  google_storage_bucket_iam_member: 'roles/storage.admin',
  google_storage_notification: 'roles/storage.admin',
}

/** What `lifeboat doctor` asks for, beside what it is granted by; used where infra/aws/doctor-policy.json is there. */
export const doctorReasons: Record<string, string> = {
  's3:GetBucketLocation': 'the region of a source bucket',
  's3:GetBucketNotification': 'whether its events go to EventBridge',
  's3:GetBucketVersioning': 'whether it has versions',
  's3:GetEncryptionConfiguration': 'which key it is encrypted with',
  'dynamodb:DescribeTable': 'whether a table has a stream with both images, and which',
  'events:DescribeRule': 'whether the rules that call functions are there and enabled',
  'iam:SimulatePrincipalPolicy': 'whether the role of a function may use the keys',
  'kms:DescribeKey': 'whether a key is there and enabled',
  'kms:GetKeyPolicy': 'whether its policy lets the functions and services use it',
  'lambda:GetAccountSettings': 'how many functions may run at once',
  'lambda:GetFunctionConfiguration': 'whether the functions are deployed, and with which settings',
  'lambda:ListEventSourceMappings': 'whether queues and streams call the functions',
  'sts:GetCallerIdentity': 'whether the credentials are of the account of lifeboat.yml',
  'bigtable.appProfiles.get': 'single cluster, single-row transactions',
  'bigtable.clusters.list': 'one cluster, and where',
  'bigtable.tables.get': 'whether the tables are there, with their families',
  'cloudkms.cryptoKeys.get': 'whether the key is enabled',
  'iam.serviceAccounts.getIamPolicy': 'which AWS roles may become an identity',
  'iam.workloadIdentityPoolProviders.get': 'whether the provider is of this account and these roles',
  'storage.buckets.get': 'versions, retention, public access, region',
  'storage.objects.get': 'the owner record and the newest heartbeat',
  'storage.objects.list': 'the newest heartbeat',
}
