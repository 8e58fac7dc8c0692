/**
 * Small named records that outlive a call: the cursor of a check that goes on, its last result, where canaries are. They are
 * the AWS side's own memory; what others rely on is in the replica, as reports (report.ts) and heartbeats (heartbeat.ts).
 */
export interface ProofState {
  /** `value` is what was written, to be parsed by its reader. */
  read(name: string): Promise<{ value: unknown; version: number } | undefined>
  /** Writes where the record is still at version `expected` (undefined: where there is none). False where another was faster. */
  write(name: string, value: unknown, expected: number | undefined): Promise<boolean>
}
