/**
 * How CloudWatch decides on the state of a metric alarm, as its documentation says
 * (https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html, section on missing data). Where it
 * gives no number, the one of its examples is used: two periods more than EvaluationPeriods are looked at.
 */
export type AlarmState = 'OK' | 'ALARM' | 'INSUFFICIENT_DATA'
export type MissingData = 'breaching' | 'notBreaching' | 'ignore' | 'missing'
export type Comparison =
  | 'GreaterThanThreshold'
  | 'GreaterThanOrEqualToThreshold'
  | 'LessThanThreshold'
  | 'LessThanOrEqualToThreshold'

export type Rule = {
  threshold: number
  comparison: Comparison
  evaluationPeriods: number
  datapointsToAlarm: number
  missing: MissingData
}

const extraPeriods = 2

/** How many of the last periods an alarm looks at, so that real datapoints stand in for missing ones. */
export const evaluationRange = ({ evaluationPeriods }: Rule): number => evaluationPeriods + extraPeriods

const comparisons: Record<Comparison, (value: number, threshold: number) => boolean> = {
  GreaterThanThreshold: (value, threshold) => value > threshold,
  GreaterThanOrEqualToThreshold: (value, threshold) => value >= threshold,
  LessThanThreshold: (value, threshold) => value < threshold,
  LessThanOrEqualToThreshold: (value, threshold) => value <= threshold,
}

/**
 * The state that a run of datapoints, oldest first and undefined where there was none, puts an alarm in. Only `ignore`
 * looks at the state it has. An alarm that has just begun is INSUFFICIENT_DATA until its first evaluation.
 */
export const evaluateAlarm = (
  rule: Rule,
  datapoints: readonly (number | undefined)[],
  current: AlarmState,
): AlarmState => {
  const range = datapoints.slice(-evaluationRange(rule))
  const real = range.filter((value) => value !== undefined).slice(-rule.evaluationPeriods)
  const breaching = real.filter((value) => comparisons[rule.comparison](value, rule.threshold)).length
  const lacking = rule.evaluationPeriods - real.length
  const filled = rule.missing === 'breaching' ? breaching + lacking : breaching
  if (filled >= rule.datapointsToAlarm) return 'ALARM'
  if (lacking === 0 || rule.missing === 'breaching' || rule.missing === 'notBreaching') return 'OK'
  // Too few datapoints, and what is missing stays missing: a good one decides.
  if (breaching < real.length) return 'OK'
  if (rule.missing === 'ignore') return current
  // "Premature": the breach is as old as DatapointsToAlarm, and nothing good came after it.
  const oldest = range.findIndex((value) => value !== undefined)
  return oldest >= 0 && range.length - oldest >= rule.datapointsToAlarm ? 'ALARM' : 'INSUFFICIENT_DATA'
}
