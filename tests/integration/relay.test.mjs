// Circuit relay v2 against the JavaScript libp2p: each in each role.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { circuitRelayServer, circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { multiaddr } from '@multiformats/multiaddr'
import { exchange, jsNode } from './lib/js-peer.mjs'
import { BUILD, Child, endAll, run, until } from './lib/process.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const LOCAL = '/ip4/127.0.0.1/tcp/0'
const ADDRESS = /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW\w+$/m
const CIRCUIT = /^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW\w+\/p2p-circuit\/p2p\/12D3KooW\w+$/m

const nodes = []

after(async () => {
    await Promise.all(nodes.map((n) => n.stop()))
    endAll()
})

// One of ours: its address, and its address through `relay` when there is one.
async function ours({ relay, args = [] } = {}) {
    const child = new Child(P2P_PEER, ['--listen', LOCAL, ...args,
        ...(relay ? ['--relay', relay] : [])])
    const address = await child.line(ADDRESS)
    return { child, address, circuit: relay && await child.line(CIRCUIT) }
}

async function theirs(options) {
    const { listen = [LOCAL], ...rest } = options
    const node = await jsNode(listen, { handlers: { runOnLimitedConnection: true }, ...rest })
    nodes.push(node)
    return node
}

const theirRelay = (init) => theirs({
    services: {
        relay: circuitRelayServer({
            reservations: { applyDefaultLimit: false, ...init }
        })
    }
})

const theirClient = (listen = []) => theirs({ listen, transports: [circuitRelayTransport()] })

// One of theirs that listens through `relay` only: its circuit address.
async function theirListener(relay) {
    const node = await theirClient([`${relay}/p2p-circuit`])
    const address = await until('reserved', () => node.getMultiaddrs()
        .map(String).find((a) => a.includes('/p2p-circuit/p2p/')))
    return { node, address }
}

const echo = async (node, address, bytes) => {
    const stream = await node.dialProtocol(multiaddr(address), '/echo/1.0.0',
        { runOnLimitedConnection: true })
    return bytes.equals(await exchange(stream, bytes))
}

const oursEchoes = (address, bytes) => run(P2P_PEER,
    ['--dial', address, '--protocol', '/echo/1.0.0', '--bytes', String(bytes)], { timeout: 60_000 })

test('ours relays between two of theirs', { timeout: 60_000 }, async () => {
    const relay = await ours()
    const { node: b, address } = await theirListener(relay.address)
    const a = await theirClient()
    assert.ok(await echo(a, address, randomBytes(1_000_000)))
    const [connection] = a.getConnections(b.peerId)
    assert.match(connection.remoteAddr.toString(), /p2p-circuit/)
    assert.ok(connection.limits, 'they see that it is limited')
    assert.ok(await a.services.ping.ping(b.peerId, { runOnLimitedConnection: true }) < 1000)
})

test('theirs sees our limit of bytes', { timeout: 60_000 }, async () => {
    const relay = await ours({ args: ['--relay-bytes', '100000'] })
    const { node: b, address } = await theirListener(relay.address)
    const a = await theirClient()
    assert.ok(await echo(a, address, randomBytes(10_000)))
    await assert.rejects(echo(a, address, randomBytes(300_000)))
    await until('the circuit is gone', () => a.getConnections(b.peerId).length === 0)
    assert.ok(await echo(a, address, randomBytes(10_000)), 'another circuit opens')
})

test('theirs relays between two of ours', { timeout: 60_000 }, async () => {
    const relay = await theirRelay()
    const b = await ours({ relay: relay.getMultiaddrs()[0].toString() })
    const done = await oursEchoes(b.circuit, 1_000_000)
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, /1000000 bytes each/)
})

test('theirs relays within its default limits', { timeout: 60_000 }, async () => {
    const relay = await theirRelay({ applyDefaultLimit: true })
    const b = await ours({ relay: relay.getMultiaddrs()[0].toString() })
    const small = await oursEchoes(b.circuit, 20_000)
    assert.equal(small.code, 0, small.stderr)
    const large = await oursEchoes(b.circuit, 1_000_000)
    assert.notEqual(large.code, 0)
})

test('ours behind theirs is reached by theirs', { timeout: 60_000 }, async () => {
    const relay = await theirRelay()
    const b = await ours({ relay: relay.getMultiaddrs()[0].toString() })
    const a = await theirClient()
    assert.ok(await echo(a, b.circuit, randomBytes(1_000_000)))
    const known = await until('identified', async () => {
        const p = await a.peerStore.get(a.getConnections()
            .find((c) => c.remoteAddr.toString().includes('p2p-circuit')).remotePeer)
        return p.protocols.length > 0 && p
    })
    assert.ok(known.addresses.some((x) => x.multiaddr.toString().includes('/p2p-circuit')),
        'identify tells the circuit address')
    assert.ok(known.protocols.includes('/libp2p/circuit/relay/0.2.0/stop'))
})

test('ours reaches theirs behind ours', { timeout: 60_000 }, async () => {
    const relay = await ours()
    const { address } = await theirListener(relay.address)
    const done = await oursEchoes(address, 500_000)
    assert.equal(done.code, 0, done.stderr)
})

test('ours moves to another relay when theirs ends', { timeout: 60_000 }, async () => {
    const first = await theirRelay()
    const relay = first.getMultiaddrs()[0].toString()
    const second = await ours()
    const b = await ours({ relay, args: ['--relay', second.address] })
    await until('both', () => b.child.text().split('\n').filter((l) => CIRCUIT.test(l)).length === 2)
    await first.stop()
    const lines = b.child.text().split('\n').filter((l) => CIRCUIT.test(l))
    const other = lines.find((l) => l.startsWith(second.address))
    const done = await oursEchoes(other, 1000)
    assert.equal(done.code, 0, done.stderr)
})

test('no reservation, no circuit; a relay that is none', { timeout: 60_000 }, async () => {
    const relay = await theirRelay()
    const a = await ours()
    const peer = a.address.split('/p2p/')[1]
    const circuit = `${relay.getMultiaddrs()[0]}/p2p-circuit/p2p/${peer}`
    const done = await oursEchoes(circuit, 10)
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /no reservation/)
    const plain = await theirs({})
    const none = await oursEchoes(`${plain.getMultiaddrs()[0]}/p2p-circuit/p2p/${peer}`, 10)
    assert.notEqual(none.code, 0)
})
