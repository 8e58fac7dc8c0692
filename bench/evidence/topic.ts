/** One run of a topic: what it counted, and what was wrong. */
export type RunResult = { figures: Figures; problems: string[] }
export type Figures = { [name: string]: number | string | Figures }
export type Run = { name: string; run(say: (line: string) => void): Promise<RunResult> }

export type Topic = {
  name: string
  about: string
  /** How many seeds a run has unless told; undefined where there is nothing to seed. */
  seedsDefault: number | undefined
  /** In order, each with a name of its own, by which a later call knows what is done. */
  runs(seeds: number): Run[]
}
