import { Argument, type Command } from 'commander'
import type { CliContext } from '../context.ts'

type Entry = { path: string[]; words: string[]; commands: { name: string; description: string }[]; flags: Flag[] }
type Flag = { name: string; description: string }

const flagsOf = (command: Command): Flag[] =>
  command
    .createHelp()
    .visibleOptions(command)
    .flatMap(({ long, description }) => (long ? [{ name: long, description }] : []))

/** Every command with the words that may follow it. */
const entriesOf = (program: Command): Entry[] => {
  const globals = flagsOf(program)
  const walk = (command: Command, path: string[]): Entry[] => {
    const commands = command.commands.map((child) => ({ name: child.name(), description: child.description() }))
    const flags = [...new Map([...flagsOf(command), ...globals].map((flag) => [flag.name, flag])).values()]
    const words = [...commands.map(({ name }) => name), ...flags.map(({ name }) => name)]
    return [
      { path, words, commands, flags },
      ...command.commands.flatMap((child) => walk(child, [...path, child.name()])),
    ]
  }
  return walk(program, [])
}

const bash = (entries: readonly Entry[]): string => `# eval "$(lifeboat completion bash)"
_lifeboat() {
  local word path="" cur="\${COMP_WORDS[COMP_CWORD]}"
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
${entries
  .filter(({ path }) => path.length > 0)
  .map(
    ({ path }) =>
      `      "${path.length > 1 ? path.slice(0, -1).join(' ') : ''} ${path.at(-1) ?? ''}") path="${path.join(' ')}" ;;`,
  )
  .join('\n')}
    esac
  done
  case "$path" in
${entries.map(({ path, words }) => `    "${path.join(' ')}") COMPREPLY=($(compgen -W "${words.join(' ')}" -- "$cur")) ;;`).join('\n')}
  esac
}
complete -o default -F _lifeboat lifeboat
`

const zsh = (entries: readonly Entry[]): string => `#compdef lifeboat
# eval "$(lifeboat completion zsh)"
autoload -U +X bashcompinit && bashcompinit
${bash(entries)}`

const quote = (text: string): string => `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`

const fish = (entries: readonly Entry[]): string => {
  const lines = entries.flatMap(({ path, commands, flags }) => {
    const seen = path.map((word) => `__fish_seen_subcommand_from ${word}`)
    const unseen =
      commands.length > 0 ? [`not __fish_seen_subcommand_from ${commands.map(({ name }) => name).join(' ')}`] : []
    const condition = [...seen, ...unseen].join('; and ')
    const when = condition === '' ? '' : ` -n ${quote(condition)}`
    return [
      ...commands.map(({ name, description }) => `complete -c lifeboat -f${when} -a ${name} -d ${quote(description)}`),
      ...flags.map(
        ({ name, description }) => `complete -c lifeboat${when} -l ${name.slice(2)} -d ${quote(description)}`,
      ),
    ]
  })
  return `# lifeboat completion fish | source\n${lines.join('\n')}\n`
}

const shells = { bash, zsh, fish }

export const register = (program: Command, context: CliContext): void => {
  program
    .command('completion')
    .description('print the completion script of a shell')
    .addArgument(new Argument('<shell>', 'the shell').choices(Object.keys(shells)))
    .addHelpText('after', '\nExamples:\n  eval "$(lifeboat completion bash)"\n  lifeboat completion fish | source')
    .action((shell: keyof typeof shells) => {
      context.stdout.write(shells[shell](entriesOf(program)))
    })
}
