// Our gossipsub against the JavaScript one in both roles, and against a peer that forges.
//
// The program under test is build/examples/p2p-peer: on topic og-interop it answers ping:x by
// publishing pong:x, on og-bulk it answers nothing; both it passes on.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gossipsub } from '@libp2p/gossipsub'
import { multiaddr } from '@multiformats/multiaddr'
import { chunks, jsNode, write } from './lib/js-peer.mjs'
import { BUILD, Child, endAll, sleep, until } from './lib/process.mjs'

const P2P_PEER = process.env.P2P_PEER ?? join(BUILD, 'examples', 'p2p-peer')
const INTEROP = 'og-interop', BULK = 'og-bulk'
const text = (bytes) => Buffer.from(bytes).toString()

const nodes = []
let ours, address

// A node that subscribes to both topics and keeps what it hears.
class Gossiper {
    static async start(options = {}) {
        const g = new Gossiper()
        g.node = await jsNode(['/ip4/127.0.0.1/tcp/0'], {
            services: { pubsub: gossipsub({ allowPublishToZeroTopicPeers: true, ...options }) }
        })
        nodes.push(g.node)
        g.pubsub = g.node.services.pubsub
        g.heard = []
        g.pubsub.addEventListener('gossipsub:message', ({ detail }) => {
            g.heard.push({ topic: detail.msg.topic, data: text(detail.msg.data), msg: detail.msg,
                source: detail.propagationSource.toString() })
        })
        g.pubsub.subscribe(INTEROP)
        g.pubsub.subscribe(BULK)
        return g
    }

    get address() { return this.node.getMultiaddrs()[0].toString() }

    async meets(peer, topic = INTEROP) {
        await until(`${peer} subscribes to ${topic}`,
            () => this.pubsub.getSubscribers(topic).some((p) => p.toString() === peer))
        await until(`${peer} in the mesh`, () => this.pubsub.getMeshPeers(topic).includes(peer))
    }

    publish(topic, data) {
        return this.pubsub.publish(topic, Buffer.from(data))
    }

    hears(data) {
        return until(`${data} is heard`, () => this.heard.find((m) => m.data === data))
    }

    has(data) {
        return this.heard.some((m) => m.data === data)
    }
}

const idOf = (addr) => addr.toString().split('/p2p/')[1]

before(async () => {
    ours = new Child(P2P_PEER, ['--listen', '/ip4/127.0.0.1/tcp/0'])
    address = multiaddr(await ours.line(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/p2p\/12D3KooW\w+$/))
})

after(async () => {
    await Promise.all(nodes.map((n) => n.stop()))
    endAll()
})

// ---- two parties -------------------------------------------------------------------------------

test('theirs dials: ping is answered by pong, signed by us', async () => {
    const js = await Gossiper.start()
    await js.node.dial(address)
    await js.meets(idOf(address))
    await js.publish(INTEROP, 'ping:one')
    const pong = await js.hears('pong:one')
    // It checks signatures strictly: what it hears is signed by the author that it names.
    assert.equal(pong.msg.type, 'signed')
    assert.equal(pong.msg.from.toString(), idOf(address))
    assert.equal(pong.topic, INTEROP)
})

test('ours dials: the same', async () => {
    const js = await Gossiper.start()
    const dialler = new Child(P2P_PEER, ['--dial', js.address])
    const id = idOf(await dialler.line(/\/p2p\/12D3KooW\w+$/))
    await js.meets(id)
    await js.publish(INTEROP, 'ping:two')
    assert.equal((await js.hears('pong:two')).msg.from.toString(), id)
    assert.equal((await dialler.stop()).code, 0)
})

test('an old peer that floods is served', async () => {
    const js = await jsNode()
    nodes.push(js)
    const heard = []
    await js.handle('/floodsub/1.0.0', async (stream) => {
        for await (const chunk of chunks(stream)) heard.push(Buffer.from(chunk).toString('latin1'))
    })
    await js.dial(address)
    const out = await js.dialProtocol(address, '/floodsub/1.0.0')
    await write(out, frame(subscription(INTEROP)))
    await until('our subscriptions', () => heard.join('').includes(BULK))
    const author = new Author()
    await write(out, frame(author.message(INTEROP, 'ping:flood')))
    await until('the pong', () => heard.join('').includes('pong:flood'))
})

test('a message of 900 KiB goes both ways round', { timeout: 60_000 }, async () => {
    const [a, b] = [await Gossiper.start(), await Gossiper.start()]
    await a.node.dial(address)
    await b.node.dial(address)
    await a.meets(idOf(address), BULK)
    await b.meets(idOf(address), BULK)
    const large = randomBytes(450 * 1024).toString('hex')
    const heard = (g, data) => until('it is heard', () => g.has(data))
    await a.publish(BULK, large)
    await heard(b, large)
    await b.publish(BULK, `${large.slice(1)}!`)
    await heard(a, `${large.slice(1)}!`)
})

// ---- three parties -----------------------------------------------------------------------------

test('ours passes messages on between two of theirs', { timeout: 60_000 }, async () => {
    const [a, b] = [await Gossiper.start(), await Gossiper.start()]
    await a.node.dial(address)
    await b.node.dial(address)
    await a.meets(idOf(address), BULK)
    await b.meets(idOf(address), BULK)
    for (let i = 0; i < 100; i++) await a.publish(BULK, `bulk ${i}`)
    await until('all 100', () => b.heard.filter((m) => m.data.startsWith('bulk ')).length === 100)
    for (const m of b.heard.filter((h) => h.data.startsWith('bulk '))) {
        assert.equal(m.msg.from.toString(), a.node.peerId.toString())
        assert.equal(m.source, idOf(address))
    }
    await sleep(1500) // a heartbeat and more: nothing comes twice, or back
    assert.equal(b.heard.filter((m) => m.data.startsWith('bulk ')).length, 100)
    assert.equal(a.heard.filter((m) => m.data.startsWith('bulk ')).length, 0)
    assert.equal(a.node.getConnections(b.node.peerId).length, 0, 'they know each other only by us')
})

test('what is missed is fetched by gossip, and gossip is answered', { timeout: 60_000 }, async () => {
    // Outside every mesh: it hears only what it asks for after an IHAVE.
    const js = await Gossiper.start({ D: 0, Dlo: 0, Dhi: 0, Dout: 0, Dscore: 0, floodPublish: false })
    const b = await Gossiper.start()
    await js.node.dial(address)
    await b.node.dial(address)
    await b.meets(idOf(address), BULK)
    await until('it is known', () => js.pubsub.getSubscribers(BULK).length > 0)
    await sleep(2500) // ours grafts it, and it prunes
    assert.deepEqual(js.pubsub.getMeshPeers(BULK), [])
    await b.publish(BULK, 'through gossip')
    await js.hears('through gossip')
    await js.publish(BULK, 'asked for')
    await b.hears('asked for')
})

test('who has a large message says so, and is spared copies: both speak 1.2', { timeout: 60_000 }, async () => {
    const [a, b] = [await Gossiper.start(), await Gossiper.start()]
    for (const g of [a, b]) {
        await g.node.dial(address)
        await g.meets(idOf(address), BULK)
        assert.equal(g.pubsub.streamsOutbound.get(idOf(address)).protocol, '/meshsub/1.2.0')
    }
    const large = randomBytes(2048).toString('hex')
    await a.publish(BULK, large)
    await until('it is heard', () => b.has(large))
    // Ours told b, which a's message did not come from, before it passed the message on.
    const refused = () => b.pubsub.idontwants.get(idOf(address))?.size ?? 0
    await until('ours does not want it again', () => refused() === 1)
    assert.equal(a.pubsub.idontwants.get(idOf(address))?.size ?? 0, 0)
    await a.publish(BULK, 'a small one')
    await b.hears('a small one')
    assert.equal(refused(), 1)

    // A third one refuses a message before it comes, and has only what it did not refuse.
    const raw = await forger({ protocol: '/meshsub/1.2.0' })
    await raw.send(field(3, field(3, field(1, Buffer.from(BULK))))) // GRAFT
    const author = new Author(), other = await forger()
    const seqno = Buffer.alloc(8)
    seqno.writeBigUInt64BE(author.seqno)
    await raw.send(field(3, field(5, field(1, Buffer.concat([author.id, seqno])))))
    await sleep(300)
    await other.send(author.message(BULK, 'refused'))
    await other.send(author.message(BULK, 'not refused'))
    await b.hears('refused')
    await until('the other one', () => raw.heard().includes('not refused'))
    assert.equal(raw.heard().match(/refused/g).length, 1)
})

// ---- forgers -----------------------------------------------------------------------------------

const varint = (n) => {
    const out = []
    for (; n >= 0x80; n = Math.floor(n / 128)) out.push(n % 128 + 128)
    return Buffer.from([...out, n])
}
const field = (number, bytes) =>
    Buffer.concat([varint(number << 3 | 2), varint(bytes.length), Buffer.from(bytes)])
const frame = (rpc) => Buffer.concat([varint(rpc.length), rpc])
const subscription = (topic) =>
    field(1, Buffer.concat([Buffer.from([0x08, 1]), field(2, Buffer.from(topic))]))

// Writes messages by hand, true ones and others.
class Author {
    constructor() {
        const { publicKey, privateKey } = generateKeyPairSync('ed25519')
        const raw = publicKey.export({ type: 'spki', format: 'der' }).subarray(-32)
        this.key = privateKey
        this.id = Buffer.concat([Buffer.from('002408011220', 'hex'), raw])
        this.seqno = 1n
    }

    message(topic, data, { from = this.id, tamper = (b) => b, unknown = Buffer.alloc(0) } = {}) {
        const seqno = Buffer.alloc(8)
        seqno.writeBigUInt64BE(this.seqno++)
        const body = Buffer.concat([field(1, from), field(2, Buffer.from(data)), field(3, seqno),
            field(4, Buffer.from(topic)), unknown])
        const signature = sign(null, Buffer.concat([Buffer.from('libp2p-pubsub:'), body]), this.key)
        return field(2, Buffer.concat([tamper(body), field(5, signature)]))
    }
}

async function forger({ protocol = '/meshsub/1.1.0' } = {}) {
    const node = await jsNode(), heard = []
    nodes.push(node)
    await node.handle(protocol, (stream) => {
        stream.addEventListener('message', ({ data }) => heard.push(Buffer.from(data.subarray())))
    })
    await node.dial(address)
    const stream = await node.dialProtocol(address, protocol)
    await write(stream, frame(subscription(BULK)))
    return { node, send: (rpc) => write(stream, frame(rpc)), stream, heard: () => Buffer.concat(heard).toString('latin1') }
}

test('forged messages are rejected and not passed on', { timeout: 60_000 }, async () => {
    const js = await Gossiper.start()
    await js.node.dial(address)
    await js.meets(idOf(address), BULK)
    const author = new Author(), other = new Author()

    const forgeries = {
        'with another text': (a) => a.message(BULK, 'forged text', {
            tamper: (b) => Buffer.from(b.toString('latin1').replace('forged text', 'Forged text'), 'latin1')
        }),
        'in another name': (a) => a.message(BULK, 'forged name', { from: other.id }),
        unsigned: () => field(2, Buffer.concat([field(1, author.id), field(2, Buffer.from('unsigned')),
            field(3, Buffer.alloc(8, 7)), field(4, Buffer.from(BULK))]))
    }
    for (const [name, forge] of Object.entries(forgeries)) {
        const raw = await forger()
        // One that is true goes through first: the way is open.
        await raw.send(author.message(BULK, `true before ${name}`))
        await js.hears(`true before ${name}`)
        await raw.send(forge(author))
        await raw.send(author.message(BULK, `true after ${name}`))
        await js.hears(`true after ${name}`)
        // Three forgeries are the end of our patience: truth from such a peer is not heard either.
        for (let i = 0; i < 3; i++) await raw.send(forge(author))
        await raw.send(author.message(BULK, `true too late ${name}`))
        await sleep(500)
        assert.ok(!js.has(`true too late ${name}`), `it is not listened to after forging ${name}`)
        await raw.node.stop()
    }
    assert.equal(js.heard.filter((m) => /forged|Forged|unsigned$/.test(m.data) &&
        !m.data.startsWith('true') && !m.data.startsWith('unknown')).length, 0)
})

test('fields that we do not know are kept, and signed along', async () => {
    const js = await jsNode()
    nodes.push(js)
    const heard = []
    await js.handle('/floodsub/1.0.0', async (stream) => {
        for await (const chunk of chunks(stream)) heard.push(Buffer.from(chunk).toString('latin1'))
    })
    await js.dial(address)
    const out = await js.dialProtocol(address, '/floodsub/1.0.0')
    await write(out, frame(subscription(BULK)))
    const raw = await forger()
    await raw.send(new Author().message(BULK, 'future', { unknown: field(99, Buffer.from('unheard')) }))
    await until('both', () => /future.*unheard/s.test(heard.join('')))
})

test('a forgery does not shut out the message that it imitates', { timeout: 60_000 }, async () => {
    const js = await Gossiper.start()
    await js.node.dial(address)
    await js.meets(idOf(address), BULK)
    const author = new Author(), [bad, good] = [await forger(), await forger()]
    const genuine = author.message(BULK, 'genuine')
    await bad.send(Buffer.from(genuine.toString('latin1').replace('genuine', 'Genuine'), 'latin1'))
    await sleep(300)
    await good.send(genuine)
    await js.hears('genuine')
    assert.ok(!js.has('Genuine'))
})

test('nonsense ends its stream and nothing else', { timeout: 60_000 }, async () => {
    const js = await Gossiper.start()
    await js.node.dial(address)
    await js.meets(idOf(address))
    const nonsense = [
        varint(64 * 1024 * 1024), // an RPC of 64 MiB is announced
        frame(Buffer.from([0x0a, 0x7f, 0x00])), // a field longer than the RPC
        Buffer.alloc(11, 0xff) // a length without end
    ]
    for (const bytes of nonsense) {
        const raw = await forger()
        const closed = new Promise((done) => raw.stream.addEventListener('close', done))
        await write(raw.stream, bytes)
        await closed
        assert.equal(raw.node.getConnections()[0].status, 'open')
        await raw.node.stop()
    }
    const before = ours.memory()
    assert.ok(before < 64 * 1024 * 1024, `${before} bytes`)
    await js.publish(INTEROP, 'ping:still there')
    await js.hears('pong:still there')
})
