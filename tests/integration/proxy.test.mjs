// HTTP over P2P: plain HTTP services of one node used through another, as programs do it.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import net from 'node:net'
import { after, before, test } from 'node:test'
import { Child, endAll, freePort, sleep, until } from './lib/process.mjs'
import { GATE, Node, gate } from './lib/gate.mjs'

const agent = new http.Agent({ keepAlive: true })
const nodes = {}
let service, web, forward, doomedPort, seen = []

// ---- a service that does all that HTTP can ----------------------------------------------------

const sha = (data) => createHash('sha256').update(data).digest('hex')

const routes = {
    '/': (req, res) => res.end('hello'),
    '/echo': (req, res) => {
        res.writeHead(200, { 'x-method': req.method, 'set-cookie': ['a=1', 'b=2'] })
        req.pipe(res)
    },
    '/headers': (req, res) => res.end(JSON.stringify(req.headers)),
    '/hash': async (req, res) => {
        const hash = createHash('sha256')
        let bytes = 0
        for await (const piece of req) { hash.update(piece); bytes += piece.length }
        res.end(JSON.stringify({ bytes, sha: hash.digest('hex') }))
    },
    '/big': (req, res) => {
        const piece = Buffer.alloc(1 << 16, 'x')
        let left = 1600 // 100 MiB
        const more = () => {
            while (left > 0) { left--; if (!res.write(piece)) return res.once('drain', more) }
            res.end()
        }
        res.on('close', () => { routes.bigLeft = left; left = 0 })
        more()
    },
    '/events': (req, res) => {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        let n = 0
        const timer = setInterval(() => res.write(`data: ${n++}\n\n`), 50)
        res.on('close', () => { clearInterval(timer); seen.push('events closed') })
    },
    '/early': (req, res) => { res.writeHead(413, { connection: 'close' }); res.end('too much') },
    '/hints': (req, res) => {
        res.writeEarlyHints({ link: '</style.css>; rel=preload' })
        setTimeout(() => res.end('done'), 50)
    },
    '/nothing': (req, res) => { res.writeHead(204); res.end() },
    '/unchanged': (req, res) => { res.writeHead(304, { etag: '"1"' }); res.end() },
    '/there': (req, res) => { res.writeHead(302, { location: `http://127.0.0.1:${service.address().port}/here?x=1` }); res.end() },
    '/trailers': (req, res) => {
        res.writeHead(200, { trailer: 'x-sum' })
        res.write('body')
        res.addTrailers({ 'x-sum': '4' })
        res.end()
    },
    '/silent': (req, res) => { seen.push('silent'); res.on('close', () => seen.push('silent closed')) },
    '/dies': (req, res) => { res.writeHead(200, { 'content-length': 100 }); res.write('half'); setTimeout(() => res.socket.resetAndDestroy?.() ?? res.socket.destroy(), 50) }
}

function makeService() {
    const server = http.createServer((req, res) => {
        seen.push(`${req.method} ${req.url}`)
        const route = routes[req.url.split('?')[0]]
        if (!route) { res.writeHead(404); return res.end(`no ${req.url}`) }
        route(req, res)
    })
    server.on('connection', (socket) => socket.on('error', () => {})) // nodes are killed here
    server.on('checkContinue', (req, res) => {
        if (req.url === '/unwanted') { res.writeHead(417, { connection: 'close' }); return res.end('no') }
        res.writeContinue()
        server.emit('request', req, res)
    })
    server.on('upgrade', (req, socket) => { // says back what it hears, and then that it has ended
        if (req.url === '/refuses') return socket.end('HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno')
        const accept = createHash('sha1').update(`${req.headers['sec-websocket-key'] ?? ''}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64')
        socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${req.headers.upgrade}\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
        socket.on('data', (data) => socket.write(data))
        socket.on('end', () => { socket.end('bye') })
    })
    return server
}

// ---- clients ----------------------------------------------------------------------------------

const base = (node) => node.http.replace(/\/v1$/, '')
const headersFor = (name, node = 'attic') => ({ 'x-target-node': node, 'x-gate-service': name })

// A request through Node's own client: { status, headers, body, res }.
function ask(path, { method = 'GET', headers = {}, body, to = forward, expect, whole = true } = {}) {
    const url = new URL(path, to)
    return new Promise((done, failed) => {
        const req = http.request(url, { method, headers, agent })
        const information = []
        req.on('information', (i) => information.push(i))
        req.on('continue', () => information.push({ statusCode: 100 }))
        req.on('error', failed)
        req.on('response', async (res) => {
            if (!whole) return done({ status: res.statusCode, headers: res.headers, res, req })
            const pieces = []
            try {
                for await (const piece of res) pieces.push(piece)
                done({ status: res.statusCode, headers: res.headers, information, raw: res.rawHeaders, trailers: res.trailers, body: Buffer.concat(pieces).toString() })
            } catch (error) { failed(error) }
        })
        if (body && typeof body === 'object' && !Buffer.isBuffer(body)) body.pipe(req)
        else if (expect) req.on('continue', () => req.end(body)), req.flushHeaders()
        else req.end(body)
    })
}

// Bytes on a socket of their own, until the end or `ends`.
async function wire(port, text, ends) {
    const socket = net.connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(text)
    let got = ''
    const end = setTimeout(() => socket.destroy(), 8000)
    for await (const piece of socket) { got += piece; if (ends?.(got)) break }
    clearTimeout(end)
    socket.destroy()
    return got
}

const peak = (node) => Number(/VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${node.child.pid}/status`, 'utf8'))[1]) / 1024
const forwardPort = () => Number(new URL(forward).port)

async function openForward(node, to, args = []) {
    const child = new Child(GATE, ['proxy', '--data-dir', node.data, '--to', to, ...args])
    const line = await child.line(/^Forwarding/)
    return { child, url: /http:\S+/.exec(line)[0], line }
}

before(async () => {
    service = makeService().listen(0, '127.0.0.1')
    await once(service, 'listening')
    const port = service.address().port
    doomedPort = await freePort()
    const cluster = ['--cluster', 'proxy-test', '--model', 'none', '--no-mdns']
    nodes.attic = await Node.start('attic', {
        args: [...cluster, '--expose', `web=http://127.0.0.1:${port}`,
            '--expose', `named=http://localhost:${port}`,
            '--expose', `down=http://127.0.0.1:${doomedPort}`,
            '--expose', `private@desk+nobody=http://127.0.0.1:${port}`]
    })
    const through = ['--bootstrap', nodes.attic.address]
    nodes.laptop = await Node.start('laptop', { args: [...cluster, ...through] })
    nodes.desk = await Node.start('desk', { args: [...cluster, ...through] })
    await nodes.laptop.seesPeers('attic', 'desk')
    await nodes.desk.seesPeers('attic', 'laptop')
    web = await openForward(nodes.laptop, 'attic', ['--service', 'web'])
    forward = web.url
})

after(() => { agent.destroy(); service.closeAllConnections?.(); service.close(); endAll() })

// ---- requests and answers ----------------------------------------------------------------------

test('a request through the port and by headers', async () => {
    assert.match(web.line, /^Forwarding http:\/\/127\.0\.0\.1:\d+ → attic\/web/)
    assert.equal((await ask('/')).body, 'hello')
    assert.equal((await ask('/', { to: base(nodes.laptop), headers: headersFor('web') })).body, 'hello')
    assert.equal((await ask('/', { to: base(nodes.laptop), headers: headersFor('named') })).body, 'hello')
    const { node_id } = await nodes.attic.json('id')
    assert.equal((await ask('/', { to: base(nodes.laptop), headers: headersFor('web', node_id) })).body, 'hello')
    const own = await ask('/', { to: base(nodes.attic), headers: headersFor('web') })
    assert.equal(own.body, 'hello', 'one of its own')
})

test('paths and queries arrive as they were written', async () => {
    for (const path of ['/v1/models', '/api/tags?x=%2F&y', '/a%20b/..%2fc?q=1?2', '/x//y/'])
        assert.equal((await ask(path)).body, `no ${path}`)
    assert.equal((await ask('/?only')).body, 'hello')
    for (const path of ['//double', '/a/../b', 'http://elsewhere/abs?q'])
        assert.match(await wire(forwardPort(), `GET ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`),
            new RegExp(`no ${path.replace('http://elsewhere', '').replace(/[?.]/g, '\\$&')}\\s`))
})

test('bodies both ways, of known and of unknown length', async () => {
    const body = randomBytes(300_000).toString('base64')
    const known = await ask('/echo', { method: 'POST', body, headers: { 'content-length': body.length } })
    assert.equal(known.status, 200)
    assert.equal(known.body, body)
    assert.deepEqual(known.headers['set-cookie'], ['a=1', 'b=2'])
    const chunked = await ask('/echo', { method: 'PUT', body, headers: { 'transfer-encoding': 'chunked' } })
    assert.equal(chunked.body, body)
    assert.equal(chunked.headers['x-method'], 'PUT')
    assert.equal((await ask('/echo', { method: 'DELETE' })).headers['x-method'], 'DELETE')
})

test('headers: what is for one hop stays, what this network says cannot be forged', async () => {
    const { node_id } = await nodes.laptop.json('id')
    const { body } = await ask('/headers', {
        headers: {
            'x-forwarded-for': '6.6.6.6', 'x-forwarded-host': 'bank.example', forwarded: 'for=6.6.6.6',
            x_forwarded_for: '6.6.6.6', 'x-real-ip': '6.6.6.6', 'x-gate-node': 'root', via: '1.0 old',
            connection: 'x-mine, x-gate-node, close', 'x-mine': 'secret', te: 'trailers',
            'proxy-authorization': 'Basic x', authorization: 'Bearer kept', origin: forward, accept: 'a/b'
        }
    })
    const got = JSON.parse(body)
    const { port } = service.address()
    assert.equal(got.host, `127.0.0.1:${port}`)
    assert.equal(got.origin, `http://127.0.0.1:${port}`)
    assert.equal(got['x-forwarded-host'], new URL(forward).host)
    assert.equal(got['x-forwarded-proto'], 'http')
    assert.equal(got['x-gate-node'], node_id)
    assert.match(got.forwarded, new RegExp(`^for=_${node_id};proto=http;host="127`))
    assert.match(got['x-forwarded-for'], /^127\.0\.0\.1$/)
    assert.match(got.via, /^1\.0 old, 1\.1 gate-[0-9a-f]{16}, 1\.1 gate-[0-9a-f]{16}$/)
    assert.equal(got.authorization, 'Bearer kept')
    for (const name of ['x_forwarded_for', 'x-real-ip', 'x-mine', 'te', 'proxy-authorization', 'x-gate-service', 'x-target-node'])
        assert.ok(!(name in got), name)
    const foreign = await ask('/headers', { to: base(nodes.laptop), headers: { ...headersFor('web'), origin: 'http://localhost:3000' } })
    assert.equal(JSON.parse(foreign.body).origin, 'http://localhost:3000')
    assert.equal(foreign.headers['access-control-allow-origin'], 'http://localhost:3000')
})

test('HEAD, 204, 304, redirects, early hints, trailers', async () => {
    const head = await ask('/', { method: 'HEAD' })
    assert.equal(head.status, 200)
    assert.equal(head.body, '')
    assert.equal((await ask('/nothing')).status, 204)
    const unchanged = await ask('/unchanged')
    assert.equal(unchanged.status, 304)
    assert.equal(unchanged.headers.etag, '"1"')
    assert.equal((await ask('/there')).headers.location, `${forward}/here?x=1`)
    const hints = await ask('/hints')
    assert.equal(hints.body, 'done')
    assert.ok(hints.information.some((i) => i.statusCode === 103 && /preload/.test(i.headers.link)))
    const trailers = await ask('/trailers')
    assert.equal(trailers.body, 'body')
    assert.ok(!('trailer' in trailers.headers), 'they end here')
    assert.equal((await ask('/')).body, 'hello', 'and the connection lives')
})

test('Expect: 100-continue is asked of the service', async () => {
    const asked = await ask('/echo', { method: 'POST', expect: true, body: 'x'.repeat(5000), headers: { expect: '100-continue', 'content-length': 5000 } })
    assert.equal(asked.body.length, 5000)
    const text = await wire(forwardPort(), 'POST /unwanted HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1000000\r\n\r\n')
    assert.match(text, /^HTTP\/1\.1 417 /, 'no 100 before the refusal')
})

test('an answer before the end of the body', async () => {
    const text = await wire(forwardPort(), `POST /early HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n${'x'.repeat(100000)}`)
    assert.match(text, /^HTTP\/1\.1 413 [^]*too much\s/)
})

test('pipelined and kept connections', async () => {
    const one = 'GET / HTTP/1.1\r\nHost: localhost\r\n\r\n'
    const text = await wire(forwardPort(), one + one + one.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'))
    assert.equal(text.match(/hello/g).length, 3)
    const many = await Promise.all(Array.from({ length: 50 }, (_, i) => ask('/hash', { method: 'POST', body: `${i}` })))
    many.forEach((a, i) => assert.equal(JSON.parse(a.body).sha, sha(`${i}`)))
})

test('requests with doubtful framing are refused', async () => {
    const doubtful = [
        'Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n',
        'Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n', 'Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello',
        'Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n', 'Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n', 'Content-Length: +5\r\n\r\nhello'
    ]
    for (const rest of doubtful)
        assert.match(await wire(forwardPort(), `POST /echo HTTP/1.1\r\nHost: localhost\r\n${rest}`), /^HTTP\/1\.1 400 /, rest)
    assert.ok(!seen.some((s) => s.includes('smuggled')))
    assert.match(await wire(forwardPort(), 'CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 4/)
    assert.match(await wire(forwardPort(), 'TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n'), /^HTTP\/1\.1 405 /)
})

// ---- streams -----------------------------------------------------------------------------------

test('events come as they happen, and hanging up is noticed', async () => {
    const { res, req } = await ask('/events', { whole: false })
    let got = ''
    const times = []
    for await (const piece of res) { got += piece; times.push(Date.now()); if (got.includes('data: 9')) break }
    assert.ok(times.length >= 8, 'not held back')
    req.destroy()
    await until('the service hears of it', () => seen.includes('events closed'), { timeout: 2000, every: 5 })
})

test('a client that gives up before an answer is noticed by the service', async () => {
    const socket = net.connect(forwardPort(), '127.0.0.1')
    socket.write('GET /silent HTTP/1.1\r\nHost: localhost\r\n\r\n')
    await until('asked', () => seen.includes('silent'))
    socket.destroy()
    await until('noticed', () => seen.includes('silent closed'), { timeout: 3000 })
})

test('100 MB each way in small memory', async () => {
    const size = 100 << 20, piece = randomBytes(1 << 20), hash = createHash('sha256')
    const before = [peak(nodes.laptop), peak(nodes.attic)]
    async function* pieces() { for (let i = 0; i < 100; i++) { hash.update(piece); yield piece } }
    const { Readable } = await import('node:stream')
    const up = await ask('/hash', { method: 'POST', body: Readable.from(pieces()), headers: { 'content-length': size } })
    assert.deepEqual(JSON.parse(up.body), { bytes: size, sha: hash.digest('hex') })
    const { res } = await ask('/big', { whole: false })
    let n = 0
    for await (const part of res) n += part.length
    assert.equal(n, size)
    const grown = [peak(nodes.laptop) - before[0], peak(nodes.attic) - before[1]]
    const most = process.env.OG_SANITIZED ? 400 : 16 // a sanitizer keeps what was freed
    assert.ok(grown.every((mb) => mb < most), `memory grew by ${grown.map((g) => g.toFixed(1))} MiB`)
    console.log(`# peak memory: asking ${peak(nodes.laptop).toFixed(1)} MiB, serving ${peak(nodes.attic).toFixed(1)} MiB`)
})

test('a slow reader holds the service back, not the others', async () => {
    const before = [peak(nodes.laptop), peak(nodes.attic)]
    const { res, req } = await ask('/big', { whole: false })
    res.pause()
    await sleep(1500)
    const began = Date.now()
    assert.equal((await ask('/')).body, 'hello')
    assert.ok(Date.now() - began < 1000)
    const grown = [peak(nodes.laptop) - before[0], peak(nodes.attic) - before[1]]
    assert.ok(grown.every((mb) => mb < 16 || process.env.OG_SANITIZED), `memory grew by ${grown} MiB`)
    req.destroy()
    await until('the service stops', () => routes.bigLeft > 0, { timeout: 3000 })
})

// ---- other protocols ---------------------------------------------------------------------------

test('a WebSocket, through the port and by headers', async () => {
    if (!globalThis.WebSocket) return wsByHand()
    const socket = new WebSocket(forward.replace('http', 'ws'))
    await once(socket, 'open')
    socket.close()
    await wsByHand()
})

async function wsByHand() {
    const key = randomBytes(16).toString('base64')
    for (const [port, more] of [[forwardPort(), ''], [Number(new URL(nodes.laptop.http).port), 'X-Target-Node: attic\r\nX-Gate-Service: web\r\n']]) {
        const socket = net.connect({ port, host: '127.0.0.1', allowHalfOpen: true })
        socket.write(`GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n${more}\r\nfirst`)
        let got = ''
        socket.on('data', (data) => { got += data })
        const closed = once(socket, 'close')
        await until('the first words', () => got.endsWith('first'))
        assert.match(got, /^HTTP\/1\.1 101 Switching Protocols\r\n/)
        assert.match(got, /\r\nUpgrade: websocket\r\n/i)
        assert.ok(got.toLowerCase().includes('sec-websocket-accept: '))
        const frame = randomBytes(100_000).toString('latin1')
        socket.write(frame, 'latin1')
        socket.write('END')
        await until('the echo', () => got.endsWith('END'))
        socket.end() // one half: the other goes on to its own end
        await until('the goodbye', () => got.endsWith('bye'))
        await closed
    }
}

test('an upgrade that is refused is an answer like others; to HTTP/2 none is asked', async () => {
    assert.match(await wire(forwardPort(), 'GET /refuses HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n', (g) => g.endsWith('no')), /^HTTP\/1\.1 403 /)
    const text = await wire(forwardPort(), 'GET /headers HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n')
    assert.match(text, /^HTTP\/1\.1 200 /)
    assert.ok(!/h2c|http2-settings/i.test(text))
})

// ---- refusals ----------------------------------------------------------------------------------

async function refused(status, code, text, options) {
    const { status: got, body, headers } = await ask('/', options)
    const { error } = JSON.parse(body)
    assert.equal(got, status, body)
    assert.equal(error.code, code)
    assert.match(error.message, text)
    assert.match(headers['content-type'], /json/)
}

test('what is not there, not allowed or down is said', async () => {
    const to = base(nodes.laptop)
    await refused(404, 'not_found', /attic exposes no "wiki" .*: web, named, down$/, { to, headers: headersFor('wiki') })
    await refused(404, 'not_found', /attic exposes no "private"/, { to, headers: headersFor('private') })
    await refused(404, 'not_found', /exposes several/, { to, headers: headersFor('*') })
    await refused(404, 'not_found', /desk exposes nothing/, { to, headers: headersFor('web', 'desk') })
    await refused(404, 'not_found', /no peer called "cellar"/, { to, headers: headersFor('web', 'cellar') })
    await refused(400, 'invalid_value', /whose/, { to, headers: { 'x-gate-service': 'web' } })
    await refused(400, 'invalid_value', /no name/, { to, headers: headersFor('../x') })
    await refused(502, 'connection_refused', /attic.*down/, { to, headers: headersFor('down') })
    await refused(403, 'forbidden', /Host header/, { headers: { host: 'evil.example' } })
    await refused(403, 'forbidden', /evil.example/, { headers: { origin: 'http://evil.example' } })
    assert.equal((await ask('/', { to: base(nodes.desk), headers: headersFor('private') })).body, 'hello')
})

test('a node that is no member gets nothing', async () => {
    const stranger = await Node.start('stranger', { args: ['--cluster', 'elsewhere', '--model', 'none', '--no-mdns', '--bootstrap', nodes.attic.address] })
    await until('they have met', async () => (await stranger.peer('attic')) || (await stranger.json('peers', ['--all'])).length > 0)
    const [{ peer_id }] = await stranger.json('peers', ['--all'])
    const { status, body } = await ask('/', { to: base(stranger), headers: headersFor('web', peer_id) })
    assert.ok(status === 404 || status === 403, body)
    assert.match(JSON.parse(body).error.message, /no member|does not serve/)
    await stranger.stop()
})

test('loops end', async () => {
    const to = base(nodes.laptop)
    const { via } = JSON.parse((await ask('/headers')).body)
    const own = /1\.1 (gate-\S+?),/.exec(via)[1]
    await refused(508, 'hop_limit', /passed this node/, { to, headers: { ...headersFor('web'), via: `1.1 ${own}` } })
    const port = await freePort()
    for (const url of [`http://127.0.0.1:${port}`, `http://localhost:${port}`]) {
        const done = await gate(['start', '--node-id', 'loop', '--data-dir', `${nodes.attic.data}-loop`, '--port', '0', '--control-port', '0', '--http-port', `${port}`, '--model', 'none', '--expose', `me=${url}`], { timeout: 8000 })
        assert.equal(done.code, 2)
        assert.match(done.stderr, /--expose me: port \d+ is this node's own/)
    }
})

test('a service that dies in mid-answer leaves a broken answer', async () => {
    await assert.rejects(ask('/dies'))
    assert.equal((await ask('/')).body, 'hello')
})

test('a service that comes back is used at once', async () => {
    const to = base(nodes.laptop), options = { to, headers: headersFor('down') }
    for (let i = 0; i < 2; i++) {
        const own = http.createServer((req, res) => res.end(`up ${i}`)).listen(doomedPort, '127.0.0.1')
        await once(own, 'listening')
        assert.equal((await ask('/', options)).body, `up ${i}`)
        assert.equal((await ask('/', options)).body, `up ${i}`)
        own.closeAllConnections?.()
        await new Promise((done) => own.close(done)) // kept connections have gone stale
    }
    await refused(502, 'connection_refused', /down/, options)
})

test('a node that is killed in mid-answer breaks the answer, not the port', async () => {
    const victim = await Node.start('victim', { args: ['--cluster', 'proxy-test', '--model', 'none', '--no-mdns', '--bootstrap', nodes.attic.address, '--expose', `web=http://127.0.0.1:${service.address().port}`] })
    await until('it is a member', async () => (await nodes.laptop.members()).includes('victim'))
    const { child, url } = await openForward(nodes.laptop, 'victim')
    const { res } = await ask('/events', { to: url, whole: false })
    await once(res, 'data')
    const broken = assert.rejects(async () => { for await (const _ of res); })
    await victim.kill()
    await broken
    const { status, body } = await ask('/', { to: url })
    assert.ok([502, 503, 504].includes(status), body)
    child.kill('SIGINT')
    assert.equal((await child.wait()).code, 0)
    await assert.rejects(ask('/', { to: url }), /ECONNREFUSED/)
})

test('gate proxy says what is wrong', async () => {
    const proxy = (...args) => nodes.laptop.cli('proxy', args)
    let done = await proxy('--to', 'cellar')
    assert.equal(done.code, 5)
    assert.match(done.stderr, /no peer called "cellar" is known/)
    done = await proxy()
    assert.equal(done.code, 2)
    done = await proxy('--to', 'attic', '--listen', 'evil')
    assert.equal(done.code, 2)
    assert.match(done.stderr, /--listen/)
    done = await proxy('--to', 'attic', '--service', 'web', '--listen', String(forwardPort()))
    assert.notEqual(done.code, 0)
    assert.match(done.stderr, /already in use|in use/)
    const child = new Child(GATE, ['proxy', '--data-dir', nodes.laptop.data, '--to', 'attic', '--service', 'web', '--json'])
    const line = await until('json', () => child.text().trim() && JSON.parse(child.text()))
    assert.equal(line.node, 'attic')
    child.kill('SIGINT')
    assert.equal((await child.wait()).code, 0)
})

test('nodes end in good time with a proxied stream open', async () => {
    const { res } = await ask('/events', { whole: false })
    res.on('error', () => {})
    await once(res, 'data')
    const began = Date.now()
    await nodes.attic.stop()
    await nodes.laptop.stop()
    assert.ok(Date.now() - began < 15_000)
    assert.ok(!/broken invariant|BUG/.test(nodes.attic.log + nodes.laptop.log))
})
