// Runs in the browser: asks for data.json every two seconds and shows it. Text is only ever set as text.
import uPlot from './uplot.js'

const pollMs = 2000
const plotHeight = 190
const byId = (id) => document.getElementById(id)
const plots = new Map()

const element = (name, text, className) => {
  const made = document.createElement(name)
  if (text !== undefined) made.textContent = text
  if (className) made.className = className
  return made
}
const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name)
// light-dark() is resolved where a color is used, not where it is declared.
const resolved = (name) => {
  const probe = element('span')
  probe.style.color = `var(${name})`
  document.body.append(probe)
  const found = getComputedStyle(probe).color
  probe.remove()
  return found || color(name)
}

const timeOf = (seconds) => new Date(seconds * 1000).toLocaleTimeString('en-GB')

const openPlot = (chart) => {
  const figure = element('figure')
  const caption = element('figcaption', `${chart.title} `)
  caption.append(element('small', chart.unit))
  const place = element('div', undefined, 'plot')
  place.setAttribute('role', 'img')
  const latest = element('ul', undefined, 'latest')
  figure.append(caption, place, latest)
  byId('charts').append(figure)
  const axis = {
    stroke: resolved('--dim'),
    grid: { stroke: resolved('--rule'), width: 1 },
    ticks: { stroke: resolved('--rule') },
  }
  const plot = new uPlot(
    {
      width: place.clientWidth || 340,
      height: plotHeight,
      legend: { show: false },
      cursor: { show: false },
      scales: { y: { range: (_, __, most) => [0, Math.max(1, (most ?? 1) * 1.1)] } },
      axes: [
        { ...axis, space: 80, values: (_, ticks) => ticks.map(timeOf) },
        { ...axis, size: 46 },
      ],
      series: [
        {},
        ...chart.lines.map(({ label }, index) => ({
          label,
          stroke: resolved(`--line-${index + 1}`),
          width: 2,
          spanGaps: true,
          points: { show: true, size: 4 },
        })),
      ],
    },
    [[], ...chart.lines.map(() => [])],
    place,
  )
  return { figure, place, latest, plot }
}

const showCharts = ({ times, charts, everySeconds }) => {
  for (const chart of charts) {
    if (!plots.has(chart.title)) plots.set(chart.title, openPlot(chart))
    const { place, latest, plot } = plots.get(chart.title)
    plot.setSize({ width: place.clientWidth || 340, height: plotHeight })
    plot.setData([times, ...chart.lines.map(({ values }) => values)])
    const texts = chart.lines.map(({ label, values }) => {
      const last = values.findLast((value) => value !== null)
      return `${label}: ${last === undefined ? 'none yet' : `${last} ${chart.unit}`}`
    })
    latest.replaceChildren(...texts.map((text) => element('li', text)))
    place.setAttribute(
      'aria-label',
      `${chart.title} over the last ${Math.round((times.length * everySeconds) / 60)} minutes. Latest: ${texts.join(', ')}`,
    )
  }
}

const classOf = {
  OK: 'good',
  ALARM: 'bad',
  INSUFFICIENT_DATA: 'unsure',
  passed: 'good',
  failed: 'bad',
  incomplete: 'unsure',
}
const severity = { ALARM: 0, INSUFFICIENT_DATA: 1, OK: 2 }

const rowOf = (...cells) => {
  const row = element('tr')
  row.append(...cells.map((cell) => (typeof cell === 'string' ? element('td', cell) : cell)))
  return row
}

const showAlarms = ({ alarms, everySeconds }) => {
  const count = (state) => alarms.filter((alarm) => alarm.state === state).length
  byId('alarms-note').textContent =
    `${count('ALARM')} in ALARM, ${count('INSUFFICIENT_DATA')} without enough data, ${count('OK')} OK. ` +
    `Each is evaluated every minute of the embedded CloudWatch, which is ${everySeconds} s here.`
  const sorted = alarms.toSorted((a, b) => severity[a.state] - severity[b.state] || a.name.localeCompare(b.name))
  const rows = (wanted) =>
    sorted.filter(wanted).map(({ name, state, why, description }) => {
      const named = element('td', name.replace(/^lifeboat-local-/, ''))
      named.title = description
      return rowOf(element('td', state, classOf[state]), named, why)
    })
  byId('alarms').replaceChildren(...rows(({ state }) => state !== 'OK'))
  byId('fine').replaceChildren(...rows(({ state }) => state === 'OK'))
  byId('fine-title').textContent = `${count('OK')} OK`
  return count('ALARM')
}

const showReports = ({ reports }) => {
  byId('reports-note').textContent = reports.length === 0 ? 'No check has written a report into the replica yet.' : ''
  byId('reports').replaceChildren(
    ...reports.map(({ kind, scope, outcome, endedAt, findingsTotal, counts }) =>
      rowOf(
        scope === null ? kind : `${kind} ${scope}`,
        element('td', outcome, classOf[outcome]),
        String(findingsTotal),
        new Date(endedAt).toLocaleTimeString(),
        Object.entries(counts)
          .map(([name, value]) => `${name} ${value}`)
          .join(', '),
      ),
    ),
  )
}

const poll = async () => {
  try {
    const response = await fetch('/data.json')
    if (!response.ok) throw new Error(`the page's server answered ${response.status}`)
    const data = await response.json()
    showCharts(data)
    const firing = showAlarms(data)
    showReports(data)
    byId('summary').textContent =
      `${firing === 0 ? 'No alarm fires.' : `${firing} alarm${firing === 1 ? '' : 's'} firing.`} As of ${new Date(data.at).toLocaleTimeString()}.`
  } catch (error) {
    byId('summary').textContent = `No numbers: ${error.message}. Is npm start still running?`
  }
  setTimeout(() => void poll(), pollMs)
}

// Colors of a canvas do not follow the scheme by themselves.
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => {
  for (const { figure, plot } of plots.values()) {
    plot.destroy()
    figure.remove()
  }
  plots.clear()
})
void poll()
