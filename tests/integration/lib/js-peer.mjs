// A JavaScript libp2p node that serves what build/examples/p2p-peer serves, and the client side of
// it. Also a program of its own with the same command line:
//
//   node js-peer.mjs --listen /ip4/127.0.0.1/tcp/0
import './polyfill.mjs'
import { realpathSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

export const STREAMS_MAX = 4096

export async function jsNode(listen = [], services = {}) {
    const node = await createLibp2p({
        addresses: { listen },
        transports: [tcp()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux({ maxInboundStreams: STREAMS_MAX, maxOutboundStreams: STREAMS_MAX })],
        connectionGater: { denyDialMultiaddr: () => false },
        connectionManager: {
            maxConnections: 10_000, maxIncomingPendingConnections: 1000, inboundConnectionThreshold: 1e6
        },
        services: { identify: identify(), ping: ping(), ...services }
    })
    const options = { maxInboundStreams: STREAMS_MAX, maxOutboundStreams: STREAMS_MAX }
    await node.handle('/echo/1.0.0', serve(echo), options)
    await node.handle('/sink/1.0.0', serve(sink), options)
    return node
}

const serve = (handler) => async (stream) => {
    try {
        await handler(stream)
    } catch (error) {
        stream.abort(error)
    }
}

// What a stream receives, to its end. The stream's own iterator misses an end that came before it
// was started, which happens when data and half-close arrive along with the protocol's name.
export async function* chunks(stream) {
    const queue = []
    let ended = stream.readableEnded, failure, wake = () => {}
    stream.addEventListener('end', () => { ended = true; wake() })
    stream.addEventListener('close', ({ error }) => { failure = error; ended = true; wake() })
    stream.addEventListener('message', ({ data }) => { queue.push(data.subarray()); wake() })
    for (;;) {
        while (queue.length > 0) yield queue.shift()
        if (failure) throw failure
        if (ended) return
        await new Promise((resolve) => { wake = resolve })
    }
}

async function echo(stream) {
    for await (const chunk of chunks(stream)) await write(stream, chunk)
    await stream.close()
}

async function sink(stream) {
    let count = 0n
    for await (const chunk of chunks(stream)) count += BigInt(chunk.byteLength)
    const answer = Buffer.alloc(8)
    answer.writeBigUInt64BE(count)
    await write(stream, answer)
    await stream.close()
}

export async function write(stream, bytes) {
    if (!stream.send(bytes)) await stream.onDrain()
}

// Writes `bytes` in pieces, half-closes, and returns all that comes back.
export async function exchange(stream, bytes, piece = 64 * 1024) {
    const received = []
    const reading = (async () => {
        for await (const chunk of chunks(stream)) received.push(Buffer.from(chunk))
    })()
    reading.catch(() => {}) // awaited below; a failing write must not leave it unhandled
    for (let at = 0; at < bytes.length; at += piece) {
        await write(stream, bytes.subarray(at, at + piece))
    }
    await stream.close()
    await reading
    return Buffer.concat(received)
}

if (process.argv[1] && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
    const node = await jsNode([process.argv[process.argv.indexOf('--listen') + 1]])
    console.log(node.getMultiaddrs()[0].toString())
    process.on('SIGTERM', async () => {
        await node.stop()
        process.exit(0)
    })
}
