/**
 * The metrics that alarms, dashboard and `npm start` rely on, beside those that one function alone counts. Namespace
 * `Lifeboat`, with the one dimension `service`, which is `lifeboat-STAGE`. A lag that is unknown is not emitted: its alarm
 * takes missing data for a breach.
 */
export const proofMetrics = {
  /** Of every object that was sealed: from its time in the source. By commit-object. */
  ReplicationLagSeconds: 'Seconds',
  /** Of every batch of changes that was applied: of its oldest change. By apply-changes. */
  RowLagSeconds: 'Seconds',
  /** Age of the oldest object version that is not in the replica, every minute. By measure-lag, as all below. */
  OldestPendingSeconds: 'Seconds',
  /** Worst over the tables: age of the oldest change that is not in the replica. */
  FeatureLagSeconds: 'Seconds',
  PendingObjects: 'Count',
  PendingBytes: 'Bytes',
  /** Messages in dead-letter queues. */
  DeadLetters: 'Count',
  /** Changes in quarantine, all tables. */
  QuarantinedChanges: 'Count',
  /** Age of the last canary object that is protected. */
  ObjectCanaryAgeSeconds: 'Seconds',
  /** Worst over tables and shards. */
  RowCanaryAgeSeconds: 'Seconds',
  /** 1 every minute in which a heartbeat was written. */
  Heartbeats: 'Count',
  /** Findings of validate, scrub, the comparison of rows and the commit's own check; 0 after a check without any. */
  ValidationFailures: 'Count',
  /** Since the last check of all manifests, where it passed. By measure-lag, every minute. */
  ValidationAgeSeconds: 'Seconds',
  /** Since everything was last reconciled and was right, or since the lag was first measured. By measure-lag. */
  ReconcileAgeSeconds: 'Seconds',
  /** Likewise of the comparison of all rows, the worst table. */
  RowsComparedAgeSeconds: 'Seconds',
  ChunksValidated: 'Count',
  ChunksScrubbed: 'Count',
  BytesScrubbed: 'Bytes',
  /** In how many days everything is read back at the present pace. */
  ScrubCoverageDays: 'Count',
  RowsCompared: 'Count',
  RowsDifferent: 'Count',
  /** Object versions that no event announced, sent through the normal path. By reconcile. */
  ObjectsFoundByReconcile: 'Count',
  /** Object versions or events that were set aside for good: of them nothing is tried again. By the object functions. */
  ObjectsRefused: 'Count',
  ObjectsQuarantined: 'Count',
  BytesRead: 'Bytes',
  BytesSent: 'Bytes',
  BytesSaved: 'Bytes',
  ChunksReused: 'Count',
  ChangesQuarantined: 'Count',
} as const
export type ProofMetric = keyof typeof proofMetrics
