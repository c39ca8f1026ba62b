// Bad input from peers: refused, counted against the one who sent it, and named in `gate peers` with the
// reason, until a ban ends its connections.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { jsNode, write } from './lib/js-peer.mjs'
import { Node } from './lib/gate.mjs'
import { endAll, sleep, until } from './lib/process.mjs'

const MEMBER = '/opengateway/member/1.0.0', PUSH = '/ipfs/id/push/1.0.0', DOCTOR = '/opengateway/doctor/1.0.0'
const KAD = '/opengateway/kad/1.0.0'
const quiet = ['--model', 'none', '--no-mdns']
const stopping = []
let gate, address

before(async () => {
    const club = ['--cluster', 'club', '--cluster-key', '7'.repeat(64)]
    gate = await Node.start('gate', { args: [...quiet, ...club, '--dht-mode', 'server'] })
    address = multiaddr(gate.address)
})

after(async () => {
    for (const node of stopping) await node.stop()
    endAll()
})

const frame = (body) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(body.length)
    return Buffer.concat([length, body])
}
const json = (object) => frame(Buffer.from(JSON.stringify(object)))
const field = (number, bytes) => Buffer.concat([Buffer.from([number << 3 | 2, bytes.length]), bytes])
const framed = (bytes) => Buffer.concat([Buffer.from([bytes.length & 127 | 128, bytes.length >> 7]), bytes])

// A peer that does what it likes, with an identity of its own.
async function villain() {
    const node = await jsNode()
    stopping.push(node)
    return node
}

async function say(node, protocol, ...messages) {
    const stream = await node.dialProtocol(address, protocol)
    for (const bytes of messages) await write(stream, bytes)
    stream.close().catch(() => {})
    await sleep(100)
    stream.abort(new Error('enough'))
}

// What `gate peers`, without any flag, holds against it.
async function record(node) {
    const row = (await gate.peers()).find((p) => p.peer_id === node.peerId.toString())
    return row?.misbehaviour
}

async function named(node, kind, times, last) {
    const found = await until(`${kind} is named`, async () => {
        const found = await record(node)
        return found?.offences[kind] === times && found
    })
    assert.match(found.last, last)
    const { stdout } = await gate.cli('peers')
    assert.match(stdout, new RegExp(`bad input \\(.*${times} ${kind}.*\\), last: `))
    assert.ok(found.points > 0)
    return found
}

const hello = (proof) => json({
    type: 'hello', label: 'villain', cluster: createHash('sha256').update('club').digest('hex'),
    proof: proof.toString('hex')
})

test('malformed messages', async () => {
    const peer = await villain()
    await say(peer, MEMBER, frame(Buffer.from('{"type":')))
    await named(peer, 'malformed', 1, /no JSON/)
    await say(peer, DOCTOR, json({ type: 'nonsense' }))
    await named(peer, 'malformed', 2, /no "look"/)
    await say(peer, PUSH, Buffer.from([3, 0xff, 0xff, 0xff]))
    await named(peer, 'malformed', 3, /./)
    await say(peer, KAD, Buffer.from([3, 0xff, 0xff, 0xff]))
    await named(peer, 'malformed', 4, /./)
})

test('oversized messages', async () => {
    const peer = await villain()
    const length = Buffer.alloc(4)
    length.writeUInt32BE(300 * 1024)
    await say(peer, MEMBER, length)
    await named(peer, 'oversized', 1, /a message of 307200 bytes/)
    await say(peer, PUSH, Buffer.from([0xff, 0xff, 0x7f]))
    await named(peer, 'oversized', 2, /bytes, 8192 are allowed/)
})

test('forged records and proofs', async () => {
    const peer = await villain()
    await say(peer, MEMBER, hello(randomBytes(32)))
    await named(peer, 'forged', 1, /made with another key/)
    // A signed peer record whose signature is made up.
    const key = Buffer.concat([Buffer.from('08011220', 'hex'), peer.peerId.publicKey.raw])
    const envelope = Buffer.concat([field(1, key), field(2, Buffer.from([3, 1])),
        field(3, field(1, Buffer.from(peer.peerId.toMultihash().bytes))), field(5, randomBytes(64))])
    await say(peer, PUSH, framed(Buffer.concat([
        Buffer.from([8 << 3 | 2, envelope.length & 127 | 128, envelope.length >> 7]), envelope])))
    await named(peer, 'forged', 2, /signature/)
})

test('a proof of membership that was kept from another connection', async () => {
    const peer = await villain()
    const proof = randomBytes(32)
    await say(peer, MEMBER, hello(proof))
    await say(peer, MEMBER, hello(proof)) // an honest one tries again, too
    await named(peer, 'forged', 2, /another key/)
    await peer.hangUp(address)
    await say(peer, MEMBER, hello(proof))
    await named(peer, 'replayed', 1, /from another connection/)
})

test('invitations that were revoked, or never made', async () => {
    const { token, id } = await gate.json('invite')
    await gate.cli('invite', ['--revoke', id])
    const late = await Node.start('late', { args: quiet })
    const done = await late.cli('join', [token])
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /revoked/)
    const row = await until('it is named', async () =>
        (await gate.peers()).find((p) => p.label === 'late' && p.misbehaviour))
    assert.deepEqual(row.misbehaviour.offences, { token: 1 })
    assert.match(row.misbehaviour.last, /revoked/)
    assert.equal(row.misbehaviour.banned, false)
    await late.stop()

    const peer = await villain()
    await say(peer, MEMBER, json({
        type: 'hello', label: 'guesser', join: true, invitation: randomBytes(8).toString('hex'),
        proof: randomBytes(32).toString('hex')
    }))
    await named(peer, 'token', 1, /not made here, or was tampered with/)
})

test('a habit is a ban, with the reason and the time left', async () => {
    const peer = await villain()
    for (let i = 0; i < 10; i++) await say(peer, MEMBER, frame(Buffer.from('[]'))).catch(() => {})
    const found = await until('a ban', async () => {
        const found = await record(peer)
        return found?.banned && found
    })
    assert.ok(found.ban_left_s > 60 && found.ban_left_s <= 1500, String(found.ban_left_s))
    assert.match(found.last, /no object/)
    const { stdout } = await gate.cli('peers')
    assert.match(stdout, /banned for another \d+ s: bad input \(\d+ malformed\), last: a message that is no object/)
    await until('its connections end', () => peer.getConnections().length === 0)
    await assert.rejects(say(peer, MEMBER, Buffer.alloc(0)))
    // Nobody else is affected.
    assert.equal((await gate.status()).label, 'gate')
})
