import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * Writes test/infra/google-provider.json: of the Google provider's schema what infra/gcp uses, with which the tests check every
 * type, argument and block without the provider. It is read out of @cdktf/provider-google, which is generated from the schema
 * of the provider itself. In a folder outside of the repository:
 *
 *   npm pack @cdktf/provider-google@16.12.1 && tar xzf cdktf-provider-google-16.12.1.tgz
 *   node tools/provider-schema.ts FOLDER/package
 */

type Block = {
  /** `required string`, `optional map(string)` or `computed bool`. What is optional may be computed as well: the source does not tell. */
  attributes: Record<string, string>
  /** `nesting` and the least and most number of the block (0: any). */
  blocks: Record<string, { nesting: string; least: number; most: number; block: Block }>
}

const root = join(import.meta.dirname, '..')
const target = 'test/infra/google-provider.json'

const fail = (text: string): never => {
  throw new Error(text)
}

const first = (text: string, pattern: RegExp): string => pattern.exec(text)?.[1] ?? fail(`found no ${pattern}`)

/** The text of a function or class, which ends at the first brace in the first column. */
const bodyOf = (source: string, start: string): string => {
  const at = source.indexOf(start)
  return at < 0 ? fail(`found no ${start}`) : source.slice(at, source.indexOf('\n}', at))
}

const plain: Record<string, string> = { string: 'string', number: 'number', boolean: 'bool' }

const typeOf = (type: string, storage: string): string => {
  if (type === 'simple') return plain[storage] ?? fail(`unknown type ${storage}`)
  const element = plain[storage.replace(/(Map|List|Set)$/, '')]
  return element ? `${type}(${element})` : fail(`unknown type ${type} of ${storage}`)
}

const entry =
  /^\s+(\w+): \{\n\s+value: (.*),\n\s+isBlock: (true|false),\n\s+type: "(\w+)",\n\s+storageClassType: "(\w+)",/gm
const argument = /#(\w+)\}\n(?:\s+\*.*\n)*?\s+\*\/\n\s+readonly \w+(\??):/g
const getter =
  /\/\/ (\w+) - computed: true, optional: false, required: false\n.*\n\s+return this\.get(String|Number|Boolean)Attribute/g

type Source = { code: string; types: string }

/** `writer` turns the arguments into HCL, `computed` reads what the provider adds, `shape` says which arguments are required. */
const readBlock = (
  source: Source,
  { writer, computed, shape }: Record<'writer' | 'computed' | 'shape', string>,
): Block => {
  const isRequired = new Map([...shape.matchAll(argument)].map(([, name, mark]) => [name, mark === '']))
  const block: Block = { attributes: {}, blocks: {} }
  for (const [, name, type] of computed.matchAll(getter))
    block.attributes[name ?? ''] = `computed ${plain[(type ?? '').toLowerCase()]}`
  for (const [, name = '', value = '', isBlock, type = '', storage = ''] of writer.matchAll(entry)) {
    const required = isRequired.get(name) ?? fail(`nothing tells whether ${name} is required`)
    if (isBlock === 'false') {
      block.attributes[name] = `${required ? 'required' : 'optional'} ${typeOf(type, storage)}`
      continue
    }
    const inner = first(value, /(\w+)ToHclTerraform/)
    const upper = inner.charAt(0).toUpperCase() + inner.slice(1)
    block.blocks[name] = {
      nesting: type === 'struct' ? 'single' : type,
      least: required ? 1 : 0,
      most: value.includes('istMapperHcl') ? 0 : 1,
      block: readBlock(source, {
        writer: bodyOf(source.code, `function ${inner}ToHclTerraform(`),
        // The provider's own blocks have none: nothing of them is computed.
        computed: source.code.includes(`class ${upper}OutputReference `)
          ? bodyOf(source.code, `class ${upper}OutputReference `)
          : '',
        shape: bodyOf(source.types, `interface ${upper} {`),
      }),
    }
  }
  return block
}

const readType = (folder: string, name: string): Block => {
  const read = (file: string): string => readFileSync(join(folder, 'lib', name, file), 'utf8')
  const source = { code: read('index.js'), types: read('index.d.ts') }
  const computed = source.code.slice(
    source.code.search(/class \w+ extends cdktf\.Terraform(Resource|DataSource|Provider) /),
  )
  const writer = computed.slice(computed.indexOf('synthesizeHclAttributes()'))
  const [, config = ''] = /interface (\w+Config)\b/.exec(source.types) ?? []
  return readBlock(source, { writer, computed, shape: bodyOf(source.types, `interface ${config} `) })
}

/** The types that the files of infra/gcp name, such as `google_storage_bucket`. */
const used = (kind: 'resource' | 'data'): string[] => {
  const files = readdirSync(join(root, 'infra/gcp')).filter((file) => file.endsWith('.tf'))
  const text = files.map((file) => readFileSync(join(root, 'infra/gcp', file), 'utf8')).join('\n')
  return [...new Set([...text.matchAll(new RegExp(`^${kind} "(\\w+)"`, 'gm'))].map(([, type]) => type ?? ''))].sort()
}

const place = (type: string): string => type.replace(/^google_/, '').replaceAll('_', '-')

const [folder] = process.argv.slice(2)
if (folder === undefined) fail('usage: node tools/provider-schema.ts FOLDER of @cdktf/provider-google')
else {
  const manifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as {
    version: string
    cdktf: { provider: { version: string } }
  }
  const all = (kind: 'resource' | 'data', prefix: string): Record<string, Block> =>
    Object.fromEntries(used(kind).map((type) => [type, readType(folder, `${prefix}${place(type)}`)]))
  const schema = {
    provider: 'hashicorp/google',
    version: manifest.cdktf.provider.version,
    from: `@cdktf/provider-google ${manifest.version}, by tools/provider-schema.ts`,
    configuration: readType(folder, 'provider'),
    resources: all('resource', ''),
    data: all('data', 'data-google-'),
  }
  writeFileSync(join(root, target), `${JSON.stringify(schema, null, 1)}\n`)
}
