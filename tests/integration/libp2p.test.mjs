// Our libp2p against the JavaScript one, and against peers that break the rules.
//
// The program under test is build/examples/p2p-peer:
//   --listen ADDR                prints its full multiaddr as its first line, serves until SIGTERM
//   --dial ADDR --protocol P     opens a stream, does what P is for, reports on stdout, ends
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { multiaddr } from '@multiformats/multiaddr'
import { chunks, exchange, jsNode, STREAMS_MAX, write } from './lib/js-peer.mjs'
import { BUILD, Child, endAll, run, sleep, until } from './lib/process.mjs'
import { DATA, FIN, GO_AWAY, RawPeer, RST, SYN, WINDOW_UPDATE } from './lib/raw-peer.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const MIB = 1024 * 1024
// A handshake that does not come to its end is dropped after 10 s; leave room for a busy machine.
const HANDSHAKE_LIMIT = 14_000
// What the allocator may keep after an attack.
const MEMORY_SLACK = 12 * MIB

let peer, address, port, js, connection

before(async () => {
    peer = new Child(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0'])
    address = multiaddr(await peer.line(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW\w+$/))
    port = Number(/tcp\/(\d+)/.exec(address.toString())[1])
    js = await jsNode(['/ip4/127.0.0.1/tcp/0'])
    connection = await js.dial(address)
})

after(async () => {
    await js?.stop()
    endAll()
})

const open = (protocol) => js.dialProtocol(address, protocol, { maxOutboundStreams: STREAMS_MAX })

test('its multiaddr is the first line of output', () => {
    assert.equal(peer.text().split('\n')[0], address.toString())
})

test('identify: agent, protocols, addresses, signed record', async () => {
    const known = await until('identified', async () => {
        const p = await js.peerStore.get(connection.remotePeer)
        return p.protocols.length > 0 && p
    })
    assert.match(Buffer.from(known.metadata.get('AgentVersion')).toString(), /^opengateway/)
    for (const protocol of ['/echo/1.0.0', '/sink/1.0.0', '/perf/1.0.0', '/ipfs/ping/1.0.0',
        '/ipfs/id/1.0.0', '/ipfs/id/push/1.0.0']) {
        assert.ok(known.protocols.includes(protocol), `${protocol} in ${known.protocols}`)
    }
    assert.ok(known.addresses.some((a) => a.multiaddr.toString().includes(`/tcp/${port}`)))
    assert.ok(known.peerRecordEnvelope, 'a signed peer record that verified')
})

test('ping', async () => {
    for (let i = 0; i < 10; i++) {
        assert.ok(await js.services.ping.ping(connection.remotePeer) < 1000)
    }
})

test('1,000 streams open at once', { timeout: 60_000 }, async () => {
    const streams = await Promise.all(Array.from({ length: 1000 }, () => open('/echo/1.0.0')))
    const answers = await Promise.all(streams.map(async (stream, i) => {
        const bytes = Buffer.from(`stream ${i} `.repeat(20))
        return bytes.equals(await exchange(stream, bytes))
    }))
    assert.equal(answers.filter(Boolean).length, 1000)
    assert.equal(connection.status, 'open')
})

test('a 64 MiB echo', { timeout: 120_000 }, async () => {
    const bytes = randomBytes(64 * MIB)
    assert.ok(bytes.equals(await exchange(await open('/echo/1.0.0'), bytes)))
})

test('eight 4 MiB echoes at once', { timeout: 60_000 }, async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, async () => {
        const bytes = randomBytes(4 * MIB)
        return bytes.equals(await exchange(await open('/echo/1.0.0'), bytes, 10_000))
    }))
    assert.deepEqual(answers, Array(8).fill(true))
})

test('sink answers the count after the half-close', async () => {
    const answer = await exchange(await open('/sink/1.0.0'), randomBytes(10 * MIB + 7))
    assert.equal(answer.readBigUInt64BE(), BigInt(10 * MIB + 7))
    assert.equal(answer.length, 8)
})

test('perf sends the asked number of bytes after the upload', async () => {
    const request = Buffer.concat([Buffer.alloc(8), randomBytes(MIB)])
    request.writeBigUInt64BE(BigInt(3 * MIB))
    const answer = await exchange(await open('/perf/1.0.0'), request)
    assert.equal(answer.length, 3 * MIB)
})

test('an unknown protocol is refused and the connection stays', async () => {
    await assert.rejects(open('/no/such/1.0.0'))
    assert.equal(connection.status, 'open')
    assert.ok(await js.services.ping.ping(connection.remotePeer) < 1000)
})

test('a stream reset in mid-transfer leaves the others alone', async () => {
    const other = await open('/echo/1.0.0')
    const doomed = await open('/echo/1.0.0')
    await write(doomed, randomBytes(200_000))
    doomed.abort(new Error('changed my mind'))
    const bytes = randomBytes(300_000)
    assert.ok(bytes.equals(await exchange(other, bytes)))
})

test('a reader that never reads blocks its own stream only', { timeout: 60_000 }, async () => {
    const stuck = await open('/echo/1.0.0')
    stuck.pause()
    stuck.send(randomBytes(200_000))
    const bytes = randomBytes(2 * MIB)
    assert.ok(bytes.equals(await exchange(await open('/echo/1.0.0'), bytes)))
    stuck.abort(new Error('enough'))
})

// ---- ours dials --------------------------------------------------------------------------------

const jsAddress = () => js.getMultiaddrs()[0].toString()
const dial = (args, options) => run(P2P_PEER, ['--dial', jsAddress(), ...args], options)

// It checks every byte of its test pattern that comes back.
test('ours dials: a 64 MiB echo', { timeout: 120_000 }, async () => {
    const done = await dial(['--protocol', '/echo/1.0.0', '--bytes', String(64 * MIB)],
        { timeout: 110_000 })
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, new RegExp(`1 streams, ${64 * MIB} bytes each`))
})

test('ours dials: sink counts', async () => {
    const done = await dial(['--protocol', '/sink/1.0.0', '--bytes', '10000019'])
    assert.equal(done.code, 0, done.stderr)
})

test('ours dials: standard input to the stream and back', async () => {
    const input = randomBytes(300_000)
    const done = await dial(['--protocol', '/echo/1.0.0'], { input })
    assert.equal(done.code, 0, done.stderr)
    const [first] = done.stdout.split('\n')
    assert.ok(done.output.subarray(first.length + 1).equals(input))
})

// The JavaScript side answers nobody before all are there.
test('ours dials: 1,000 streams open at once', { timeout: 60_000 }, async () => {
    let waiting = 0
    const { promise: all, resolve } = Promise.withResolvers()
    await js.handle('/barrier/1.0.0', async (stream) => {
        const received = []
        if (++waiting === 1000) resolve()
        for await (const chunk of chunks(stream)) received.push(Buffer.from(chunk))
        await all
        await write(stream, Buffer.concat(received))
        await stream.close()
    }, { maxInboundStreams: STREAMS_MAX })
    const done = await dial(['--protocol', '/barrier/1.0.0', '--streams', '1000', '--bytes', '3000'],
        { timeout: 50_000 })
    assert.equal(done.code, 0, done.stderr)
    assert.equal(waiting, 1000)
})

// The JavaScript libp2p drops bytes that arrive in one burst with the protocol's name and the
// half-close, so ours must not half-close before the protocol is agreed.
test('ours dials: 600 short echoes, half-closed at once', { timeout: 30_000 }, async () => {
    const done = await dial(['--protocol', '/echo/1.0.0', '--streams', '600', '--bytes', '10'],
        { timeout: 25_000 })
    assert.equal(done.code, 0, done.stderr)
})

test('ours dials: it pings', async () => {
    const done = await dial(['--protocol', '/ipfs/ping/1.0.0', '--count', '4'])
    assert.equal(done.code, 0, done.stderr)
    assert.equal(done.stdout.match(/^ping \d: [\d.]+ ms$/gm)?.length, 4, done.stdout)
})

test('ours dials: both identify each other', async () => {
    const seen = []
    const note = ({ detail }) => seen.push(detail.agentVersion)
    js.addEventListener('peer:identify', note)
    const done = await dial(['--protocol', '/ipfs/id/1.0.0'])
    js.removeEventListener('peer:identify', note)
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, /^agent js-libp2p\//m)
    assert.match(done.stdout, /^protocol \/echo\/1\.0\.0$/m)
    assert.match(seen.join(), /opengateway/)
})

test('ours dials: another peer than expected is refused', async () => {
    const wrong = jsAddress().replace(/\/p2p\/.*/, `/p2p/${address.toString().split('/').pop()}`)
    const done = await run(P2P_PEER, ['--dial', wrong, '--protocol', '/echo/1.0.0'], { input: '' })
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /expected peer 12D3KooW\w+, but 12D3KooW\w+ answered/)
})

test('ours dials: nobody listens', async () => {
    const done = await run(P2P_PEER, ['--dial', '/ip4/127.0.0.1/tcp/1', '--protocol', '/echo/1.0.0'],
        { input: '' })
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /refused/i)
})

// ---- peers that break the rules ------------------------------------------------------------------

// Runs an attack and checks what every attack must leave behind: the attacked connection closed
// within `limit` ms, one line in the log for it, everybody else undisturbed.
async function attack(limit, act) {
    const logged = peer.stderr.length
    const raw = await act()
    assert.ok(await raw.closesWithin(limit), `still open after ${limit} ms`)
    raw.destroy()
    const bytes = randomBytes(100_000)
    assert.ok(bytes.equals(await exchange(await open('/echo/1.0.0'), bytes)), 'a bystander suffered')
    const lines = await until('a log line', () => {
        const found = peer.stderr.slice(logged).split('\n')
            .filter((line) => line.includes(`127.0.0.1/tcp/${raw.localPort}`) ||
                line.includes(`127.0.0.1:${raw.localPort}`))
        return found.length > 0 && found
    }, { timeout: 2000 })
    assert.equal(lines.length, 1, `one line, not\n${lines.join('\n')}`)
    return raw
}

test('hostile: garbage after connect', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    raw.write(randomBytes(4096))
    return raw
}))

test('hostile: an HTTP request', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    raw.write('GET / HTTP/1.1\r\nHost: localhost\r\n\r\n')
    return raw
}))

test('hostile: an endless multistream line', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    raw.write(Buffer.concat([Buffer.from([0xff, 0xff, 0xff, 0xff, 0x0f]), Buffer.alloc(70_000, 97)]))
    return raw
}))

test('hostile: a handshake that stops half-way', { timeout: 30_000 }, () =>
    attack(HANDSHAKE_LIMIT, async () => {
        const raw = await RawPeer.dial(port)
        await raw.selectNoise()
        raw.write(Buffer.from([0, 32, 1, 2, 3]))
        return raw
    }))

test('hostile: a handshake cut off by the end of the stream', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    await raw.selectNoise()
    raw.write(Buffer.from([0, 32, 1, 2, 3]))
    raw.socket.end()
    return raw
}))

test('hostile: a connection that says nothing', { timeout: 30_000 }, () =>
    attack(HANDSHAKE_LIMIT, () => RawPeer.dial(port)))

test('hostile: a signature by another key', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    await raw.selectNoise()
    await raw.secure({
        breakPayload: (payload) => {
            payload[payload.length - 1] ^= 1
            return payload
        }
    })
    return raw
}))

test('hostile: an all-zero Diffie-Hellman key', () => attack(2000, async () => {
    const raw = await RawPeer.dial(port)
    await raw.selectNoise()
    raw.write(raw.frame(Buffer.alloc(32)))
    return raw
}))

test('hostile: a record with a bad tag', () => attack(2000, async () => {
    const raw = await RawPeer.connected(port)
    raw.write(raw.frame(randomBytes(64)))
    return raw
}))

// The first frame that says goodbye must carry the protocol error.
async function expectGoAway(raw) {
    const frame = await raw.readYamuxUntil((f) => f.type === GO_AWAY)
    assert.equal(frame.length, 1)
}

test('hostile: an oversized yamux frame', () => attack(2000, async () => {
    const raw = await RawPeer.connected(port)
    raw.yamux(WINDOW_UPDATE, SYN, 1, 0)
    raw.yamux(DATA, 0, 1, 1024 * MIB)
    await expectGoAway(raw)
    return raw
}))

test('hostile: a yamux frame beyond the window', () => attack(2000, async () => {
    const raw = await RawPeer.connected(port)
    raw.yamux(WINDOW_UPDATE, SYN, 1, 0)
    raw.yamux(DATA, 0, 1, 256 * 1024 + 1)
    await expectGoAway(raw)
    return raw
}))

test('hostile: the window overrun in small frames', () => attack(5000, async () => {
    const raw = await RawPeer.connected(port)
    const hello = RawPeer.lines('/multistream/1.0.0', '/echo/1.0.0')
    raw.yamux(WINDOW_UPDATE, SYN, 1, 0)
    raw.yamux(DATA, 0, 1, hello.length, hello)
    // Its echo is never given credit, so that it must stop reading; then the window runs dry.
    for (let i = 0; i < 64; i++) raw.yamux(DATA, 0, 1, 16 * 1024, Buffer.alloc(16 * 1024))
    // No GoAway is asked for: what we send on may reset the connection before we read it.
    return raw
}))

test('hostile: an unknown yamux version', () => attack(2000, async () => {
    const raw = await RawPeer.connected(port)
    const header = RawPeer.header(DATA, SYN, 1, 0)
    header[0] = 7
    raw.writeRecord(header)
    // No GoAway is asked for: what we send on may reset the connection before we read it.
    return raw
}))

test('hostile: stream ids of the other parity', () => attack(2000, async () => {
    const raw = await RawPeer.connected(port)
    raw.yamux(WINDOW_UPDATE, SYN, 2, 0)
    // No GoAway is asked for: what we send on may reset the connection before we read it.
    return raw
}))

test('hostile: a window beyond 32 bits does no harm', async () => {
    const raw = await RawPeer.connected(port)
    const hello = RawPeer.lines('/multistream/1.0.0', '/echo/1.0.0')
    raw.yamux(WINDOW_UPDATE, SYN, 1, 0xffffffff)
    for (let i = 0; i < 3; i++) raw.yamux(WINDOW_UPDATE, 0, 1, 0xffffffff)
    raw.yamux(DATA, 0, 1, hello.length, hello)
    await raw.readYamuxUntil((f) => f.type === DATA && f.id === 1)
    raw.destroy()
})

test('hostile: frames for streams that never were are ignored', async () => {
    const raw = await RawPeer.connected(port)
    raw.yamux(DATA, 0, 77, 100, Buffer.alloc(100))
    raw.yamux(WINDOW_UPDATE, FIN, 79, 0)
    raw.yamux(WINDOW_UPDATE, RST, 81, 0)
    const hello = RawPeer.lines('/multistream/1.0.0', '/echo/1.0.0')
    raw.yamux(WINDOW_UPDATE, SYN, 83, 0)
    raw.yamux(DATA, 0, 83, hello.length, hello)
    await raw.readYamuxUntil((f) => f.type === DATA && f.id === 83)
    raw.destroy()
})

test('hostile: more streams than allowed are reset, the connection lives', { timeout: 30_000 },
    async () => {
        const raw = await RawPeer.connected(port)
        for (let i = 0; i < 8000; i++) raw.yamux(WINDOW_UPDATE, SYN, 2 * i + 1, 0)
        await raw.readYamuxUntil((f) => f.flags & RST)
        assert.ok(await js.services.ping.ping(connection.remotePeer) < 1000)
        raw.destroy()
    })

test('a wrong peer id: the dialler gives up, the listener carries on', async () => {
    const stranger = await jsNode()
    const wrong = multiaddr(`/ip4/127.0.0.1/tcp/${port}/p2p/${stranger.peerId}`)
    await stranger.stop()
    const dialler = await jsNode()
    await assert.rejects(dialler.dial(wrong))
    await dialler.stop()
    assert.ok(await js.services.ping.ping(connection.remotePeer) < 1000)
})

// 500 connections that stop somewhere in the handshake.
async function halfOpen(count) {
    const raws = await Promise.all(Array.from({ length: count }, () => RawPeer.dial(port)))
    await Promise.all(raws.map(async (raw, i) => {
        if (i % 3 === 1) await raw.selectNoise().catch(() => {})
        if (i % 3 === 2) raw.write(RawPeer.lines('/multistream/1.0.0'))
    }))
    assert.ok(await js.services.ping.ping(connection.remotePeer) < 2000, 'a bystander waits')
    const newcomer = await RawPeer.connected(port)
    newcomer.destroy()
    const closed = await Promise.all(raws.map((raw) => raw.closesWithin(HANDSHAKE_LIMIT)))
    assert.equal(closed.filter(Boolean).length, count)
    raws.forEach((raw) => raw.destroy())
}

test('500 half-open connections end in time; memory and descriptors return', { timeout: 90_000 },
    async () => {
        const memory = peer.memory()
        const descriptors = peer.descriptors()
        await halfOpen(500)
        await until('descriptors back', () => peer.descriptors() <= descriptors)
        if (process.env.OG_SANITIZED) return // its allocator keeps what was freed
        await until(`memory back to ${memory}`, () => peer.memory() <= memory + MEMORY_SLACK)
        const settled = peer.memory()
        await halfOpen(500)
        await until('no growth with each attack', () => peer.memory() <= settled + 2 * MIB)
    })

test('SIGTERM ends it cleanly', async () => {
    await sleep(50)
    const end = await peer.stop()
    assert.equal(end.code, 0, peer.stderr.slice(-2000))
})
