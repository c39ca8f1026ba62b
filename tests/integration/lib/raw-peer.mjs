// A libp2p dialler made by hand from Node's own crypto, so that a test can break any rule at any
// step: TCP, multistream-select, Noise XX (specs noise/README.md), yamux frames (yamux/README.md).
// It shares no code with the JavaScript libp2p.
import {
    createCipheriv, createDecipheriv, createHash, createHmac, createPublicKey,
    diffieHellman, generateKeyPairSync, sign
} from 'node:crypto'
import { once } from 'node:events'
import { connect } from 'node:net'

export const DATA = 0, WINDOW_UPDATE = 1, PING = 2, GO_AWAY = 3
export const SYN = 1, ACK = 2, FIN = 4, RST = 8

const SPKI_X25519 = Buffer.from('302a300506032b656e032100', 'hex')
const sha256 = (...parts) => parts.reduce((h, p) => h.update(p), createHash('sha256')).digest()
const hmac = (key, ...parts) => parts.reduce((h, p) => h.update(p), createHmac('sha256', key)).digest()
const rawPublic = (key) => key.export({ type: 'spki', format: 'der' }).subarray(-32)
const x25519Public = (raw) =>
    createPublicKey({ key: Buffer.concat([SPKI_X25519, raw]), format: 'der', type: 'spki' })

function hkdf(salt, material) {
    const secret = hmac(salt, material)
    const first = hmac(secret, Buffer.from([1]))
    return [first, hmac(secret, first, Buffer.from([2]))]
}

class Cipher {
    constructor(key) {
        this.key = key
        this.counter = 0n
    }

    nonce() {
        const nonce = Buffer.alloc(12)
        nonce.writeBigUInt64LE(this.counter++, 4)
        return nonce
    }

    seal(plain, ad) {
        const c = createCipheriv('chacha20-poly1305', this.key, this.nonce(), { authTagLength: 16 })
        c.setAAD(ad, { plaintextLength: plain.length })
        return Buffer.concat([c.update(plain), c.final(), c.getAuthTag()])
    }

    open(sealed, ad) {
        const d = createDecipheriv('chacha20-poly1305', this.key, this.nonce(), { authTagLength: 16 })
        d.setAAD(ad, { plaintextLength: sealed.length - 16 })
        d.setAuthTag(sealed.subarray(-16))
        return Buffer.concat([d.update(sealed.subarray(0, -16)), d.final()])
    }
}

// The symmetric state of Noise_XX_25519_ChaChaPoly_SHA256 with an empty prologue.
class Handshake {
    constructor() {
        this.h = Buffer.from('Noise_XX_25519_ChaChaPoly_SHA256')
        this.ck = this.h
        this.mixHash(Buffer.alloc(0))
    }

    mixHash(data) {
        this.h = sha256(this.h, data)
    }

    mixKey(privateKey, publicKey) {
        const [ck, key] = hkdf(this.ck, diffieHellman({ privateKey, publicKey }))
        this.ck = ck
        this.cipher = new Cipher(key)
    }

    encrypt(plain) {
        const sealed = this.cipher.seal(plain, this.h)
        this.mixHash(sealed)
        return sealed
    }

    decrypt(sealed) {
        const plain = this.cipher.open(sealed, this.h)
        this.mixHash(sealed)
        return plain
    }
}

export class RawPeer {
    static async dial(port, host = '127.0.0.1') {
        const peer = new RawPeer()
        peer.socket = connect({ port, host, noDelay: true })
        peer.buffer = Buffer.alloc(0)
        peer.waiting = []
        peer.socket.on('data', (data) => {
            peer.buffer = Buffer.concat([peer.buffer, data])
            peer.wake()
        })
        peer.socket.on('error', () => {})
        peer.closed = new Promise((done) => peer.socket.on('close', () => done(true)))
        peer.closed.then(() => {
            peer.isClosed = true
            peer.wake()
        })
        await once(peer.socket, 'connect')
        peer.localPort = peer.socket.localPort
        return peer
    }

    wake() {
        for (const resolve of this.waiting.splice(0)) resolve()
    }

    // Whether the other side closes the connection within `timeout` ms.
    async closesWithin(timeout) {
        let timer
        const late = new Promise((done) => { timer = setTimeout(() => done(false), timeout) })
        const result = await Promise.race([this.closed, late])
        clearTimeout(timer)
        return result
    }

    async read(n) {
        while (this.buffer.length < n) {
            if (this.isClosed) throw new Error('connection closed by the other side')
            await new Promise((resolve) => this.waiting.push(resolve))
        }
        const bytes = this.buffer.subarray(0, n)
        this.buffer = this.buffer.subarray(n)
        return bytes
    }

    write(bytes) {
        return this.socket.write(bytes)
    }

    destroy() {
        this.socket.destroy()
    }

    // ---- multistream-select, over the socket or over Noise

    static lines(...texts) {
        return Buffer.concat(texts.map((t) => Buffer.concat([Buffer.from([t.length + 1]), Buffer.from(`${t}\n`)])))
    }

    async readLine(read) {
        const [length] = await read(1)
        return (await read(length)).toString('utf8').trimEnd()
    }

    async negotiate(protocol, read, write) {
        write(RawPeer.lines('/multistream/1.0.0', protocol))
        const header = await this.readLine(read)
        const answer = await this.readLine(read)
        if (header !== '/multistream/1.0.0' || answer !== protocol) {
            throw new Error(`${protocol} not agreed: ${header}, ${answer}`)
        }
    }

    selectNoise() {
        return this.negotiate('/noise', (n) => this.read(n), (b) => this.write(b))
    }

    // ---- Noise

    frame(message) {
        const length = Buffer.alloc(2)
        length.writeUInt16BE(message.length)
        return Buffer.concat([length, message])
    }

    async readFrame() {
        return this.read((await this.read(2)).readUInt16BE())
    }

    // `breakPayload` may replace the handshake payload before it is sealed.
    async secure({ breakPayload = (p) => p, identity } = {}) {
        const keys = identity ?? generateKeyPairSync('ed25519')
        const s = generateKeyPairSync('x25519')
        const e = generateKeyPairSync('x25519')
        const hs = new Handshake()
        hs.mixHash(rawPublic(e.publicKey))
        hs.mixHash(Buffer.alloc(0))
        this.write(this.frame(rawPublic(e.publicKey)))

        const answer = await this.readFrame()
        const re = x25519Public(answer.subarray(0, 32))
        hs.mixHash(answer.subarray(0, 32))
        hs.mixKey(e.privateKey, re)
        const rs = x25519Public(hs.decrypt(answer.subarray(32, 80)))
        hs.mixKey(e.privateKey, rs)
        hs.decrypt(answer.subarray(80))

        const staticKey = hs.encrypt(rawPublic(s.publicKey))
        hs.mixKey(s.privateKey, re)
        const payload = hs.encrypt(breakPayload(this.payload(keys, rawPublic(s.publicKey))))
        this.write(this.frame(Buffer.concat([staticKey, payload])))
        const [mine, theirs] = hkdf(hs.ck, Buffer.alloc(0))
        this.sending = new Cipher(mine)
        this.receiving = new Cipher(theirs)
        this.plain = Buffer.alloc(0)
    }

    payload(keys, staticPublic) {
        const identityKey = Buffer.concat([Buffer.from([8, 1, 18, 32]), rawPublic(keys.publicKey)])
        const text = Buffer.concat([Buffer.from('noise-libp2p-static-key:'), staticPublic])
        const signature = sign(null, text, keys.privateKey)
        return Buffer.concat([
            Buffer.from([0x0a, identityKey.length]), identityKey,
            Buffer.from([0x12, signature.length]), signature
        ])
    }

    writeRecord(plain) {
        return this.write(this.frame(this.sending.seal(plain, Buffer.alloc(0))))
    }

    async readPlain(n) {
        while (this.plain.length < n) {
            const record = this.receiving.open(await this.readFrame(), Buffer.alloc(0))
            this.plain = Buffer.concat([this.plain, record])
        }
        const bytes = this.plain.subarray(0, n)
        this.plain = this.plain.subarray(n)
        return bytes
    }

    // ---- yamux

    static header(type, flags, id, length) {
        const bytes = Buffer.alloc(12)
        bytes.writeUInt8(0, 0)
        bytes.writeUInt8(type, 1)
        bytes.writeUInt16BE(flags, 2)
        bytes.writeUInt32BE(id, 4)
        bytes.writeUInt32BE(length >>> 0, 8)
        return bytes
    }

    async multiplex() {
        await this.negotiate('/yamux/1.0.0', (n) => this.readPlain(n), (b) => this.writeRecord(b))
    }

    yamux(type, flags, id, length, body = Buffer.alloc(0)) {
        this.writeRecord(RawPeer.header(type, flags, id, length))
        for (let at = 0; at < body.length; at += 65_000) {
            this.writeRecord(body.subarray(at, at + 65_000))
        }
    }

    // The next frame of the other side: { type, flags, id, length, body }.
    async readYamux() {
        const header = await this.readPlain(12)
        const frame = {
            type: header[1],
            flags: header.readUInt16BE(2),
            id: header.readUInt32BE(4),
            length: header.readUInt32BE(8)
        }
        frame.body = frame.type === DATA ? await this.readPlain(frame.length) : Buffer.alloc(0)
        return frame
    }

    // Answers pings and skips frames until `wanted(frame)`.
    async readYamuxUntil(wanted) {
        for (;;) {
            const frame = await this.readYamux()
            if (frame.type === PING && !(frame.flags & ACK)) this.yamux(PING, ACK, 0, frame.length)
            if (wanted(frame)) return frame
        }
    }

    // A fully working connection.
    static async connected(port, options) {
        const peer = await RawPeer.dial(port)
        await peer.selectNoise()
        await peer.secure(options)
        await peer.multiplex()
        return peer
    }
}

