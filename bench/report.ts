import { readFile, writeFile } from 'node:fs/promises'
import { renderTable } from '../cli/output.ts'

/** One table of results. Every column but the first holds numbers; notes say what limits and what was left out. */
export type Section = { id: string; title: string; head: string[]; rows: string[][]; notes: string[] }

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const [low = Number.NaN, high = Number.NaN] = [sorted[sorted.length % 2 === 1 ? middle : middle - 1], sorted[middle]]
  return (low + high) / 2
}

export const megabytesPerSecond = (bytes: number, seconds: number): string => (bytes / 1e6 / seconds).toFixed(0)
export const seconds = (value: number): string => value.toFixed(2)
export const ratio = (value: number): string => value.toFixed(2)
export const mebibytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(0)

/** A target of DESIGN's table, with whether this run reached it. */
export const judged = (what: string, reached: boolean): string => `${what}: ${reached ? 'reached' : 'MISSED'}.`

export const renderSection = ({ title, head, rows, notes }: Section): string =>
  `\n${title}\n\n${renderTable(head, rows, head.slice(1))}${notes.map((note) => `  ${note}\n`).join('')}`

const row = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`

const toMarkdown = ({ title, head, rows, notes }: Section, machine: string): string =>
  [
    `## ${title}`,
    '',
    row(head),
    row(head.map((_, index) => (index === 0 ? '---' : '---:'))),
    ...rows.map(row),
    '',
    ...notes.map((note) => `- ${note}`),
    `- Measured on ${machine}.`,
  ].join('\n')

const intro = `# Benchmarks

\`npm run bench -- all --write\` measures and rewrites the sections below; peers run in the same run on the same file. The
embedded clouds share the machine with the functions, so throughput here is a floor for the functions' own.
\`npm run bench:peers -- --write\` does so for the sections on bytes beside other tools, and measures copy and restore in the same run.
`

const begin = (id: string): string => `<!-- bench:${id} -->`
const end = (id: string): string => `<!-- /bench:${id} -->`

const readIfThere = async (file: string): Promise<string> => {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return intro
    throw error
  }
}

/** Puts the sections into the document, each in the place of its earlier self or at the end; other text stays. */
export const writeSections = async (file: string, sections: readonly Section[], machine: string): Promise<void> => {
  let text = await readIfThere(file)
  for (const section of sections) {
    const block = `${begin(section.id)}\n${toMarkdown(section, machine)}\n${end(section.id)}`
    const [from, to] = [text.indexOf(begin(section.id)), text.indexOf(end(section.id))]
    text =
      from >= 0 && to > from
        ? `${text.slice(0, from)}${block}${text.slice(to + end(section.id).length)}`
        : `${text.trimEnd()}\n\n${block}\n`
  }
  await writeFile(file, text)
}
