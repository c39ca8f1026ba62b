#!/usr/bin/env node
// Our libp2p against the JavaScript one, in the same run, on the same two cores.
//
//   bench/p2p.mjs [--quick] [FIGURE…]      figures: stream echo handshakes opens gossip
//
// For each figure three arrangements take turns, five times, and the medians count:
//
//   ours     bench/p2p-end dials examples/p2p-peer: both ends in C, a process each
//   js       bench/p2p-end.mjs dials another: both ends the JavaScript libp2p, a process each
//   cross    bench/p2p-end.mjs dials examples/p2p-peer: as somebody may measure us who has a
//            JavaScript client at hand
//
// and beside the stream a bare loop that seals, sends, receives and opens records (bench/p2p-bare).
// Gossip has three processes in a line: a publisher, a relay, a subscriber, who counts.
//
// What a figure runs into shows in the processors' time: of each process, how much of the time it
// ran, how much of that in the kernel, and how much of the time it was ready to run while another
// had the processor. A process that ran or was ready all the time is the limit, and with it one
// core; where none was, it is waiting for answers. If all of them together ran on both cores all the
// time, both cores are the limit.
//
// --quick is a smoke run: one short round, nothing is judged.
import { readFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { BUILD, Child, ROOT, endAll, run, sleep } from '../tests/integration/lib/process.mjs'

const { values: { quick }, positionals: wanted } =
    parseArgs({ options: { quick: { type: 'boolean' } }, allowPositionals: true })
const ROUNDS = quick ? 1 : 5
const SCALE = quick ? 0.05 : 1
const TICKS_PER_SECOND = 100
const MIB = 1024 * 1024
const CORES = 2
const FULL = 0.9 // busy for so much of the time: all of the time
const PATIENCE_MS = 60_000 // for one command
const MESH_SETTLES_MS = 1500 // a heartbeat and more, until nobody grafts any more

const sum = (list) => list.reduce((a, b) => a + b, 0)
const mapValues = (object, fn) => Object.fromEntries(Object.entries(object).map(([k, v]) => [k, fn(v, k)]))

// ---- processes ---------------------------------------------------------------------------------

// All processes share two cores, however many the machine has.
const pinned = availableParallelism() > CORES ? ['taskset', '-c', '0,1'] : []

class Process extends Child {
    constructor(program, ...args) {
        const [first, ...rest] = [...pinned, program, ...args]
        super(first, rest, { interactive: true })
        this.process.stdin.on('error', () => {}) // it may be gone already
        this.lines = createInterface({ input: this.process.stdout })[Symbol.asyncIterator]()
    }

    async next() {
        const { value, done } = await this.lines.next()
        if (done) throw new Error(`${this.command} ended: ${this.stderr.slice(-2000)}`)
        return value
    }

    // Has a command done: the seconds that it took.
    async ask(command) {
        this.process.stdin.write(`${command}\n`)
        const late = setTimeout(() => this.kill(), PATIENCE_MS)
        const answer = await this.next().finally(() => clearTimeout(late))
        const [, seconds] = /^done ([\d.e-]+)$/.exec(answer) ?? []
        if (seconds === undefined) throw new Error(`${command}: ${answer}\n${this.stderr.slice(-2000)}`)
        return Number(seconds)
    }

    // Seconds so far that it ran, that it did so in the kernel, and that it waited for a processor.
    used() {
        const stat = readFileSync(`/proc/${this.pid}/stat`, 'utf8')
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ').map(Number)
        const [, waited] = readFileSync(`/proc/${this.pid}/schedstat`, 'utf8').split(' ') // its main thread
        return {
            ran: (fields[11] + fields[12]) / TICKS_PER_SECOND,
            kernel: fields[12] / TICKS_PER_SECOND,
            waited: Number(waited) / 1e9
        }
    }
}

const LISTEN = ['--listen', '/ip4/127.0.0.1/tcp/0']
const end = (name, ...args) => name === 'c'
    ? new Process(join(BUILD, 'bench', 'p2p-end'))
    : new Process(process.execPath, join(ROOT, 'bench', 'p2p-end.mjs'), ...args)
const server = (name, ...args) => name === 'c'
    ? new Process(join(BUILD, 'examples', 'p2p-peer'), ...LISTEN, '--no-address-limit', '--log-level', 'warn')
    : new Process(process.execPath, join(ROOT, 'bench', 'p2p-end.mjs'), ...LISTEN, ...args)

// ---- arrangements ------------------------------------------------------------------------------

// A client and a server. `roles` name the processes.
class Pair {
    static roles = ['client', 'server']

    async start(clientKind, serverKind) {
        this.server = server(serverKind)
        const address = await this.server.next()
        this.client = end(clientKind)
        await this.client.next()
        await this.client.ask(`dial ${address}`)
        this.processes = [this.client, this.server]
        return this
    }

    ask(command) {
        return this.client.ask(command)
    }
}

// A publisher, a relay and a subscriber.
class Line {
    static roles = ['publisher', 'relay', 'subscriber']
    lost = 0 // messages

    async start(clientKind, serverKind) {
        this.relay = server(serverKind, '--gossip')
        const address = await this.relay.next()
        this.publisher = end(clientKind, '--gossip')
        this.subscriber = end(clientKind, '--gossip')
        this.processes = [this.publisher, this.relay, this.subscriber]
        for (const e of [this.publisher, this.subscriber]) {
            await e.next()
            await e.ask(`dial ${address}`)
            await e.ask('meshed')
        }
        await sleep(MESH_SETTLES_MS)
        return this
    }

    async ask(command) {
        await this.subscriber.ask(command.replace('publish', 'expect'))
        const seconds = await this.publisher.ask(command)
        this.lost += Number(command.split(' ')[1]) - await this.subscriber.ask('heard')
        return seconds
    }
}

// One run: how much per second, and of each process the parts of the time, from 0 to 1.
async function measure(arrangement, figure, amount) {
    const before = arrangement.processes.map((p) => p.used())
    const seconds = await arrangement.ask(figure.command(amount))
    const parts = arrangement.processes.map((p, i) => mapValues(p.used(), (v, k) => (v - before[i][k]) / seconds))
    return { rate: figure.rate(amount, seconds), parts }
}

// The bare loop prints its own times.
async function measureBare(amount) {
    const [program, ...args] = [...pinned, join(BUILD, 'bench', 'p2p-bare'), String(amount)]
    const { code, stdout, stderr } = await run(program, args, { timeout: 60_000 })
    if (code !== 0) throw new Error(`p2p-bare: ${stderr}`)
    const [seconds, ...used] = stdout.trim().split(' ').map(Number)
    const parts = [used.slice(0, 3), used.slice(3)].map(([ran, kernel, waited]) =>
        mapValues({ ran, kernel, waited }, (v) => v / seconds))
    return { rate: amount / MIB / seconds, parts }
}

// ---- figures -----------------------------------------------------------------------------------

const mibPerSecond = (bytes, seconds) => bytes / MIB / seconds
const perSecond = (count, seconds) => count / seconds

// `amounts` take a second or so; `does` says what a process is busy with.
const figures = [
    {
        name: 'stream', title: 'one stream, one way, MiB/s', target: 4, shape: Pair,
        amounts: { ours: 1024 * MIB, js: 192 * MIB, cross: 256 * MIB },
        command: (bytes) => `sink ${bytes}`, rate: mibPerSecond
    },
    {
        name: 'echo', title: 'echo of 64 MiB, MiB/s', target: 4, shape: Pair,
        amounts: { ours: 64 * MIB, js: 64 * MIB, cross: 64 * MIB },
        command: (bytes) => `echo ${bytes}`, rate: mibPerSecond
    },
    {
        name: 'handshakes', title: 'handshakes/s, 8 at a time', target: 5, shape: Pair,
        amounts: { ours: 2000, js: 200, cross: 300 },
        command: (count) => `handshakes ${count} 8`, rate: perSecond
    },
    {
        name: 'opens', title: 'streams/s, one after the other', target: 10, shape: Pair,
        amounts: { ours: 20_000, js: 800, cross: 1500 },
        command: (count) => `opens ${count} 1`, rate: perSecond
    },
    {
        name: 'opens', title: 'streams/s, 64 at a time', target: 10, shape: Pair,
        amounts: { ours: 200_000, js: 3000, cross: 5000 },
        command: (count) => `opens ${count} 64`, rate: perSecond
    },
    {
        name: 'gossip', title: 'gossip messages/s through a relay', target: 5, shape: Line,
        amounts: { ours: 20_000, js: 4000, cross: 5000 },
        command: (count) => `publish ${count}`, rate: perSecond
    }
]

const kinds = { ours: ['c', 'c'], js: ['js', 'js'], cross: ['js', 'c'] }
const BARE_BYTES = 1024 * MIB
const BARE_SHARE = 0.6

function median(values) {
    const sorted = [...values].sort((a, b) => a - b)
    return sorted[Math.floor(sorted.length / 2)]
}

// The run whose rate is the median one.
function middle(runs) {
    const rate = median(runs.map((r) => r.rate))
    return runs.find((r) => r.rate === rate)
}

const percent = (part) => `${(100 * part).toFixed(0)} %`

function limit({ parts }, roles) {
    const ready = parts.map((p) => p.ran + p.waited)
    const most = ready.indexOf(Math.max(...ready))
    const ran = sum(parts.map((p) => p.ran))
    if (ran >= CORES * FULL) return 'both cores'
    if (ready[most] >= FULL) return `one core, the ${roles[most]}'s`
    return `waiting, ${percent(ran / CORES)} of both cores used`
}

const describe = (r, roles) => r.parts.map((p, i) => `${roles[i]} ${percent(p.ran)}` +
    ` (kernel ${percent(p.kernel / Math.max(p.ran, 1e-9))}, ready ${percent(p.waited)})`).join(', ')

// ---- the run -----------------------------------------------------------------------------------

async function compare(figure) {
    const arrangements = {}
    for (const [name, [client, serving]] of Object.entries(kinds)) {
        arrangements[name] = await new figure.shape().start(client, serving)
    }
    const amount = (name) => Math.ceil(figure.amounts[name] * SCALE)
    const runs = { ours: [], js: [], cross: [], bare: [] }
    for (const name of Object.keys(kinds)) await measure(arrangements[name], figure, amount(name)) // warms up
    for (let round = 0; round < ROUNDS; round++) {
        for (const name of Object.keys(kinds)) {
            runs[name].push(await measure(arrangements[name], figure, amount(name)))
        }
        if (figure.name === 'stream') runs.bare.push(await measureBare(Math.ceil(BARE_BYTES * SCALE)))
    }
    for (const [name, { processes, lost }] of Object.entries(arrangements)) {
        if (lost) console.log(`${name}: ${lost} messages were lost`)
        await Promise.all(processes.map((p) => p.stop()))
    }
    return Object.fromEntries(Object.entries(runs).map(([name, all]) => [name, all.length && middle(all)]))
}

const round = (value) => value.toFixed(value < 10 ? 1 : 0)

function print(figure, { ours, js, cross, bare }) {
    const roles = figure.shape.roles
    const ratio = ours.rate / js.rate
    console.log(`\n${figure.title}`)
    const rows = [['ours', ours], ['js', js], ['cross', cross]]
    if (bare) rows.push(['bare', bare])
    for (const [name, r] of rows) {
        console.log(`  ${name.padEnd(6)}${round(r.rate).padStart(9)}   ${limit(r, roles).padEnd(26)} ${describe(r, roles)}`)
    }
    console.log(`  ours / js ${ratio.toFixed(1)} (at least ${figure.target})` +
        `; cross per second of our ${roles[1]}'s processor ${round(cross.rate / cross.parts[1].ran)}, ` +
        `per second of js's ${round(js.rate / js.parts[1].ran)}` +
        (bare ? `; ours / bare ${(ours.rate / bare.rate).toFixed(2)} (at least ${BARE_SHARE})` : ''))
    return {
        met: ratio >= figure.target && (!bare || ours.rate >= BARE_SHARE * bare.rate),
        line: [figure.title.padEnd(36), round(ours.rate).padStart(9), round(js.rate).padStart(9),
            ratio.toFixed(1).padStart(8), String(figure.target).padStart(8), `  ${limit(ours, roles)}`].join('')
    }
}

console.log(`${cpus()[0].model}, ${Math.min(CORES, availableParallelism())} processors used, ` +
    `Node ${process.version}, load ${loadavg()[0].toFixed(1)}, ${ROUNDS} rounds`)
const results = []
for (const figure of figures) {
    if (wanted.length > 0 && !wanted.includes(figure.name)) continue
    results.push(print(figure, await compare(figure)))
}
endAll()
console.log(`\n${'medians'.padEnd(36)}     ours       js   ratio  wanted  ours runs into`)
for (const { line } of results) console.log(line)
const missed = results.filter((r) => !r.met).length
console.log(`load at the end ${loadavg()[0].toFixed(1)}${missed && !quick ? `; ${missed} below what is wanted` : ''}`)
process.exit(missed && !quick ? 1 : 0)
