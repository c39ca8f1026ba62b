// Hostile input on the HTTP port, byte by byte: the right status or a closed connection, bounded memory, and a node
// that answers afterwards. OG_BUILD names another build, for instance one with sanitizers.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { after, afterEach, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { endAll, sleep } from './lib/process.mjs'

const SANITIZED = /asan/.test(process.env.OG_BUILD ?? '')
const MEMORY_MAX = (SANITIZED ? 2000 : 256) << 20 // for whatever a single test sends, one request at a time
const DROPPED = 'dropped'
let node, port

before(async () => {
    node = await Node.start('hostile-http', {
        args: ['--no-mdns', '--no-discover-providers', '--cluster', 'hostile-http', '--threads', '1', '--log-level', 'error']
    })
    port = Number(new URL(node.http).port)
})
after(endAll)

const highWater = () => Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${node.child.pid}/status`, 'utf8'))[1]) * 1024

// Whatever came before, it still answers a question, and its memory has stayed within bounds.
afterEach(async () => {
    assert.equal(node.child.end, undefined, node.log)
    const said = await (await node.chat({ messages: [{ role: 'user', content: 'What is 2+2?' }], max_tokens: 16 })).json()
    assert.ok(said.choices?.[0].message.content, JSON.stringify(said))
    assert.ok(highWater() < MEMORY_MAX, `${highWater() >> 20} MiB`)
})

// Sends pieces, a generator's one after the other, and reads until the other side closes or is silent for `quiet` ms.
function talk(pieces, { quiet = 1500, limit = 60_000 } = {}) {
    return new Promise((done) => {
        const socket = connect(port, '127.0.0.1'), began = Date.now(), read = []
        let closed = false, timer = setTimeout(() => socket.destroy(), limit)
        const calm = () => {
            clearTimeout(timer)
            timer = setTimeout(() => socket.destroy(), quiet)
        }
        socket.on('data', (data) => { read.push(data); calm() })
        socket.on('end', () => { closed = true; socket.destroy() })
        socket.on('error', () => { closed = true })
        socket.on('close', () => {
            clearTimeout(timer)
            const text = Buffer.concat(read).toString('latin1')
            const statuses = [...text.matchAll(/HTTP\/1\.1 (\d{3})/g)].map((m) => Number(m[1])).filter((s) => s !== 100)
            done({ text, closed, statuses, status: statuses[0] ?? (closed ? DROPPED : 'silent'), ms: Date.now() - began })
        })
        send(socket, typeof pieces === 'string' || Buffer.isBuffer(pieces) ? [pieces] : pieces)
    })
}

async function send(socket, pieces) {
    for await (const piece of pieces) {
        if (socket.destroyed) return
        if (!socket.write(piece)) {
            await new Promise((done) => { socket.once('drain', done); socket.once('close', done) })
        }
    }
}

const CHAT = '/v1/chat/completions'
const QUESTION = JSON.stringify({ messages: [{ role: 'user', content: 'x' }], max_tokens: 1 })
const head = (fields, line = `POST ${CHAT} HTTP/1.1`) => `${[line, 'Host: localhost', ...fields].join('\r\n')}\r\n\r\n`
const sized = (body, path = CHAT) => Buffer.concat([
    Buffer.from(head([`Content-Length: ${Buffer.byteLength(body)}`], `POST ${path} HTTP/1.1`)), Buffer.from(body)])
const LENGTH = `Content-Length: ${QUESTION.length}`, CHUNKED = 'Transfer-Encoding: chunked'
const chunk = (text, extension = '') => `${text.length.toString(16)}${extension}\r\n${text}\r\n`
const HEALTH = 'GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'

// ---- framing ------------------------------------------------------------------------------------

// A request whose end two readers may see in two places is refused and the connection closed, so that what follows it
// is never taken for a request.
const SMUGGLED = [
    ['length and chunks', head([LENGTH, CHUNKED]) + '0\r\n\r\n'],
    ['chunks and length', head([CHUNKED, LENGTH]) + '0\r\n\r\n'],
    ['two lengths', head([LENGTH, 'Content-Length: 0']) + QUESTION],
    ['a list of lengths', head([`Content-Length: ${QUESTION.length}, 0`]) + QUESTION],
    ['a signed length', head([`Content-Length: +${QUESTION.length}`]) + QUESTION],
    ['a hexadecimal length', head(['Content-Length: 0x10']) + QUESTION],
    ['a negative length', head(['Content-Length: -1']) + QUESTION],
    ['a length beyond 64 bits', head(['Content-Length: 18446744073709551617']) + QUESTION],
    ['an empty length', head(['Content-Length:']) + QUESTION],
    ['a space before the colon', head([`Content-Length : ${QUESTION.length}`]) + QUESTION],
    ['a folded header', head(['X: a\r\n Transfer-Encoding: chunked']) + QUESTION],
    ['a folded encoding', head(['Transfer-Encoding:\r\n chunked']) + '0\r\n\r\n'],
    ['another encoding', head(['Transfer-Encoding: gzip, chunked']) + '0\r\n\r\n'],
    ['an unknown encoding', head(['Transfer-Encoding: xchunked']) + '0\r\n\r\n'],
    ['chunked twice', head([CHUNKED, CHUNKED]) + '0\r\n\r\n'],
    ['identity', head(['Transfer-Encoding: identity']) + QUESTION],
    ['a vertical tab', head(['Transfer-Encoding: \vchunked']) + '0\r\n\r\n'],
    ['chunks in HTTP/1.0', head([CHUNKED], `POST ${CHAT} HTTP/1.0`) + '0\r\n\r\n'],
    ['a bare line feed within the head', `POST ${CHAT} HTTP/1.1\nHost: localhost\n${LENGTH}\n\n${QUESTION}`],
    ['a bare carriage return', head(['X: a\rTransfer-Encoding: chunked']) + QUESTION],
    ['a NUL in a header', head(['X: a\0b']) + QUESTION],
    ['a NUL in a name', head(['X\0: a']) + QUESTION],
    ['no name', head([': a']) + QUESTION],
    ['a chunk size beyond 64 bits', head([CHUNKED]) + '10000000000000001\r\nx\r\n0\r\n\r\n'],
    ['a negative chunk size', head([CHUNKED]) + '-1\r\nx\r\n0\r\n\r\n'],
    ['a chunk size with 0x', head([CHUNKED]) + '0x1\r\nx\r\n0\r\n\r\n'],
    ['no chunk size', head([CHUNKED]) + '\r\nx\r\n0\r\n\r\n'],
    ['a chunk longer than its size', head([CHUNKED]) + '1\r\nxyz\r\n0\r\n\r\n'],
    ['bare line feeds between chunks', head([CHUNKED]) + '1\nx\n0\n\n'],
    ['a chunk extension without end', head([CHUNKED]) + `1;${'a'.repeat(100_000)}\r\nx\r\n0\r\n\r\n`],
    ['a chunk extension with a line feed', head([CHUNKED]) + '1;a\nb\r\nx\r\n0\r\n\r\n'],
    ['two hosts', `GET /health HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n`],
    ['no host', 'GET /health HTTP/1.1\r\n\r\n'],
    ['an old version', 'GET /health\r\n\r\n'],
    ['a version to come', 'GET /health HTTP/3.0\r\nHost: localhost\r\n\r\n'],
    ['HTTP/2 with prior knowledge', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'],
    ['TLS', Buffer.from('16030100c8010000c40303', 'hex')]
]

test('whose end is in doubt is refused, and nothing behind it is heard', async () => {
    for (const [name, bytes] of SMUGGLED) {
        const got = await talk(Buffer.concat([Buffer.from(bytes), Buffer.from(HEALTH)]))
        assert.ok([400, 413, 431, 501, 505, DROPPED].includes(got.status), `${name}: ${got.status} ${got.text}`)
        assert.ok(got.closed, `${name}: not closed`)
        assert.ok(got.statuses.length <= 1, `${name}: ${got.statuses}`)
        assert.doesNotMatch(got.text, /"uptime_s"/, name)
    }
})

test('odd and lawful framing is understood', async () => {
    const rows = [
        ['chunk extensions', head([CHUNKED]) + chunk(QUESTION, ';a="b"') + '0\r\n\r\n'],
        ['trailers', head([CHUNKED]) + chunk(QUESTION) + '0\r\nX: y\r\n\r\n'],
        ['leading zeros', head([CHUNKED]) + `000${chunk(QUESTION)}` + '000\r\n\r\n'],
        ['expect', head([LENGTH, 'Expect: 100-continue']) + QUESTION]
    ]
    for (const [name, bytes] of rows) assert.equal((await talk(bytes)).status, 200, name)
    assert.equal((await talk(HEALTH.replace('/health', 'http://localhost/health'))).status, 200, 'absolute form')
})

test('targets of other forms, and names that are not ours', async () => {
    const rows = [
        ['CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n', [400, 403, 404, 405, 501, DROPPED]],
        ['GET http://evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n', [403]],
        ['GET //evil.example/health HTTP/1.1\r\nHost: localhost\r\n\r\n', [400, 403, 404]],
        ['GET ../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', [400, DROPPED]],
        ['GET /../../etc/passwd HTTP/1.1\r\nHost: localhost\r\n\r\n', [400, 404]],
        ['GET /v1/models/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n', [400, 404]],
        ['GET /v1/models/%zz HTTP/1.1\r\nHost: localhost\r\n\r\n', [400, 404]],
        ['OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n', [200, 204, 400, 404, 405]],
        ['TRACE / HTTP/1.1\r\nHost: localhost\r\n\r\n', [405, 501]],
        [`GET /${'a'.repeat(9000)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, [414]],
        [`GET /${'a'.repeat(5 << 20)} HTTP/1.1\r\nHost: localhost\r\n\r\n`, [414, 431, DROPPED]]
    ]
    await Promise.all(rows.map(async ([bytes, expected]) => {
        const got = await talk(bytes)
        assert.ok(expected.includes(got.status), `${bytes.slice(0, 60)}: ${got.status}`)
    }))
    for (const host of ['evil.example', '127.0.0.1.evil.example', 'localhost.evil.example', 'localhost@evil.example',
        'localhost:80:80', 'evil.example#localhost', '0x7f000001', 'a'.repeat(5000)]) {
        const got = await talk(`GET /v1/models HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
        assert.ok([400, 403].includes(got.status), `Host: ${host.slice(0, 40)}: ${got.status}`)
    }
})

test('strange pages get no leave to read', async () => {
    for (const origin of ['https://evil.example', 'http://localhost.evil.example', 'http://127.0.0.1.evil.example', 'null',
        'file://', 'http://localhost@evil.example', `http://127.0.0.1:${port}.evil.example`]) {
        for (const bytes of [
            head([`Origin: ${origin}`, 'Connection: close', 'Access-Control-Request-Method: POST'], `OPTIONS ${CHAT} HTTP/1.1`),
            head([`Origin: ${origin}`, 'Connection: close', LENGTH]) + QUESTION]) {
            const got = await talk(bytes)
            assert.equal(got.status, 403, origin)
            assert.doesNotMatch(got.text, /access-control-allow-origin/i, origin)
        }
    }
    const own = await talk(head([`Origin: http://localhost:3000`, 'Access-Control-Request-Method: POST'], `OPTIONS ${CHAT} HTTP/1.1`))
    assert.equal(own.status, 204)
    assert.match(own.text, /access-control-allow-origin: http:\/\/localhost:3000\r/i)
})

// ---- floods -------------------------------------------------------------------------------------

test('floods of headers', async () => {
    const many = await talk(head(Array.from({ length: 5000 }, (_, i) => `X-${i}: a`)))
    assert.equal(many.status, 431)
    const long = await talk(head([`X: ${'a'.repeat(10 << 20)}`]))
    assert.ok([431, DROPPED].includes(long.status), long.status)
    function* endless() {
        yield `POST ${CHAT} HTTP/1.1\r\nHost: localhost\r\n`
        for (let i = 0; i < 100_000; i++) yield `X-${i}: a\r\n`
    }
    const got = await talk(endless())
    assert.ok([431, DROPPED].includes(got.status), got.status)
    const trailers = await talk(head([CHUNKED]) + chunk(QUESTION) + '0\r\n' + 'X: y\r\n'.repeat(100_000) + '\r\n')
    assert.ok([413, 431].includes(trailers.status), trailers.status)
})

test('slow heads and slow bodies end in time', { timeout: 90_000 }, async () => {
    async function* drip(first, times) {
        yield first
        for (let i = 0; i < times; i++) {
            await sleep(200)
            yield 'a'
        }
    }
    const patient = { quiet: 60_000, limit: 60_000 }
    const rows = await Promise.all([
        ...Array.from({ length: 200 }, () => talk(drip('GET /health HTTP/1.1\r\nHost: localhost\r\nX: ', 250), patient)),
        talk(drip(head(['Content-Length: 1000000']), 250), patient),
        talk(drip(head([CHUNKED]) + 'ffff\r\n', 250), patient),
        talk(drip(head([CHUNKED]) + 'ffffffffffffffff\r\n', 250), patient)
    ])
    for (const got of rows.slice(0, 200)) {
        assert.ok([408, DROPPED].includes(got.status), got.status)
        assert.ok(got.ms < 15_000, `${got.ms} ms`)
    }
    for (const got of rows.slice(200)) {
        assert.ok([408, DROPPED].includes(got.status), got.status)
        assert.ok(got.ms < 45_000, `${got.ms} ms`)
    }
})

test('bodies of 100 MB are not kept', async () => {
    const before = highWater(), piece = Buffer.alloc(1 << 20, 'a')
    function* body(framing) {
        yield head([framing === 'chunks' ? CHUNKED : `Content-Length: ${100 << 20}`])
        for (let i = 0; i < 100; i++) {
            if (framing === 'chunks') yield '100000\r\n'
            yield piece
            if (framing === 'chunks') yield '\r\n'
        }
        if (framing === 'chunks') yield '0\r\n\r\n'
    }
    for (const framing of ['length', 'chunks']) {
        const got = await talk(body(framing))
        assert.ok([413, DROPPED].includes(got.status), `${framing}: ${got.status}`)
    }
    if (!SANITIZED) assert.ok(highWater() - before < 64 << 20, `${(highWater() - before) >> 20} MiB more`)
})

test('a million chunks of one byte', { timeout: 120_000 }, async () => {
    const body = JSON.stringify({ messages: [{ role: 'user', content: 'x' }], max_tokens: 1, user: 'u'.repeat(1_000_000) })
    const pieces = []
    for (let i = 0; i < body.length; i += 1000) {
        pieces.push(body.slice(i, i + 1000).split('').map((c) => `1\r\n${c}\r\n`).join(''))
    }
    const got = await talk([head([CHUNKED, 'Connection: close']), ...pieces, '0\r\n\r\n'], { quiet: 20_000, limit: 100_000 })
    assert.ok([200, 400].includes(got.status), got.text.slice(0, 300))
})

test('a thousand requests down one pipe', async () => {
    const got = await talk(HEALTH.repeat(1000), { quiet: 3000 })
    assert.equal(got.statuses.length, 1000)
    assert.ok(got.statuses.every((s) => s === 200))
    const chats = await talk(Buffer.concat(Array.from({ length: 50 }, () => sized(QUESTION))), { quiet: 5000 })
    assert.equal(chats.statuses.filter((s) => s === 200).length, 50)
    const mixed = await talk(Buffer.concat(Array.from({ length: 100 }, () => sized('{'))), { quiet: 3000 })
    assert.ok(mixed.statuses.length >= 1 && mixed.statuses.every((s) => s === 400), `${mixed.statuses}`)
})

test('five hundred connections that say nothing', async () => {
    const silent = Array.from({ length: 500 }, () => connect(port, '127.0.0.1').on('error', () => {}))
    await sleep(300)
    assert.equal((await talk(HEALTH)).status, 200)
    for (const socket of silent) socket.destroy()
})

// ---- bodies -------------------------------------------------------------------------------------

const user = [{ role: 'user', content: 'x' }]
const ENDPOINTS = {
    '/v1/chat/completions': {
        body: { messages: user, max_tokens: 1 }, refusal: (e) => e.error.message && e.error.type,
        fields: ['model', 'messages', 'max_tokens', 'max_completion_tokens', 'temperature', 'top_p', 'top_k', 'min_p', 'n', 'stop',
            'seed', 'stream', 'stream_options', 'logprobs', 'top_logprobs', 'logit_bias', 'frequency_penalty',
            'presence_penalty', 'repeat_penalty', 'tools', 'tool_choice', 'parallel_tool_calls', 'response_format',
            'reasoning_effort', 'functions', 'function_call', 'gate_continue', 'return_token_ids', 'user', 'metadata']
    },
    '/v1/completions': {
        body: { prompt: 'x', max_tokens: 1 }, refusal: (e) => e.error.message && e.error.type,
        fields: ['model', 'prompt', 'suffix', 'max_tokens', 'temperature', 'n', 'best_of', 'echo', 'logprobs', 'stop', 'stream', 'seed',
            'logit_bias']
    },
    '/v1/responses': {
        body: { input: 'x', max_output_tokens: 16 }, refusal: (e) => e.error.message && e.error.type,
        fields: ['model', 'input', 'instructions', 'tools', 'tool_choice', 'text', 'reasoning', 'max_output_tokens', 'temperature',
            'top_p', 'top_logprobs', 'include', 'metadata', 'stream', 'previous_response_id', 'background', 'truncation']
    },
    '/v1/embeddings': {
        body: { input: 'x' }, refusal: (e) => e.error.message && e.error.type,
        fields: ['model', 'input', 'dimensions', 'encoding_format', 'user']
    },
    '/v1/messages': {
        body: { messages: user, max_tokens: 1 }, refusal: (e) => e.type === 'error' && e.error.message && e.error.type,
        fields: ['model', 'messages', 'max_tokens', 'system', 'stop_sequences', 'temperature', 'top_p', 'top_k', 'tools', 'tool_choice',
            'thinking', 'output_config', 'stream', 'metadata', 'cache_control', 'service_tier']
    },
    '/api/chat': {
        body: { messages: user, stream: false, options: { num_predict: 1 } }, refusal: (e) => typeof e.error === 'string',
        fields: ['model', 'messages', 'tools', 'format', 'options', 'think', 'stream', 'keep_alive', 'logprobs', 'top_logprobs']
    },
    '/api/generate': {
        body: { prompt: 'x', stream: false, options: { num_predict: 1 } }, refusal: (e) => typeof e.error === 'string',
        fields: ['model', 'prompt', 'system', 'suffix', 'images', 'format', 'options', 'raw', 'think', 'stream', 'keep_alive', 'context',
            'template']
    },
    '/api/embed': {
        body: { input: 'x' }, refusal: (e) => typeof e.error === 'string',
        fields: ['model', 'input', 'truncate', 'dimensions', 'options', 'keep_alive']
    },
    '/api/show': { body: {}, refusal: (e) => typeof e.error === 'string', fields: ['model', 'name', 'verbose'] }
}
// As JSON text, since not all of it is JSON.
const VALUES = ['null', 'true', '"x"', '""', '-1', '0', '1.5', '1e308', '1e999', '-9223372036854775809', '99999999999999999999999999', 'NaN',
    '"NaN"', 'Infinity', '[]', '{}', '[null]', '[[]]', '[{}]', '{"a":{"b":[1]}}', '[1,"x",null,{}]', '"\\ud800"', '"\\u0000"',
    JSON.stringify('x'.repeat(100_000)), JSON.stringify(Array(5000).fill('x')), `${'['.repeat(60)}${']'.repeat(60)}`]

function withField(body, field, value) {
    const members = Object.entries(body).filter(([k]) => k !== field).map(([k, v]) => `${JSON.stringify(k)}:${JSON.stringify(v)}`)
    return `{${[...members, `"${field}":${value}`].join()}}`
}

const MODEL = { model: 'opengateway-spark' }

async function post(path, body, { timeout = 60_000 } = {}) {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', body, signal: AbortSignal.timeout(timeout) })
    return { status: response.status, text: await response.text() }
}

// 2xx, or a refusal in the dialect's own shape; nothing here is the node's fault or an upstream's.
function judged(name, path, got, allowed = [200, 400, 404, 413, 422]) {
    assert.ok(allowed.includes(got.status), `${name}: ${got.status} ${got.text.slice(0, 300)}`)
    if (got.status === 200) return
    const refusal = JSON.parse(got.text)
    assert.ok(ENDPOINTS[path].refusal(refusal), `${name}: ${got.text.slice(0, 300)}`)
}

for (const [path, { body, fields }] of Object.entries(ENDPOINTS)) {
    test(`${path}: each field with each wrong type`, { timeout: 300_000 }, async () => {
        for (const field of fields) {
            for (const value of VALUES) {
                const got = await post(path, withField({ ...MODEL, ...body }, field, value))
                judged(`${path} ${field}=${value.slice(0, 30)}`, path, got)
            }
        }
    })

    test(`${path}: bodies that are no document`, async () => {
        const whole = JSON.stringify({ ...MODEL, ...body })
        const rows = ['', ' ', 'x', '[]', 'null', '"x"', '1', '{', whole.slice(0, -1), `${whole}x`, `${whole}${whole}`, `\ufeff${whole}`,
            '{"a":1,"a":2', '['.repeat(100_000), `${'['.repeat(100_000)}${']'.repeat(100_000)}`, '{"a":'.repeat(100_000),
            withField({ ...MODEL, ...body }, 'x', `${'['.repeat(100_000)}${']'.repeat(100_000)}`),
            Buffer.from([0x7b, 0x22, 0xff, 0xfe, 0x22, 0x3a, 0x31, 0x7d]),
            Buffer.from(withField({ ...MODEL, ...body }, 'messages', '"\xc0\xaf\xed\xa0\x80"'), 'latin1'),
            Buffer.alloc(1000), Buffer.from([0x1f, 0x8b, 8, 0, 0, 0])]
        for (const [i, row] of rows.entries()) judged(`${path} row ${i}`, path, await post(path, row), [400, 413])
    })
}

// ---- bombs --------------------------------------------------------------------------------------

const format = (schema) => ({ response_format: { type: 'json_schema', json_schema: { name: 'x', schema } } })
const nest = (depth, wrap, seed = { type: 'string' }) => {
    let schema = seed
    for (let i = 0; i < depth; i++) schema = wrap(schema)
    return schema
}
const wide = (n, make) => Object.fromEntries(Array.from({ length: n }, (_, i) => [`p${i}`, make(i)]))
const SCHEMAS = {
    'a reference to itself': { $ref: '#' },
    'a circle of references': { $ref: '#/$defs/a', $defs: { a: { $ref: '#/$defs/b' }, b: { $ref: '#/$defs/a' } } },
    'allOf of itself': { allOf: [{ $ref: '#' }, { $ref: '#' }] },
    'anyOf of itself': { anyOf: [{ $ref: '#' }, { $ref: '#' }] },
    'a tree without leaves': { type: 'object', properties: { a: { $ref: '#' }, b: { $ref: '#' } }, required: ['a', 'b'] },
    'references that double': {
        $ref: '#/$defs/d0', $defs: Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`d${i}`, i === 39 ? { type: 'string' }
            : { type: 'array', prefixItems: [{ $ref: `#/$defs/d${i + 1}` }, { $ref: `#/$defs/d${i + 1}` }], items: false, minItems: 2 }]))
    },
    'a deep allOf': nest(25, (s) => ({ allOf: [s, { minLength: 1 }] })),
    'a product of anyOf': { allOf: Array.from({ length: 12 }, (_, i) => ({ anyOf: wide(8, () => 0) && Array.from({ length: 8 }, (_, j) => ({ type: 'string', pattern: `^${i}${j}` })) })) },
    'a huge enum': { enum: Array.from({ length: 20_000 }, (_, i) => `v${i}`) },
    'a wide object': { type: 'object', properties: wide(2000, () => ({ type: 'string' })), additionalProperties: false },
    'a deep array': nest(25, (s) => ({ type: 'array', items: s })),
    'a huge minLength': { type: 'string', minLength: 1_000_000_000, maxLength: 2_000_000_000 },
    'a huge minItems': { type: 'array', items: { type: 'integer' }, minItems: 1_000_000_000 },
    'a wide range of numbers': { type: 'integer', minimum: -9007199254740991, maximum: 9007199254740991 },
    'a minimum beyond doubles': { type: 'number', minimum: 1e308, maximum: 1.7e308 },
    'nested stars': { type: 'string', pattern: '^(a*)*$' },
    'nested pluses': { type: 'string', pattern: '^((a+)+)+b$' },
    'alternatives that overlap': { type: 'string', pattern: '^(a|a)*(a|aa)*$' },
    'counters of counters': { type: 'string', pattern: '^((a{1,1000}){1,1000}){1,1000}$' },
    'a counter too far': { type: 'string', pattern: '^a{1,1000000000}$' },
    'a pattern that determinises badly': { type: 'string', pattern: '^[ab]*a[ab]{30}$' },
    'a thousand groups': { type: 'string', pattern: `${'('.repeat(1000)}a${')'.repeat(1000)}` },
    'an unclosed group': { type: 'string', pattern: '(((' },
    'a class of everything': { type: 'string', pattern: '^[\\u0000-\\uffff]{0,5000}$' },
    'a reference elsewhere': { $ref: 'https://evil.example/schema.json' },
    'a pointer to nowhere': { $ref: '#/nowhere/~0~1' },
    'true': true, 'false': false, 'nonsense': { type: 'wurst', properties: 7 }
}

test('schemas that are bombs', { timeout: 300_000 }, async () => {
    for (const [name, schema] of Object.entries(SCHEMAS)) {
        const began = Date.now()
        judged(name, CHAT, await post(CHAT, JSON.stringify({ ...MODEL, messages: user, max_tokens: 8, ...format(schema) })))
        const parameters = typeof schema === 'object' ? schema : { type: 'object', properties: { a: schema } }
        judged(name, CHAT, await post(CHAT, JSON.stringify({
            ...MODEL, messages: user, max_tokens: 8, tool_choice: 'required',
            tools: [{ type: 'function', function: { name: 'f', strict: true, parameters: { type: 'object', properties: { a: parameters } } } }]
        })))
        assert.ok(Date.now() - began < (SANITIZED ? 40_000 : 10_000), `${name}: ${Date.now() - began} ms`)
    }
})

test('more tools, messages and images than anybody has', { timeout: 300_000 }, async (t) => {
    const tool = (i) => ({ type: 'function', function: { name: `f${i}`, parameters: { type: 'object', properties: {} } } })
    const fill = (n, make) => Array.from({ length: n }, (_, i) => make(i))
    const image = 'A'.repeat(20 << 20), small = 'A'.repeat(10 << 20)
    const rows = [
        [CHAT, { tools: fill(1000, tool) }], [CHAT, { tools: fill(500, tool) }],
        [CHAT, { tools: fill(1_000_000, () => ({})) }], [CHAT, { messages: fill(1_000_000, () => ({})) }],
        [CHAT, { messages: fill(100_000, () => user[0]) }], [CHAT, { stop: fill(1_000_000, () => 'x') }],
        [CHAT, { messages: [{ role: 'user', content: fill(200_000, () => ({ type: 'text', text: 'x' })) }] }],
        [CHAT, { n: 1_000_000 }], [CHAT, { logit_bias: Object.fromEntries(fill(200_000, (i) => [i, 1])) }],
        [CHAT, { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${image}` } }] }] }],
        [CHAT, { messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: `data:image/png;base64,${small}` } }] }] }],
        [CHAT, { messages: [{ role: 'user', content: 'x'.repeat(15 << 20) }] }, 'context_length_exceeded'],
        ['/v1/messages', { tools: fill(1000, (i) => ({ name: `f${i}`, input_schema: { type: 'object' } })) }],
        ['/v1/messages', { messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'base64', media_type: 'image/png', data: small } }] }] }],
        ['/v1/messages', { messages: [{ role: 'user', content: fill(200_000, () => ({ type: 'tool_result', tool_use_id: 'x' })) }] }],
        ['/v1/responses', { tools: fill(1000, (i) => ({ type: 'function', name: `f${i}`, parameters: {} })) }],
        ['/v1/responses', { input: fill(200_000, () => ({ role: 'user', content: 'x' })) }],
        ['/v1/responses', { input: [{ role: 'user', content: [{ type: 'input_image', image_url: `data:image/png;base64,${small}` }] }] }],
        ['/v1/embeddings', { input: fill(1_000_000, () => 'x') }], ['/v1/embeddings', { input: 'x'.repeat(15 << 20) }],
        ['/v1/completions', { prompt: 'x'.repeat(15 << 20) }], ['/v1/completions', { prompt: fill(1_000_000, () => 1) }],
        ['/api/chat', { tools: fill(1000, tool) }], ['/api/chat', { messages: [{ role: 'user', content: 'x', images: [small] }] }],
        ['/api/generate', { prompt: 'x', images: fill(100_000, () => 'AAAA') }], ['/api/embed', { input: fill(1_000_000, () => 'x') }]
    ]
    for (const [i, [path, extra, code]] of rows.entries()) {
        const began = Date.now()
        const got = await post(path, JSON.stringify({ ...MODEL, ...ENDPOINTS[path].body, ...extra }))
        judged(`row ${i}: ${Object.keys(extra)} at ${path}`, path, got)
        if (code) assert.equal(JSON.parse(got.text).error.code, code)
        assert.ok(Date.now() - began < (SANITIZED ? 60_000 : 15_000), `row ${i}: ${Date.now() - began} ms`)
    }
    t.diagnostic(`${highWater() >> 20} MiB at most`)
})
