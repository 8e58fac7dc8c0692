/** Makes a table as narrow as a terminal. Without a terminal nothing is shortened, so that programs read whole values. */

/**
 * How a column gives way: `end` shows its first few characters, `room` as many as there is room for, `middle` its two ends,
 * `wrap` goes on in lines below.
 */
export type Squeeze = { column: string; to: 'end' | 'room' | 'middle' | 'wrap'; charactersMin: number }

const gap = 2
const ellipsis = '…'

/** Characters that terminals draw two columns wide. */
const wide = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Emoji_Presentation}]/u

const charactersOf = (text: string): string[] => Array.from(text)

const widthOf = (text: string): number =>
  charactersOf(text).reduce((sum, character) => sum + (wide.test(character) ? 2 : 1), 0)

/** The first characters, in at most so many columns. */
export const cutEnd = (text: string, columns: number): string => {
  // A long value is not measured to its end.
  const characters = charactersOf(text.slice(0, 2 * columns + 2))
  let width = 0
  let fitting = 0
  for (const [index, character] of characters.entries()) {
    width += widthOf(character)
    if (width > columns) return `${characters.slice(0, fitting).join('')}${ellipsis}`
    if (width < columns) fitting = index + 1
  }
  return text
}

const cutMiddle = (text: string, characters: number): string => {
  if (widthOf(text) <= characters) return text
  const all = charactersOf(text)
  const tail = Math.ceil((2 * (characters - 1)) / 3)
  return `${all.slice(0, characters - 1 - tail).join('')}${ellipsis}${all.slice(-tail).join('')}`
}

/** Breaks between words, and inside one that is longer than a line. */
const wrap = (text: string, characters: number): string => {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    const joined = line === '' ? word : `${line} ${word}`
    if (widthOf(joined) <= characters) {
      line = joined
      continue
    }
    if (line !== '') lines.push(line)
    line = word
    while (widthOf(line) > characters) {
      lines.push(charactersOf(line).slice(0, characters).join(''))
      line = charactersOf(line).slice(characters).join('')
    }
  }
  return [...lines, line].join('\n')
}

const cut = { end: cutEnd, room: cutEnd, middle: cutMiddle, wrap }

/** The rows with their columns squeezed, in the order given and each no more than needed, until they fit `width`. */
export const fitRows = (
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width: number,
  squeezes: readonly Squeeze[],
): string[][] => {
  const fitted = rows.map((row) => [...row])
  const widthOfColumn = (index: number): number =>
    Math.max(...[head, ...fitted].map((row) => Math.max(...(row[index] ?? '').split('\n').map(widthOf))))
  for (const { column, to, charactersMin } of squeezes) {
    const index = head.indexOf(column)
    const total = head.reduce((sum, _, each) => sum + widthOfColumn(each) + gap, -gap)
    if (index < 0 || total <= width) continue
    // An id is as good with few characters as with nearly all of them.
    const least = Math.max(charactersMin, widthOf(column))
    const characters = to === 'end' ? least : Math.max(least, widthOfColumn(index) - (total - width))
    for (const row of fitted) row[index] = cut[to](row[index] ?? '', characters)
  }
  return fitted
}
