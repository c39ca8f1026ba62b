#!/usr/bin/env node
// A node as a gateway, next to nginx as a proxy, in front of the same server (bench/gateway-mock) and
// under the same load, with routing, keys and request records switched on.
//
//   rate     wrk, 64 connections, chat completions that are not streamed; requests/s
//   latency  one connection, one request after the other: what is added to a direct call
//   stream   the same streamed, 20 events 5 ms apart: added to the first event and to the gaps
//   many     2,000 streams at once of 50 events/s: every event carries its number
//   idle     10,000 streams that got one event (fewer where descriptors are limited): resident memory of the node
//   route    what a routing decision costs (bench/route-bench)
//   growth   not run unless named, with seconds (growth=120): resident memory under load, its slope
//
// Arguments choose among them; none means all but growth. The node and nginx get one core (the last), the server
// and the load another. Figures are medians of five interleaved runs. OG_BUILD names the build folder.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { cpus, loadavg } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { gate, Node } from '../tests/integration/lib/gate.mjs'
import { BUILD, Child, freePort, temporaryFolder, until } from '../tests/integration/lib/process.mjs'

const ROUNDS = 5, SECONDS = Number(process.env.SECONDS_EACH ?? 3), CONNECTIONS = 64
const LATENCIES = 1000, STREAMS = 40, STREAM_EVENTS = 250
const GROWTH_MAX_MIB = 2 // in the latter half: noise of the allocator, not a leak of a byte per request
const OUR_CORE = String(cpus().length - 1), OTHER_CORE = '0'
// A stream takes two descriptors of the node.
const DESCRIPTORS = Number(execFileSync('bash', ['-c', 'ulimit -Hn']).toString().replace('unlimited', '1e9'))
const IDLE = Math.min(10000, Math.floor((DESCRIPTORS - 200) / 2))
const LOAD = join(BUILD, 'bench/gateway-load')
const named = process.argv.slice(2).map((a) => a.split('='))
const wants = (name) => (named.length ? named.some(([n]) => n === name) : name !== 'growth')

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
const rss = (pid) => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))[1]) / 1024
const ticks = (pid) => readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ')
    .slice(11, 13).reduce((a, b) => a + Number(b), 0)

function pin(pid, core) {
    execFileSync('taskset', ['-acp', core, String(pid)], { stdio: 'ignore' })
}

async function nginx(upstream) {
    const folder = temporaryFolder('nginx'), port = await freePort()
    const temp = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((p) => `${p}_temp_path ${folder}/${p};`).join(' ')
    writeFileSync(join(folder, 'nginx.conf'), `
        daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
        events { worker_connections 4096; }
        http {
            access_log off; keepalive_requests 1000000000; ${temp}
            upstream back { server 127.0.0.1:${upstream}; keepalive 64; keepalive_requests 1000000000; }
            server {
                listen 127.0.0.1:${port};
                location / {
                    proxy_pass http://back; proxy_http_version 1.1; proxy_buffering off;
                    proxy_set_header Connection "";
                }
            }
        }`)
    const child = new Child('taskset', ['-c', OUR_CORE, '/usr/sbin/nginx', '-e', `${folder}/error.log`,
        '-p', folder, '-c', join(folder, 'nginx.conf')])
    await until('nginx', async () => (await fetch(`http://127.0.0.1:${port}/v1/models`)).ok)
    return { child, port }
}

// Child processes of nginx do the work.
const worker = (pid) => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0])

function load(...args) {
    return JSON.parse(execFileSync('taskset', ['-c', OTHER_CORE, LOAD, ...args.map(String)],
        { maxBuffer: 1 << 24 }).toString())
}

function wrk(script, port, seconds = SECONDS) {
    const out = execFileSync('taskset', ['-c', OTHER_CORE, 'wrk', '-t1', `-c${CONNECTIONS}`, `-d${seconds}s`,
        '--latency', '-s', script, `http://127.0.0.1:${port}/v1/chat/completions`]).toString()
    if (/Non-2xx|Socket errors/.test(out)) throw new Error(out)
    return Number(/Requests\/sec:\s+([\d.]+)/.exec(out)[1])
}

const mockPort = await freePort()
const mock = new Child('taskset', ['-c', OTHER_CORE, join(BUILD, 'bench/gateway-mock'), String(mockPort)])
await until('the mock', async () => (await fetch(`http://127.0.0.1:${mockPort}/v1/models`)).ok)
const node = await Node.start('gateway', { args: ['--cluster', 'bench', '--model', 'none', '--no-mdns', '--no-dht'] })
pin(node.child.pid, OUR_CORE)
const idleRss = rss(node.child.pid)
const made = JSON.parse((await node.cli('keys', ['--json', 'create', 'bench'])).stdout)
const key = made.key
await node.cli('providers', ['add', 'mock', '--url', `http://127.0.0.1:${mockPort}`])
await until('the models of the mock', async () => {
    const res = await fetch(`${node.http}/models`, { headers: { authorization: `Bearer ${key}` } })
    return res.ok && (await res.json()).data.some((m) => m.id === 'fast')
})
const ours = Number(new URL(node.http).port)
const proxy = await nginx(mockPort)
const script = join(temporaryFolder('wrk'), 'chat.lua')
writeFileSync(script, `wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.headers["Authorization"] = "Bearer ${key}"
wrk.body = '{"model":"fast","max_tokens":16,"messages":[{"role":"user","content":"Say something about foxes."}]}'
`)

console.log(`${cpus()[0].model}, ${cpus().length} processors, load ${loadavg().map((l) => l.toFixed(1)).join(' ')}`)
console.log(`idle resident memory, no model: ${idleRss.toFixed(1)} MiB (wanted: under 20)`)

if (wants('rate')) {
    const names = { gate: [ours, node.child.pid], nginx: [proxy.port, worker(proxy.child.pid)], direct: [mockPort] }
    const got = { gate: [], nginx: [], direct: [] }, cost = { gate: [], nginx: [] }
    for (const port of [ours, proxy.port]) wrk(script, port, 1)
    for (let round = 0; round < ROUNDS; round++) {
        for (const [name, [port, pid]] of Object.entries(names)) {
            const before = pid && ticks(pid)
            const rate = wrk(script, port)
            got[name].push(rate)
            if (pid) cost[name].push((ticks(pid) - before) * 1e4 / (rate * SECONDS))
        }
    }
    const ratio = median(got.gate.map((r, i) => r / got.nginx[i]))
    console.log(`chat completions/s, ${CONNECTIONS} connections (wanted: ratio 1.0): gate ${median(got.gate).toFixed(0)}, ` +
        `nginx ${median(got.nginx).toFixed(0)}, ratio ${ratio.toFixed(2)}; the mock alone ${median(got.direct).toFixed(0)}`)
    console.log(`  processor time a request: gate ${median(cost.gate).toFixed(1)} µs, nginx ${median(cost.nginx).toFixed(1)} µs`)
}

function judge(what, field, runs, wanted) {
    const added = (i) => median(runs.map((r) => r[i][field].p99 - r[0][field].p99)).toFixed(0)
    const p50 = (i) => median(runs.map((r) => r[i][field].p50)).toFixed(0)
    console.log(`${what} in µs, one connection: p50 direct ${p50(0)}, gate ${p50(1)}, nginx ${p50(2)}; ` +
        `added p99 gate ${added(1)}, nginx ${added(2)} (wanted: at most ${wanted})`)
}

function rounds(what, count) {
    return Array.from({ length: ROUNDS }, () => load(what, count, key, mockPort, ours, proxy.port))
}

if (wants('latency')) judge('answer', 'whole', rounds('latency', LATENCIES), 200)
if (wants('stream')) {
    const runs = rounds('stream', STREAMS)
    judge('first event', 'first', runs, 500)
    judge('gap between events (5 ms)', 'gap', runs, 500)
}

if (wants('many')) {
    const before = ticks(node.child.pid)
    const m = load('many', 2000, STREAM_EVENTS, key, ours)
    const busy = (ticks(node.child.pid) - before) / m.seconds
    console.log(`2,000 streams, 50 events/s: ${m.events} events, ${m.lost} lost, ${m.wrong} wrong, ${m.ended} ended ` +
        `in ${m.seconds} s; the node used ${busy.toFixed(0)} % of a core, ${rss(node.child.pid).toFixed(0)} MiB`)
    if (m.lost || m.wrong || m.ended !== 2000) process.exitCode = 1
}

if (wants('idle')) {
    const before = rss(node.child.pid)
    const child = spawn('taskset', ['-c', OTHER_CORE, LOAD, 'idle', String(IDLE), key, String(ours)],
        { stdio: ['pipe', 'pipe', 'inherit'] })
    const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
    const line = JSON.parse(value)
    await new Promise((done) => setTimeout(done, 3000))
    const at = rss(node.child.pid)
    console.log(`${IDLE} idle streams (each two of the node's descriptors): ${line.first} open, ${at.toFixed(0)} MiB resident (wanted: under 400), ` +
        `${((at - before) * 1024 / IDLE).toFixed(1)} KiB a stream`)
    if (line.first !== IDLE) process.exitCode = 1
    child.stdin.end()
}

if (wants('route')) {
    console.log(execFileSync('taskset', ['-c', OTHER_CORE, join(BUILD, 'bench/route-bench')]).toString().trimEnd())
}

if (wants('growth')) {
    const seconds = Number(named.find(([n]) => n === 'growth')?.[1] ?? 3600)
    const samples = []
    const began = Date.now()
    while (Date.now() - began < seconds * 1000) {
        wrk(script, ours, 5)
        load('stream', 5, key, ours)
        samples.push([(Date.now() - began) / 3.6e6, rss(node.child.pid)])
    }
    // The book of records fills up first: the slope is of the latter half.
    const half = samples.slice(Math.floor(samples.length / 2))
    const mean = (i) => half.reduce((a, s) => a + s[i], 0) / half.length
    const [mx, my] = [mean(0), mean(1)]
    const slope = half.reduce((a, [x, y]) => a + (x - mx) * (y - my), 0) / half.reduce((a, [x]) => a + (x - mx) ** 2, 0)
    console.log(`resident memory after ${seconds} s of load: ${samples.at(-1)[1].toFixed(1)} MiB, ` +
        `growth in the latter half ${slope.toFixed(2)} MiB/h, ${(slope * (half.at(-1)[0] - half[0][0])).toFixed(2)} MiB in all`)
    if (slope * (half.at(-1)[0] - half[0][0]) > GROWTH_MAX_MIB) process.exitCode = 1
}
process.exit()
