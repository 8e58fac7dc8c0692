#!/usr/bin/env node
// Plain JavaScript, so that any Node can start it: an older one cannot read the rest of the command.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const nodeMajor = 24

/** The Node that npm installed beside the command, from the nearest node_modules up the tree. */
const findPackagedNode = (folder) => {
  for (let at = folder; ; at = dirname(at)) {
    const file = join(at, 'node_modules', '.bin', 'node')
    if (existsSync(file)) return file
    if (dirname(at) === at) return undefined
  }
}

const restart = (node) => {
  const child = spawn(node, [fileURLToPath(import.meta.url), ...process.argv.slice(2)], {
    stdio: 'inherit',
    env: { ...process.env, LIFEBOAT_RESTARTED: '1' },
  })
  // A terminal sends an interrupt to both; the child decides how to end.
  process.on('SIGINT', () => {
    if (!process.stdin.isTTY) child.kill('SIGINT')
  })
  for (const signal of ['SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    console.error(`lifeboat: cannot start ${node}: ${error.message}`)
    process.exitCode = 2
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (signal ? constants.signals[signal] : 0)
  })
}

const start = async () => {
  // What libraries warn of (a metadata server that is not there, Node's experiments) helps nobody who restores a model.
  if (!process.argv.includes('--debug')) process.removeAllListeners('warning')
  if (Number(process.versions.node.split('.')[0]) >= nodeMajor) {
    const { main } = await import('./lifeboat.ts')
    await main()
    return
  }
  const packaged = process.env.LIFEBOAT_RESTARTED
    ? undefined
    : findPackagedNode(dirname(fileURLToPath(import.meta.url)))
  if (packaged) {
    restart(packaged)
    return
  }
  console.error(
    `lifeboat: needs Node ${nodeMajor} and runs on ${process.versions.node}: install Node ${nodeMajor}, or run "npm ci" beside it, which brings one`,
  )
  process.exitCode = 2
}

await start()
