// Our Kademlia against the JavaScript one, each in both roles, over /ipfs/kad/1.0.0.
//
// build/examples/p2p-peer serves the DHT and asks it: --bootstrap ADDR, --kad-find PEER,
// --kad-put KEY=VALUE, --kad-get KEY, --kad-provide CIDHEX, --kad-providers CIDHEX, --kad-client.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { identify } from '@libp2p/identify'
import { kadDHT, passthroughMapper } from '@libp2p/kad-dht'
import { noise } from '@libp2p/noise'
import { peerIdFromString } from '@libp2p/peer-id'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { CID } from 'multiformats/cid'
import * as Digest from 'multiformats/hashes/digest'
import { chunks, write } from './lib/js-peer.mjs'
import { BUILD, Child, endAll, run, until } from './lib/process.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const PROTOCOL = '/ipfs/kad/1.0.0'
const text = (bytes) => Buffer.from(bytes).toString('utf8')
const bytes = (string) => new Uint8Array(Buffer.from(string))
const nodes = []

async function jsNode({ clientMode = false, validate = async () => {} } = {}) {
    const node = await createLibp2p({
        addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
        transports: [tcp()],
        connectionEncrypters: [noise()],
        streamMuxers: [yamux()],
        connectionGater: { denyDialMultiaddr: () => false },
        connectionManager: { inboundConnectionThreshold: 1e6, maxIncomingPendingConnections: 1000 },
        services: {
            identify: identify(),
            ping: ping(),
            dht: kadDHT({
                protocol: PROTOCOL,
                clientMode,
                peerInfoMapper: passthroughMapper,
                validators: { og: validate, zz: async () => {} },
                selectors: { og: () => 0, zz: () => 0 }
            })
        }
    })
    nodes.push(node)
    return node
}

const cidOf = (string) => CID.createV1(0x55, Digest.create(0x12, createHash('sha256').update(string).digest()))
const hexOf = (cid) => Buffer.from(cid.bytes).toString('hex')
const idOf = (address) => multiaddr(address).toString().split('/p2p/').pop()
const addressOf = (node) => node.getMultiaddrs()[0].toString()

async function serve(...args) {
    const child = new Child(P2P_PEER, args)
    return { child, address: await child.line(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW\w+$/) }
}

const ask = (...args) => run(P2P_PEER, args, { timeout: 60_000 })

// All events of one kind that a query of the JavaScript DHT yields.
async function events(query, name) {
    const found = []
    for await (const event of query) if (event.name === name) found.push(event)
    return found
}

const signal = () => ({ signal: AbortSignal.timeout(30_000) })

let ours, other, js, jsOther

before(async () => {
    ours = await serve()
    other = await serve('--bootstrap', ours.address)
    js = await jsNode()
    jsOther = await jsNode()
    await js.dial(multiaddr(ours.address))
    await jsOther.dial(multiaddr(ours.address))
    await until('both JavaScript nodes know ours', () =>
        js.services.dht.routingTable.size > 0 && jsOther.services.dht.routingTable.size > 0)
})

after(async () => {
    await Promise.all(nodes.map((node) => node.stop()))
    endAll()
})

test('identify lists the protocol of a server', async () => {
    const known = await until('identified', async () => {
        const peer = await js.peerStore.get(peerIdFromString(idOf(ours.address)))
        return peer.protocols.includes(PROTOCOL) && peer
    })
    assert.ok(known)
})

test('js finds a peer of ours through ours', async () => {
    const wanted = peerIdFromString(idOf(other.address))
    const [final] = await until('the peer', async () => {
        const found = await events(js.services.dht.findPeer(wanted, signal()), 'FINAL_PEER')
        return found.length > 0 && found
    })
    assert.equal(final.peer.id.toString(), wanted.toString())
    assert.ok(final.peer.multiaddrs.some((a) => other.address.startsWith(a.toString().split('/p2p/')[0])))
})

test('ours finds a js peer through js', async () => {
    const wanted = jsOther.peerId.toString()
    await js.dial(multiaddr(addressOf(jsOther)))
    const done = await until('the peer', async () => {
        const result = await ask('--bootstrap', addressOf(js), '--kad-find', wanted)
        return result.code === 0 && result
    })
    const found = done.stdout.split('\n').filter((line) => line.startsWith('found '))
    assert.ok(found.some((line) => addressOf(jsOther).startsWith(line.slice(6))), done.stdout)
})

test('ours finds a js peer through ours', async () => {
    const done = await ask('--bootstrap', ours.address, '--kad-find', jsOther.peerId.toString())
    assert.equal(done.code, 0, done.stderr)
    assert.ok(done.stdout.includes(addressOf(jsOther).split('/p2p/')[0]), done.stdout)
})

test('js puts, ours and js get', async () => {
    const key = '/og/from-js'
    await events(js.services.dht.put(bytes(key), bytes('written by js'), signal()), 'PEER_RESPONSE')
    const done = await ask('--bootstrap', ours.address, '--kad-client', '--kad-get', key)
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, /^value written by js$/m)
    const answers = await events(jsOther.services.dht.get(bytes(key), signal()), 'PEER_RESPONSE')
    const kept = answers.find((a) => a.record && a.from.toString() === idOf(ours.address))
    assert.ok(kept, 'an answer of ours with the record')
    assert.equal(text(kept.record.value), 'written by js')
    assert.ok(Math.abs(Date.now() - kept.record.timeReceived.getTime()) < 60_000, 'the time of its receipt')
})

test('ours puts, js gets', async () => {
    const key = '/og/from-c'
    const done = await ask('--bootstrap', addressOf(js), '--kad-put', `${key}=written in C`)
    assert.equal(done.code, 0, done.stderr)
    const values = await events(js.services.dht.get(bytes(key), signal()), 'VALUE')
    assert.ok(values.some((v) => text(v.value) === 'written in C'), JSON.stringify(values))
})

test('js provides, ours finds it', async () => {
    const cid = cidOf('provided by js')
    await events(js.services.dht.provide(cid, signal()), 'PEER_RESPONSE')
    const done = await until('a provider', async () => {
        const result = await ask('--bootstrap', ours.address, '--kad-client', '--kad-providers', hexOf(cid))
        return result.code === 0 && result
    })
    assert.ok(done.stdout.includes(`provider ${js.peerId}`), done.stdout)
})

test('ours provides, js finds it with its address', async () => {
    const cid = cidOf('provided in C')
    const provider = await serve('--bootstrap', addressOf(js), '--kad-provide', hexOf(cid))
    await provider.child.line(/^provided /, { timeout: 30_000 })
    const found = await until('a provider', async () => {
        const list = await events(js.services.dht.findProviders(cid, signal()), 'PROVIDER')
        return list.length > 0 && list
    })
    const all = found.flatMap((event) => event.providers)
    const entry = all.find((p) => p.id.toString() === idOf(provider.address))
    assert.ok(entry, all.map((p) => p.id.toString()).join())
    const known = await js.peerStore.get(entry.id)
    assert.ok(known.addresses.some((a) => provider.address.startsWith(a.multiaddr.toString().split('/p2p/')[0])))
    await provider.child.stop()
})

test('ours refuses values without a validator, and says so by a reset', async () => {
    const answers = await events(js.services.dht.put(bytes('/zz/x'), bytes('y'), signal()), 'PEER_RESPONSE')
    const took = answers.filter((a) => a.from.toString() === idOf(ours.address) && a.messageName === 'PUT_VALUE')
    assert.equal(took.length, 0)
    const done = await ask('--bootstrap', ours.address, '--kad-get', '/zz/x')
    assert.equal(done.code, 1)
    assert.match(done.stderr, /no validator/)
})

test('js refuses a value, ours says that nobody took it', async () => {
    const strict = await jsNode({
        validate: async (key, value) => {
            if (text(value).startsWith('bad')) throw new Error('bad value')
        }
    })
    const good = await ask('--bootstrap', addressOf(strict), '--kad-put', '/og/strict=good')
    assert.equal(good.code, 0, good.stderr)
    const bad = await ask('--bootstrap', addressOf(strict), '--kad-put', '/og/strict=bad')
    assert.equal(bad.code, 1)
    assert.match(bad.stderr, /nobody took it/)
})

test('a js client is not asked, and a client of ours is not in the table of js', async () => {
    const client = await jsNode({ clientMode: true })
    const done = await ask('--bootstrap', addressOf(client), '--kad-get', '/og/x')
    assert.equal(done.code, 1)
    assert.match(done.stderr, /no peer of the DHT is known/)

    const server = await jsNode()
    const quiet = await serve('--bootstrap', addressOf(server), '--kad-client')
    await until('identified', async () => {
        const known = await server.peerStore.get(peerIdFromString(idOf(quiet.address)))
        return known.protocols.includes('/echo/1.0.0')
    })
    // A stream that we opened makes js believe that we serve its protocol, so identify is asked anew.
    const said = await ask('--dial', quiet.address, '--protocol', '/ipfs/id/1.0.0')
    assert.match(said.stdout, /^protocol \/echo\/1\.0\.0$/m)
    assert.doesNotMatch(said.stdout, /kad/)
    assert.equal(server.services.dht.routingTable.size, 0)
    await assert.rejects(server.dialProtocol(multiaddr(quiet.address), PROTOCOL))
    await quiet.child.stop()
})

// ---- on the wire -------------------------------------------------------------------------------

const framed = (hex) => {
    const body = Buffer.from(hex, 'hex')
    return Buffer.concat([Buffer.from([body.length]), body])
}
// FIND_NODE for a key that nobody has.
const FIND_NODE = framed(`08041222${'1220' + '11'.repeat(32)}`)

async function messages(stream, count) {
    let received = Buffer.alloc(0)
    const found = []
    for await (const chunk of chunks(stream)) {
        received = Buffer.concat([received, chunk])
        for (;;) {
            let length = 0, used = 0
            while (used < received.length && received[used] & 0x80) used++
            if (used >= received.length) break
            for (let i = used; i >= 0; i--) length = length * 128 + (received[i] & 0x7f)
            if (received.length < used + 1 + length) break
            found.push(received.subarray(used + 1, used + 1 + length))
            received = received.subarray(used + 1 + length)
        }
        if (found.length >= count) return found
    }
    return found
}

test('several requests on one stream, one write', async () => {
    const stream = await js.dialProtocol(multiaddr(ours.address), PROTOCOL)
    await write(stream, Buffer.concat([FIND_NODE, FIND_NODE, FIND_NODE]))
    const answers = await messages(stream, 3)
    assert.equal(answers.length, 3)
    for (const answer of answers) assert.equal(answer.subarray(0, 2).toString('hex'), '0804')
    await stream.close()
})

const BROKEN = {
    'an unknown type': framed('0809'),
    'a request without a key': framed('0804'),
    'the dead ping': framed('0805120161'),
    'broken protobuf': framed('12ff'),
    'a message of no length': Buffer.from([0]),
    'a message that is too long': Buffer.from([0xff, 0xff, 0x7f]),
    'a record under another key': framed('0800' + '12052f6f672f61' + '1a0a' + '0a052f6f672f62' + '120178'),
    'providers of what is no multihash': framed('0803' + '120161')
}

for (const [what, request] of Object.entries(BROKEN)) {
    test(`${what} is reset, and costs nothing more`, async () => {
        const stream = await js.dialProtocol(multiaddr(ours.address), PROTOCOL)
        await write(stream, request)
        await assert.rejects(messages(stream, 1), /reset/i)
        const next = await js.dialProtocol(multiaddr(ours.address), PROTOCOL)
        await write(next, FIND_NODE)
        assert.equal((await messages(next, 1)).length, 1)
        await next.close()
    })
}

// The numbers of a message's fields, all of which are varints or bytes here.
function fields(message) {
    const numbers = []
    let at = 0
    const varint = () => {
        let value = 0, shift = 1
        for (;;) {
            const byte = message[at++]
            value += (byte & 0x7f) * shift
            if (!(byte & 0x80)) return value
            shift *= 128
        }
    }
    while (at < message.length) {
        const tag = varint()
        numbers.push(tag >> 3)
        const value = varint()
        if ((tag & 7) === 2) at += value
    }
    return numbers
}

const hexOfPeer = (id) => Buffer.from(id.toMultihash().bytes).toString('hex')

async function announce(node, id, key) {
    const entry = `0a26${hexOfPeer(id)}` + '1208' + '047f000001060fa0' // /ip4/127.0.0.1/tcp/4000
    const stream = await node.dialProtocol(multiaddr(ours.address), PROTOCOL)
    await write(stream, framed(`08021222${key}4a${(entry.length / 2).toString(16)}${entry}`))
    await stream.close()
}

async function hasProviders(node, key) {
    const stream = await node.dialProtocol(multiaddr(ours.address), PROTOCOL)
    await write(stream, framed(`08031222${key}`))
    const [answer] = await messages(stream, 1)
    await stream.close()
    return fields(answer).includes(9)
}

// From nodes of their own: forgeries cost the stream and are counted, and what came before is too.
test('only what a peer says about itself makes a provider', async () => {
    const key = `1220${'22'.repeat(32)}`
    const forger = await jsNode(), honest = await jsNode()
    await announce(forger, peerIdFromString(idOf(other.address)), key).catch(() => {})
    assert.equal(await hasProviders(honest, key), false)
    await announce(honest, honest.peerId, key)
    assert.equal(await hasProviders(honest, key), true)
    await forger.stop()
    await honest.stop()
})
