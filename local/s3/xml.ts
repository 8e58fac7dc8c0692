import { XMLParser, XMLValidator } from 'fast-xml-parser'
import { malformedXml } from './errors.ts'

export type Xml = { readonly xml: string }
export type XmlContent = Xml | string | number | boolean | undefined | XmlContent[]

const named: Record<string, string> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Control characters become references, as S3 sends them: XML 1.0 forbids most of these, hence encoding-type=url. */
export const escapeXml = (text: string): string =>
  // oxlint-disable-next-line no-control-regex
  text.replace(/[&<>"\u0000-\u0008\u000b-\u001f]/g, (char) => named[char] ?? `&#x${char.charCodeAt(0).toString(16)};`)

const render = (content: XmlContent): string => {
  if (content === undefined) return ''
  if (Array.isArray(content)) return content.map(render).join('')
  if (typeof content === 'object') return content.xml
  return escapeXml(String(content))
}

export const element = (name: string, ...content: XmlContent[]): Xml => ({
  xml: `<${name}>${render(content)}</${name}>`,
})

/** Nothing where the value is undefined. */
export const optional = (name: string, value: string | number | boolean | undefined | null): Xml | undefined =>
  value === undefined || value === null ? undefined : element(name, value)

export const document = (root: string, ...content: XmlContent[]): Xml => ({
  xml: `<?xml version="1.0" encoding="UTF-8"?>\n<${root} xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${render(content)}</${root}>`,
})

/** A parsed element: its children by name, and its own text under `#text`. */
export type XmlNode = { [name: string]: (XmlNode | string)[] }

const parser = new XMLParser({
  ignoreAttributes: true,
  parseTagValue: false,
  trimValues: false,
  removeNSPrefix: true,
  htmlEntities: true,
  isArray: () => true,
})

const asNode = (value: XmlNode | string): XmlNode => (typeof value === 'string' ? { '#text': [value] } : value)

/** The element `root` of a request body; throws MalformedXML when it is not there. */
export const parseXml = (text: string, root: string): XmlNode => {
  if (XMLValidator.validate(text) !== true) throw malformedXml()
  const found = (parser.parse(text) as XmlNode)[root]?.[0]
  if (found === undefined) throw malformedXml()
  return asNode(found)
}

export const children = (node: XmlNode, name: string): XmlNode[] => (node[name] ?? []).map(asNode)

export const textOf = (node: XmlNode): string => (node['#text'] ?? []).map(String).join('')

export const childText = (node: XmlNode, name: string): string | undefined => {
  const child = children(node, name)[0]
  return child && textOf(child)
}

export const requiredText = (node: XmlNode, name: string): string => {
  const text = childText(node, name)
  if (text === undefined) throw malformedXml()
  return text
}
