import { readFileSync } from 'node:fs'

/** Of the Google provider's schema what infra/gcp uses; see tools/provider-schema.ts. */
export type Block = {
  /** `required string`, `optional map(string)`, `computed bool`. */
  attributes: Record<string, string>
  blocks: Record<string, { nesting: 'single' | 'list' | 'set'; least: number; most: number; block: Block }>
}
export type GoogleSchema = {
  version: string
  configuration: Block
  resources: Record<string, Block>
  data: Record<string, Block>
}

export const readGoogleSchema = (): GoogleSchema =>
  JSON.parse(readFileSync(new URL('google-provider.json', import.meta.url), 'utf8')) as GoogleSchema
