// AutoNAT and hole punching, against the JavaScript libp2p and between ours, behind NAT routers made
// of network namespaces where there is root.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { multiaddr } from '@multiformats/multiaddr'
import { exchange, jsNode } from './lib/js-peer.mjs'
import { Machine, missing, Network, removeNetworks, Router, twoHomes } from './lib/netns.mjs'
import { BUILD, Child, endAll, run, sleep, until } from './lib/process.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const JS_PEER = fileURLToPath(new URL('./lib/js-nat-peer.mjs', import.meta.url))
const ANY = '/ip4/0.0.0.0/tcp/4001'
const skip = missing()

const noRouter = () => ['/usr/sbin/miniupnpd', '/usr/bin/miniupnpd'].some(existsSync)
    ? false : 'miniupnpd is not installed'

after(() => {
    endAll()
    removeNetworks()
})

// ---- AutoNAT on loopback, message by message ---------------------------------------------------

// The JavaScript one's own codec, which it keeps to itself.
async function codec() {
    const file = new URL('./node_modules/@libp2p/autonat/dist/src/pb/index.js', import.meta.url)
    return (await import(file)).Message
}

function frame(bytes) {
    const { length } = bytes
    const prefix = length < 128 ? [length] : [length & 127 | 128, length >> 7]
    return Buffer.concat([Buffer.from(prefix), bytes])
}

async function askOurs(js, address, peerId, addresses) {
    const Message = await codec()
    const stream = await js.dialProtocol(multiaddr(address), '/libp2p/autonat/1.0.0')
    const request = Message.encode({
        type: Message.MessageType.DIAL,
        dial: {
            peer: {
                id: peerId.toMultihash().bytes,
                addrs: addresses.map((a) => multiaddr(a).bytes)
            }
        }
    })
    const answer = await exchange(stream, frame(Buffer.from(request)))
    return Message.decode(answer.subarray(answer[0] > 127 ? 2 : 1)).dialResponse
}

test('AutoNAT: ours dials back for theirs, at the observed address only', async () => {
    const child = new Child(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0'])
    const address = await child.line(/p2p\/12D3KooW/)
    const js = await jsNode(['/ip4/127.0.0.1/tcp/0'])
    try {
        const own = js.getMultiaddrs()[0].toString().split('/p2p/')[0]
        const closed = '/ip4/127.0.0.1/tcp/1'
        const good = await askOurs(js, address, js.peerId, [closed, own])
        assert.equal(good.status, 'OK')
        assert.equal(multiaddr(good.addr).toString(), own)
        assert.equal((await askOurs(js, address, js.peerId, [closed])).status, 'E_DIAL_ERROR')
        assert.equal((await askOurs(js, address, js.peerId, ['/ip4/127.0.0.2/tcp/80'])).status,
            'E_DIAL_REFUSED')
        assert.equal((await askOurs(js, address, js.peerId, [own])).status, 'OK')
        assert.equal((await askOurs(js, address, js.peerId, [own])).status, 'E_DIAL_REFUSED',
            'the fourth dial in a minute')
        assert.equal(js.getConnections().length, 1, 'dialling back leaves the connection')
    } finally {
        await js.stop()
    }
})

// ---- networks ----------------------------------------------------------------------------------

const start = (machine, program, args) => new Child(...machine.command(program, args))
const peer = (machine, args) => start(machine, P2P_PEER, args)
const at = (child, ip) => child.line(new RegExp(`^/ip4/${ip.replaceAll('.', '\\.')}/tcp/\\d+/p2p/\\w+$`))

// Two homes and a relay between them.
async function homesAndRelay({ random = false, relayArgs = [] } = {}) {
    const { internet, homes, join } = twoHomes({ random })
    const relay = peer(join('5.5.5.9'), ['--listen', ANY, ...relayArgs])
    return { internet, homes, relay, relayAddress: await at(relay, '5.5.5.9') }
}

const CIRCUIT = /\/p2p-circuit\/p2p\//

test('DCUtR: routers that keep ports, a hole', { skip, timeout: 90_000 }, async () => {
    // The relay carries too little for what follows.
    const { homes: [a, b], relay, relayAddress } = await homesAndRelay({ relayArgs: ['--relay-bytes', '200000'] })
    const far = peer(b, ['--listen', ANY, '--relay', relayAddress])
    const circuit = await far.line(CIRCUIT)
    const done = await run(...a.command(P2P_PEER, ['--listen', ANY, '--dial', circuit, '--direct',
        '--protocol', '/echo/1.0.0', '--bytes', '5000000']), { timeout: 60_000 })
    assert.equal(done.code, 0, done.stderr + far.stderr)
    await until('far says so', () => /directly connected to/.test(far.stderr))
    // They need the relay no more.
    const near = peer(a, ['--listen', ANY, '--dial', circuit])
    await until('again', () => far.stderr.match(/directly connected to/g)?.length === 2,
        { timeout: 30_000 })
    await relay.stop()
    near.kill()
})

test('DCUtR: random ports on both sides, the relay stays', { skip, timeout: 120_000 }, async () => {
    const { homes: [a, b], relayAddress } = await homesAndRelay({ random: true })
    const far = peer(b, ['--listen', ANY, '--relay', relayAddress])
    const circuit = await far.line(CIRCUIT)
    const near = peer(a, ['--listen', ANY, '--dial', circuit])
    await until('far gives up', () => /reachable by relay only/.test(far.stderr), { timeout: 60_000 })
    assert.doesNotMatch(far.stderr, /directly connected/)
    near.kill()
    const done = await run(...a.command(P2P_PEER, ['--listen', '/ip4/0.0.0.0/tcp/4002',
        '--dial', circuit, '--protocol', '/echo/1.0.0', '--bytes', '5000000']), { timeout: 60_000 })
    assert.equal(done.code, 0, done.stderr)
})

// Theirs does not dial from the port that it listens on, so that no hole opens between two routers;
// but it takes part where one side can be dialled and the other does not know it yet.

test('DCUtR: ours leads theirs to a direct connection', { skip, timeout: 60_000 }, async () => {
    const { homes: [a], internet, relayAddress } = await homesAndRelay()
    const open = new Machine('od')
    internet.plug(open, '5.5.5.8/24', 'eth0')
    const far = peer(open, ['--listen', ANY, '--relay', relayAddress])
    const circuit = await far.line(CIRCUIT)
    // It has an address to tell only when it is sure of one.
    const js = start(a, process.execPath, [JS_PEER, '--listen', ANY, '--announce',
        '/ip4/5.5.5.1/tcp/4001', '--dial', circuit])
    await js.line(/^direct \/ip4\/5\.5\.5\.8\/tcp\/4001/)
    await until('ours knows', () => /directly connected to/.test(far.stderr))
})

test('DCUtR: theirs leads ours to a direct connection', { skip, timeout: 60_000 }, async () => {
    const { homes: [a], internet, relayAddress } = await homesAndRelay({ relayArgs: ['--relay-bytes', '200000'] })
    const open = new Machine('ot')
    internet.plug(open, '5.5.5.8/24', 'eth0')
    const js = start(open, process.execPath, [JS_PEER, '--listen', ANY, '--announce',
        '/ip4/5.5.5.8/tcp/4001', '--listen', `${relayAddress}/p2p-circuit`])
    const circuit = await js.line(CIRCUIT)
    const done = await run(...a.command(P2P_PEER, ['--listen', ANY, '--dial', circuit, '--direct',
        '--protocol', '/echo/1.0.0', '--bytes', '1000000']), { timeout: 50_000 })
    assert.equal(done.code, 0, done.stderr)
})

for (const [name, protocols] of [['NAT-PMP', { upnp: false }], ['UPnP', { natpmp: false }]]) {
    test(`a port at the router, by ${name}`, { skip: skip || noRouter(), timeout: 60_000 }, async () => {
        const n = name[0]
        const internet = new Network(`i${n}`), lan = new Network(`l${n}`)
        const router = new Router(`r${n}`), home = new Machine(`m${n}`), far = new Machine(`f${n}`)
        internet.plug(router, '5.5.5.1/24', 'wan')
        internet.plug(far, '5.5.5.8/24', 'eth0')
        lan.plug(router, '192.168.1.1/24', 'lan')
        lan.plug(home, '192.168.1.2/24', 'eth0')
        home.route('192.168.1.1')
        const daemon = new Child(...router.miniupnpd(protocols))
        await sleep(500)
        const ours = peer(home, ['--listen', ANY, '--map-port'])
        const id = (await at(ours, '192.168.1.2')).split('/p2p/')[1]
        await until('a port', () => new RegExp(`forwards /ip4/5.5.5.1/tcp/4001, by ${name}`)
            .test(ours.stderr)).catch((error) => {
            throw new Error(`${error.message}\n${ours.stderr}${daemon.stderr}${daemon.text()}`)
        })
        const done = await run(...far.command(P2P_PEER, ['--dial', `/ip4/5.5.5.1/tcp/4001/p2p/${id}`,
            '--protocol', '/echo/1.0.0', '--bytes', '100000']))
        assert.equal(done.code, 0, done.stderr)
        assert.match(router.forwards(), /4001/)
        await ours.stop()
        assert.doesNotMatch(router.forwards(), /4001/, 'taken back')
    })
}

test('AutoNAT: theirs believes ours', { skip, timeout: 60_000 }, async () => {
    const internet = new Network('iq')
    const theirs = new Machine('tq'), mine = new Machine('mq')
    internet.plug(theirs, '5.5.5.3/24', 'eth0')
    internet.plug(mine, '5.5.5.4/24', 'eth0')
    const ours = peer(mine, ['--listen', ANY])
    const address = await at(ours, '5.5.5.4')
    const js = start(theirs, process.execPath, [JS_PEER, '--listen', ANY, '--dial', address])
    await js.line(/^verified \/ip4\/5\.5\.5\.3\/tcp\/4001/, { timeout: 40_000 })
})

test('AutoNAT: a refusal of theirs is no opinion', { timeout: 60_000 }, async () => {
    const ours = new Child(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0', '--log-level', 'debug'])
    const js = new Child(process.execPath, [JS_PEER, '--listen', '/ip4/127.0.0.1/tcp/0',
        '--dial', await ours.line(/p2p\/12D3KooW/)])
    await until('an answer', () => /autonat: 12D3KooW\w+ answers 101/.test(ours.stderr))
    assert.doesNotMatch(ours.stderr, /as its peers find/)
    js.kill()
})
