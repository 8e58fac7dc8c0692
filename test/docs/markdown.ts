import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** What a document says that can be checked: its commands, links, headings and files. */

export const root = join(import.meta.dirname, '../..')
export const readDocument = (file: string): string => readFileSync(join(root, file), 'utf8')

type Fence = { language: string; text: string }
const fencePattern = /^```(\w*)\n([\s\S]*?)^```/gm

export const fencesOf = (text: string): Fence[] =>
  [...text.matchAll(fencePattern)].map(([, language = '', body = '']) => ({ language, text: body }))

export const withoutFences = (text: string): string => text.replaceAll(fencePattern, '')

/** Words of one command as a shell would have them; variables stay as they are. */
export type Command = string[]

/** Splits what a shell is given into its commands; `$(...)` is a command of its own. */
export const commandsIn = (script: string): Command[] => {
  const inner: string[] = []
  const flat = script.replaceAll('\\\n', ' ').replaceAll(/\$\(([^()]*)\)/g, (_, command: string) => {
    inner.push(command)
    return '$INNER'
  })
  const commands: Command[] = [[]]
  for (const [token] of flat.matchAll(/\n|&&|[|;]|(?:"[^"]*"|'[^']*'|[^\s'"|;&])+|&/g)) {
    if (/^(\n|&&|[|;&])$/.test(token)) commands.push([])
    else commands.at(-1)?.push(token.replaceAll(/"([^"]*)"|'([^']*)'/g, '$1$2'))
  }
  const named = commands.map((words) => withoutComment(words).filter((word, at) => at > 0 || !isAssignment(word)))
  return [...named.map(withoutAssignments), ...inner.flatMap(commandsIn)].filter((words) => words.length > 0)
}

const isAssignment = (word: string): boolean => /^[A-Za-z_]+=/.test(word)
const withoutAssignments = (words: Command): Command => words.slice(words.findIndex((word) => !isAssignment(word)))
const withoutComment = (words: Command): Command => {
  const at = words.findIndex((word) => word.startsWith('#'))
  const kept = at < 0 ? words : words.slice(0, at)
  const out = kept.findIndex((word) => word.startsWith('>'))
  return out < 0 ? kept : kept.slice(0, out)
}

const slug = (heading: string): string =>
  heading
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
    .replaceAll(' ', '-')

export const anchorsOf = (text: string): Set<string> =>
  new Set([...withoutFences(text).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => slug(heading)))

/** Links to files of the repository, as they are written. */
export const linksOf = (text: string): string[] =>
  [...withoutFences(text).matchAll(/\]\(([^)\s]+)\)/g)]
    .map(([, link = '']) => link)
    .filter((link) => !/^[a-z]+:/.test(link))

/** Files of the repository that are named, linked or not. */
export const filesNamedIn = (text: string): string[] =>
  [...text.matchAll(/(?<![\w./-])(?:cli|docs|functions|infra|local|shared|test|tools)\/[\w./-]+\.[a-z]+\b/g)].map(
    ([file]) => file,
  )

/** Where everything in code that looks like a command is one. */
export const instructions = ['README.md', 'CONTRIBUTING.md', 'docs/deploy.md', 'docs/runbook.md', 'infra/gcp/README.md']

const inline = (text: string): Command[] =>
  [...withoutFences(text).matchAll(/`((?:npx |npm |lifeboat |terraform |gcloud )[^`]+)`/g)].flatMap(([, code = '']) =>
    commandsIn(code),
  )
export const commandsOf = (text: string): Command[] => [
  ...fencesOf(text)
    .filter(({ language }) => language === 'sh')
    .flatMap((fence) => commandsIn(fence.text)),
  ...inline(text),
]
