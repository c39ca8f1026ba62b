#!/usr/bin/env node
// HTTP requests per second next to nginx, and the latency that a hop adds, next to nginx as a proxy.
//
//   rate     wrk on GET /health of a node, and on `return 200` of nginx with the same body; one worker
//            each, interleaved, best of three
//   latency  one chat completion of one token at a time: asked at the node that has the model,
//            through nginx in front of it, and at a second node that forwards it over libp2p
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { Agent, request } from 'node:http'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { Node } from '../tests/integration/lib/gate.mjs'
import { Child, freePort, temporaryFolder, until } from '../tests/integration/lib/process.mjs'
import { writeTinyModel } from '../tests/integration/lib/tiny-gguf.mjs'

const ROUNDS = 3, SECONDS = 4, CONNECTIONS = 64, REQUESTS = 1000

async function nginx(target, body) {
    const folder = temporaryFolder('nginx'), port = await freePort()
    const conf = join(folder, 'nginx.conf')
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
        .map((p) => `${p}_temp_path ${folder}/${p};`).join(' ')
    writeFileSync(conf, `
        daemon off; worker_processes 1; pid ${folder}/pid; error_log ${folder}/error.log;
        events { worker_connections 1024; }
        http {
            access_log off; keepalive_requests 1000000000; ${paths}
            upstream node { server ${target}; keepalive 16; }
            server {
                listen 127.0.0.1:${port};
                location = /health { default_type application/json; return 200 '${body}'; }
                location / {
                    proxy_pass http://node; proxy_http_version 1.1;
                    proxy_set_header Connection ""; proxy_set_header Host $http_host;
                }
            }
        }`)
    const child = new Child('/usr/sbin/nginx', ['-e', `${folder}/error.log`, '-p', folder, '-c', conf])
    await until('nginx', async () => (await fetch(`http://127.0.0.1:${port}/health`)).ok)
    return { child, origin: `http://127.0.0.1:${port}` }
}

function wrk(url) {
    const out = execFileSync('wrk', ['-t1', `-c${CONNECTIONS}`, `-d${SECONDS}s`, '--latency', url])
        .toString()
    if (/Non-2xx|Socket errors/.test(out)) throw new Error(out)
    return {
        rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(out)[1]),
        p99: /99%\s+(\S+)/.exec(out)[1]
    }
}

const agent = new Agent({ keepAlive: true, maxSockets: 1 })

function ask(origin, body) {
    return new Promise((done, fail) => {
        const began = process.hrtime.bigint()
        const req = request(`${origin}/v1/chat/completions`, {
            method: 'POST', agent, headers: { 'content-type': 'application/json' }
        }, (res) => {
            let text = ''
            res.on('data', (data) => { text += data })
            res.on('end', () => res.statusCode === 200
                ? done(Number(process.hrtime.bigint() - began) / 1e3)
                : fail(new Error(`${origin}: status ${res.statusCode}: ${text}`)))
        })
        req.on('error', fail)
        req.end(body)
    })
}

const quantile = (sorted, q) => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))]

const model = join(temporaryFolder('model'), 'tiny.gguf')
writeTinyModel(model, { embd: 64, ff: 64, layers: 1, context: 512 })
const server = await Node.start('server', { args: ['--cluster', 'bench', '--model', model] })
const hop = await Node.start('hop', {
    args: ['--cluster', 'bench', '--model', 'none', '--bootstrap', server.address]
})
const [id] = await server.modelIds()
await hop.seesModel(id)
const origin = (node) => new URL(node.http).origin
const health = await (await fetch(`${origin(server)}/health`)).text()
const proxy = await nginx(new URL(server.http).host, health)

console.log(`${cpus()[0].model}, ${cpus().length} processors`)
const best = {}
for (let round = 0; round < ROUNDS; round++) {
    for (const [name, url] of [['gate', origin(server)], ['nginx', proxy.origin]]) {
        const got = wrk(`${url}/health`)
        if (!best[name] || got.rate > best[name].rate) best[name] = got
    }
}
console.log(`requests/s at ${CONNECTIONS} connections, best of ${ROUNDS}:`)
for (const [name, { rate, p99 }] of Object.entries(best)) {
    console.log(`  ${name.padEnd(6)} ${rate.toFixed(0).padStart(8)}   p99 ${p99}`)
}

const body = JSON.stringify({ model: id, max_tokens: 1, temperature: 0, messages: [{ role: 'user', content: 'x' }] })
const routes = [['direct', origin(server)], ['through nginx', proxy.origin], ['over libp2p', origin(hop)]]
const times = Object.fromEntries(routes.map(([name]) => [name, []]))
for (let i = 0; i < REQUESTS + 50; i++) {
    for (const [name, url] of routes) {
        const microseconds = await ask(url, body)
        if (i >= 50) times[name].push(microseconds)
    }
}
console.log(`latency of a one-token chat, ${REQUESTS} each, one at a time, in microseconds:`)
for (const sorted of Object.values(times)) sorted.sort((a, b) => a - b)
const base = times.direct
for (const [name, sorted] of Object.entries(times)) {
    const [p50, p99] = [quantile(sorted, 0.5), quantile(sorted, 0.99)]
    const added = name === 'direct' ? '' : `   added p50 ${(p50 - quantile(base, 0.5)).toFixed(0)}`
    console.log(`  ${name.padEnd(14)} p50 ${p50.toFixed(0).padStart(6)}   p99 ${p99.toFixed(0).padStart(6)}${added}`)
}
process.exit(0)
