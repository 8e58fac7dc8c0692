import { join } from 'node:path'
import { type Exit, type Service, type ServiceProcess, startService } from './service-process.ts'

export type { Exit, Service } from './service-process.ts'

export const services: readonly Service[] = ['s3', 'gcs', 'dynamodb', 'sqs', 'bigtable', 'cloudwatch']

/** The embedded clouds, each a process of its own. `endpoints` stay the same when a service is restarted. */
export type Clouds = {
  endpoints: Record<Service, string>
  /** As of now: a restart changes one. */
  readonly pids: Record<Service, number>
  /** SIGKILL. */
  kill(service: Service): Promise<void>
  /** Starts a service again, on the same port and folder, killing it first where it still runs. */
  restart(service: Service): Promise<void>
  stop(): Promise<void>
}

/**
 * Starts all over the folders `dir`/<service>, with logs in `dir`/logs; throws, with the service's log, where one
 * does not come up, and then leaves none running. `onExit` is told of a service that ends by itself. `rolesFile` is what
 * the principals of GCS may do instead of infra/gcp/roles.json, read at every start of it; `region` and `account` are those of DynamoDB's ARNs;
 * `metricsSpeed` is how many times faster than real ones CloudWatch's minutes pass.
 */
export const startClouds = async (options: {
  dir: string
  ports?: Partial<Record<Service, number>>
  eventsUrl?: string
  rolesFile?: string
  region?: string
  account?: string
  metricsSpeed?: number
  log?: (message: string) => void
  onExit?: (service: Service, exit: Exit) => void
}): Promise<Clouds> => {
  const { dir, ports = {}, eventsUrl, rolesFile, region, account, metricsSpeed, log, onExit } = options
  const running = new Map<Service, ServiceProcess>()
  const start = async (service: Service, port: number | undefined): Promise<void> => {
    const begun = performance.now()
    const started = await startService({
      service,
      dir: join(dir, service),
      logFile: join(dir, 'logs', `${service}.log`),
      ...(port !== undefined && { port }),
      ...(eventsUrl && service === 's3' && { eventsUrl }),
      ...(rolesFile && service === 'gcs' && { rolesFile }),
      ...(service === 'dynamodb' && { ...(region && { region }), ...(account && { account }) }),
      ...(metricsSpeed !== undefined && service === 'cloudwatch' && { speed: metricsSpeed }),
      onExit: (exit) => {
        log?.(`${service} ended by itself: ${exit.signal ?? `exit code ${exit.code}`}`)
        onExit?.(service, exit)
      },
    })
    running.set(service, started)
    log?.(`${service} serves ${started.url} after ${Math.round(performance.now() - begun)} ms`)
  }
  const stop = async (): Promise<void> => {
    await Promise.all(Array.from(running.values(), (started) => started.stop()))
  }
  const find = (service: Service): ServiceProcess => {
    const started = running.get(service)
    if (!started) throw new Error(`${service} was never started`)
    return started
  }
  const each = <T>(read: (started: ServiceProcess) => T): Record<Service, T> =>
    Object.fromEntries(services.map((service) => [service, read(find(service))])) as Record<Service, T>

  const outcomes = await Promise.allSettled(services.map((service) => start(service, ports[service])))
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed) {
    await stop()
    throw new Error('the embedded clouds did not start', { cause: failed.reason })
  }
  return {
    endpoints: each((started) => started.url),
    get pids() {
      return each((started) => started.pid)
    },
    kill: (service) => find(service).kill(),
    restart: async (service) => {
      const before = find(service)
      await before.kill()
      await start(service, before.port)
    },
    stop,
  }
}
