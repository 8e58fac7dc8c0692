/** Bytes are of object bodies as received in uploads; `refused` is how many of them belong to uploads that stored nothing. */
export type PrefixStats = { bytesReceived: number; creates: number; refused: number }
/** `byPrefix` is keyed `<bucket>/<first path segment>`. */
export type GcsStats = {
  bytesReceived: number
  bytesServed: number
  creates: number
  byPrefix: Record<string, PrefixStats>
}
export type StatsRecorder = {
  snapshot(): GcsStats
  received(bucket: string, name: string, bytes: number): void
  created(bucket: string, name: string): void
  refused(bucket: string, name: string, bytes: number): void
  served(bytes: number): void
}

export const createStats = (): StatsRecorder => {
  const stats: GcsStats = { bytesReceived: 0, bytesServed: 0, creates: 0, byPrefix: {} }
  const of = (bucket: string, name: string): PrefixStats =>
    (stats.byPrefix[`${bucket}/${name.split('/')[0]}`] ??= { bytesReceived: 0, creates: 0, refused: 0 })
  return {
    snapshot: () => structuredClone(stats),
    received: (bucket, name, bytes) => {
      stats.bytesReceived += bytes
      of(bucket, name).bytesReceived += bytes
    },
    created: (bucket, name) => {
      stats.creates += 1
      of(bucket, name).creates += 1
    },
    refused: (bucket, name, bytes) => {
      of(bucket, name).refused += bytes
    },
    served: (bytes) => {
      stats.bytesServed += bytes
    },
  }
}
