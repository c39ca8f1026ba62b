#!/usr/bin/env node
// Handshakes and stream throughput of our libp2p and of the JavaScript one, in the same run.
//
// The same client drives both servers, so what counts is the processor time that each server spends:
// a server that spends s seconds on n handshakes can make n/s per core, whatever the client manages.
import '../tests/integration/lib/polyfill.mjs'
import { readFileSync } from 'node:fs'
import { cpus } from 'node:os'
import { join } from 'node:path'
import { multiaddr } from '../tests/integration/node_modules/@multiformats/multiaddr/dist/src/index.js'
import { exchange, jsNode } from '../tests/integration/lib/js-peer.mjs'
import { BUILD, Child, ROOT } from '../tests/integration/lib/process.mjs'
import { RawPeer } from '../tests/integration/lib/raw-peer.mjs'

const HANDSHAKES = 2000, AT_ONCE = 8
const MIB = 1024 * 1024, UPLOAD = 256 * MIB
const TICKS_PER_SECOND = 100

const servers = [
    ['ours', join(BUILD, 'examples', 'p2p-peer'), []],
    ['js-libp2p', process.execPath, [join(ROOT, 'tests/integration/lib/js-peer.mjs')]]
]

// Seconds of processor time that a process has used.
function used(pid) {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND
}

// { wall, cpu } in seconds of doing `work` against the server.
async function measure(server, work) {
    const cpu = used(server.pid), began = performance.now()
    await work()
    return { wall: (performance.now() - began) / 1000, cpu: used(server.pid) - cpu }
}

async function handshakes(port, count) {
    let left = count
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) {
            const peer = await RawPeer.connected(port)
            peer.destroy()
        }
    }))
}

const client = await jsNode()
const zeros = Buffer.alloc(UPLOAD)

console.log(`${cpus()[0].model}, ${cpus().length} processors, Node ${process.version}`)
console.log('server       handshakes/s   per core     MiB/s of upload   per core')
for (const [name, program, args] of servers) {
    const server = new Child(program, [...args, '--listen', '/ip4/127.0.0.1/tcp/0'])
    const address = await server.line(/\/p2p\//)
    const port = Number(/tcp\/(\d+)/.exec(address)[1])
    await handshakes(port, 200) // warm up: the JavaScript compiler, our stack pool
    const shaken = await measure(server, () => handshakes(port, HANDSHAKES))
    const upload = () => client.dialProtocol(multiaddr(address), '/sink/1.0.0')
        .then((stream) => exchange(stream, zeros))
    const sent = await measure(server, upload)
    console.log([name.padEnd(10),
        (HANDSHAKES / shaken.wall).toFixed(0).padStart(14),
        (HANDSHAKES / shaken.cpu).toFixed(0).padStart(10),
        (UPLOAD / MIB / sent.wall).toFixed(0).padStart(19),
        (UPLOAD / MIB / sent.cpu).toFixed(0).padStart(10)].join(' '))
    await server.stop()
}
await client.stop()
