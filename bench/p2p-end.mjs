// One end of the comparison in bench/p2p.mjs, made of the JavaScript libp2p. bench/p2p-end.c is the
// same in C, with the same command line and the same commands.
//
//   node p2p-end.mjs [--gossip] [--listen MULTIADDR]
//
// Prints its address, or "ready", then does what standard input says, one command per line, and
// answers each with "done SECONDS" ("heard": the count) or "failed WHY". What comes over the network it serves all the
// while: /echo/1.0.0, /sink/1.0.0 (tests/integration/lib/js-peer.mjs) and, with --gossip, gossipsub.
import '../tests/integration/lib/polyfill.mjs'
import { createInterface } from 'node:readline'
import { gossipsub } from '../tests/integration/node_modules/@libp2p/gossipsub/dist/src/index.js'
import { multiaddr } from '../tests/integration/node_modules/@multiformats/multiaddr/dist/src/index.js'
import { jsNode, write } from '../tests/integration/lib/js-peer.mjs'

const ECHO = '/echo/1.0.0', SINK = '/sink/1.0.0'
const BULK = 'og-bulk' // the topic that build/examples/p2p-peer passes on
const PIECE = 64 * 1024
const WINDOW = 1024, ACK_EVERY = 128 // gossip messages under way; heard before that is told
const MESSAGE = 64 // bytes of a gossip message
const SILENCE_MS = 5000 // of the subscriber: something was lost

const option = (name) => process.argv.includes(name) && process.argv[process.argv.indexOf(name) + 1]
const listen = option('--listen')
const gossips = process.argv.includes('--gossip')

// Its monitor gives a connection up whose other end is too busy to answer a ping in time.
const patient = { connectionMonitor: { enabled: false } }
const node = await jsNode(listen ? [listen] : [], gossips
    ? { services: { pubsub: gossipsub({ allowPublishToZeroTopicPeers: true }) }, ...patient }
    : patient)
const pubsub = node.services.pubsub
let peer // the address that "dial" named
let connection

const seconds = (began) => (performance.now() - began) / 1000

// ---- streams -----------------------------------------------------------------------------------

// Resolves at the end of what comes in, to the number of bytes.
function drained(stream) {
    return new Promise((resolve, reject) => {
        let count = 0
        stream.addEventListener('message', ({ data }) => { count += data.byteLength })
        stream.addEventListener('end', () => resolve(count))
        stream.addEventListener('close', ({ error }) => (error ? reject(error) : resolve(count)))
        if (stream.readableEnded) resolve(count)
    })
}

async function send(protocol, bytes) {
    const began = performance.now()
    const stream = await connection.newStream(protocol)
    const came = drained(stream)
    const zeros = new Uint8Array(PIECE)
    for (let left = bytes; left > 0; left -= PIECE) {
        await write(stream, left < PIECE ? zeros.subarray(0, left) : zeros)
    }
    await stream.close()
    const count = await came
    const expected = protocol === ECHO ? bytes : 8
    if (count !== expected) throw new Error(`${count} bytes came back instead of ${expected}`)
    return seconds(began)
}

// `count` times `one`, `lanes` at a time.
async function many(count, lanes, one) {
    const began = performance.now()
    let left = count
    await Promise.all(Array.from({ length: lanes }, async () => {
        while (left-- > 0) await one()
    }))
    return seconds(began)
}

async function openAndClose() {
    const stream = await connection.newStream(ECHO)
    const came = drained(stream)
    await stream.close()
    await came
}

// One connection per pair of nodes, so each lane is a node of its own.
async function handshakes(count, lanes) {
    const dialers = await Promise.all(Array.from({ length: lanes }, () => jsNode([], patient)))
    const took = await many(count, lanes, async () => {
        const dialer = dialers.pop()
        await (await dialer.dial(peer)).close()
        dialers.push(dialer)
    })
    await Promise.all(dialers.map((dialer) => dialer.stop()))
    return took
}

// ---- gossip ------------------------------------------------------------------------------------

// Messages carry their number; what is shorter tells the number of the last one heard.
function numbered(number, size = MESSAGE) {
    const bytes = Buffer.alloc(size)
    bytes.writeUInt32BE(number)
    return bytes
}

async function meshed() {
    const end = performance.now() + 15_000
    while (pubsub.getMeshPeers(BULK).length === 0) {
        if (performance.now() > end) throw new Error('no mesh')
        await new Promise((done) => setTimeout(done, 50))
    }
}

let told = 0, toldMore = () => {} // of ours, as the subscriber says
let heard = 0, wanted = 0 // of others'

pubsub?.addEventListener('gossipsub:message', ({ detail: { msg } }) => {
    if (msg.topic !== BULK) return
    const number = Buffer.from(msg.data).readUInt32BE()
    if (msg.data.length < MESSAGE) {
        told = number
        toldMore()
        return
    }
    heard++
    if (heard % ACK_EVERY !== 0 && number !== wanted) return
    pubsub.publish(BULK, numbered(number, 4)).catch((error) => console.error(error))
})

function word() {
    return new Promise((resolve, reject) => {
        const silence = setTimeout(() => reject(new Error(`no word after ${told} messages`)), SILENCE_MS)
        toldMore = () => {
            clearTimeout(silence)
            resolve()
        }
    })
}

// Publishes until the last of `count` messages was heard, WINDOW of them under way.
async function publish(count) {
    const began = performance.now()
    told = 0
    for (let sent = 0; sent < count;) {
        if (sent - told < WINDOW) await pubsub.publish(BULK, numbered(++sent))
        else await word()
    }
    while (told < count) await word()
    return seconds(began)
}

// ---- commands ----------------------------------------------------------------------------------

const commands = {
    async dial(address) {
        peer = multiaddr(address)
        connection = await node.dial(peer)
        return 0
    },
    sink: (bytes) => send(SINK, Number(bytes)),
    echo: (bytes) => send(ECHO, Number(bytes)),
    opens: (count, lanes) => many(Number(count), Number(lanes), openAndClose),
    handshakes: (count, lanes) => handshakes(Number(count), Number(lanes)),
    meshed: () => meshed().then(() => 0),
    publish: (count) => publish(Number(count)),
    expect(count) {
        heard = 0
        wanted = Number(count)
        return 0
    },
    heard: () => heard
}

pubsub?.subscribe(BULK)
console.log(listen ? node.getMultiaddrs()[0].toString() : 'ready')
for await (const line of createInterface({ input: process.stdin })) {
    const [name, ...args] = line.split(' ')
    try {
        console.log(`done ${await commands[name](...args)}`)
    } catch (error) {
        console.log(`failed ${error.message}`)
    }
}
await node.stop()
process.exit(0)
