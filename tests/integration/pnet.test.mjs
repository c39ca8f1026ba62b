// Private networks: our libp2p and the JavaScript one under the same key, under different ones, and
// under none.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { generateKey, preSharedKey } from '@libp2p/pnet'
import { multiaddr } from '@multiformats/multiaddr'
import { exchange, jsNode } from './lib/js-peer.mjs'
import { gate, Node } from './lib/gate.mjs'
import { BUILD, Child, endAll, freePort, run, sleep, temporaryFolder } from './lib/process.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const MIB = 1024 * 1024
// Ours gives an address 6 s, an inbound handshake 10 s; leave room for a busy machine.
const DEADLINE = 14_000
const folder = temporaryFolder('pnet')
const HINT = /does the other side have the same swarm key\?/

// A key file as their library writes it.
function keyFile(name) {
    const key = new Uint8Array(95)
    generateKey(key)
    const path = join(folder, name)
    writeFileSync(path, key, { mode: 0o600 })
    return { key, path }
}

const key = keyFile('swarm.key'), otherKey = keyFile('other.key')
const theirs = (k) => jsNode(['/ip4/127.0.0.1/tcp/0'],
    k ? { connectionProtector: preSharedKey({ psk: k.key }) } : {})
let peer, address, js

before(async () => {
    peer = new Child(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0', '--swarm-key', key.path])
    address = multiaddr(await peer.line(/^\/ip4\//))
    js = await theirs(key)
})

after(async () => {
    await js?.stop()
    endAll()
})

const dial = (node, args, swarmKey = key, options = {}) => run(P2P_PEER, ['--dial',
    node.getMultiaddrs()[0].toString(), ...(swarmKey ? ['--swarm-key', swarmKey.path] : []), ...args],
{ timeout: 60_000, ...options })

test('theirs dials ours: ping and a 16 MiB echo', { timeout: 60_000 }, async () => {
    const connection = await js.dial(address)
    assert.ok(await js.services.ping.ping(connection.remotePeer) < 1000)
    const bytes = randomBytes(16 * MIB)
    assert.ok(bytes.equals(await exchange(await js.dialProtocol(address, '/echo/1.0.0'), bytes)))
})

test('ours dials theirs: ping and a 16 MiB echo', { timeout: 60_000 }, async () => {
    const pings = await dial(js, ['--protocol', '/ipfs/ping/1.0.0', '--count', '3'])
    assert.equal(pings.code, 0, pings.stderr)
    const done = await dial(js, ['--protocol', '/echo/1.0.0', '--bytes', String(16 * MIB)])
    assert.equal(done.code, 0, done.stderr)
})

test('ours dials ours', async () => {
    const done = await run(P2P_PEER, ['--dial', address.toString(), '--swarm-key', key.path,
        '--protocol', '/echo/1.0.0', '--bytes', '1000003'])
    assert.equal(done.code, 0, done.stderr)
})

// Whatever is dialled with another key, or with none where one is wanted: an error that names the
// key, in time, and the one who was dialled is none the worse.
async function failsInTime(work) {
    const began = Date.now()
    const result = await work()
    assert.ok(Date.now() - began < DEADLINE, `after ${Date.now() - began} ms`)
    return result
}

test('ours dials theirs with another key', { timeout: 30_000 }, async () => {
    const done = await failsInTime(() => dial(js, ['--protocol', '/echo/1.0.0'], otherKey, { input: '' }))
    assert.equal(done.code, 1)
    assert.match(done.stderr, HINT)
})

test('ours with a key dials theirs without one', { timeout: 30_000 }, async () => {
    const open = await theirs(null)
    const done = await failsInTime(() => dial(open, ['--protocol', '/echo/1.0.0'], key, { input: '' }))
    assert.equal(done.code, 1)
    assert.match(done.stderr, HINT)
    await open.stop()
})

test('theirs dials ours with another key, and with none', { timeout: 60_000 }, async () => {
    for (const wrong of [otherKey, null]) {
        const stranger = await theirs(wrong)
        await failsInTime(() => assert.rejects(
            stranger.dial(address, { signal: AbortSignal.timeout(DEADLINE - 1000) })))
        await stranger.stop()
    }
    assert.match(peer.stderr, HINT)
    assert.ok(await js.services.ping.ping(address) < 1000)
})

test('ours without a key dials ours with one', { timeout: 30_000 }, async () => {
    const done = await failsInTime(() => run(P2P_PEER,
        ['--dial', address.toString(), '--protocol', '/echo/1.0.0'], { input: '' }))
    assert.equal(done.code, 1)
})

test('a key file that is none', async () => {
    const cases = {
        'no-header': 'deadbeef\n',
        short: '/key/swarm/psk/1.0.0/\n/base16/\nabcd\n',
        encoding: `/key/swarm/psk/1.0.0/\n/base99/\n${'ab'.repeat(32)}\n`,
        more: `/key/swarm/psk/1.0.0/\n/base16/\n${'ab'.repeat(32)}\nmore\n`
    }
    for (const [name, text] of Object.entries(cases)) {
        const path = join(folder, name)
        writeFileSync(path, text)
        const done = await run(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0', '--swarm-key', path])
        assert.equal(done.code, 1, name)
        assert.match(done.stderr, /no swarm key/, name)
        assert.ok(!done.stderr.includes('abab'), 'the key is not shown')
    }
    const none = await run(P2P_PEER, ['--swarm-key', join(folder, 'missing')])
    assert.match(none.stderr, /missing/)
})

// ---- gate ----------------------------------------------------------------------------------------

test('gate start --swarm-key: members under one key, strangers outside', { timeout: 60_000 },
    async () => {
        const common = ['--cluster', 'pnet-test', '--model', 'none', '--no-mdns']
        const a = await Node.start('A', {
            args: [...common, '--port', String(await freePort()), '--swarm-key', key.path]
        })
        const b = await Node.start('B', {
            args: [...common, '--bootstrap', a.address], env: { GATE_SWARM_KEY: key.path }
        })
        await a.seesPeers('B')
        const c = await Node.start('C', {
            args: [...common, '--bootstrap', a.address, '--swarm-key', otherKey.path]
        })
        await c.child.line(HINT, { all: true })
        await sleep(500)
        assert.deepEqual(await a.members(), ['B'])
        for (const node of [a, b, c]) await node.stop()
        const broken = join(folder, 'broken')
        writeFileSync(broken, '/key/swarm/psk/1.0.0/\n/base16/\nabcd\n')
        const bad = await gate(['start', '--data-dir', temporaryFolder('bad'), '--port', '0',
            '--http-port', '0', '--control-port', '0', '--model', 'none', '--swarm-key',
            broken])
        assert.equal(bad.code, 2)
        assert.match(bad.stderr, /--swarm-key: .*no swarm key/)
    })
