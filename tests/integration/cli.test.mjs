// Bad input of every kind: a clear message, the right exit or HTTP status, nothing lost.
import assert from 'node:assert/strict'
import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { events, GATE, gate, Node } from './lib/gate.mjs'
import { endAll, freePort, ROOT, run, sleep, temporaryFolder, until } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

const EXIT_FAILURE = 1, EXIT_USAGE = 2, EXIT_UNREACHABLE = 3, EXIT_NOT_FOUND = 5
const folder = temporaryFolder('cli')
const model = join(folder, 'endless.gguf')
let node

before(async () => {
    writeTinyModel(model, { context: 512 })
    node = await Node.start('here', { args: ['--model', model] })
    await node.seesModel((await node.models())[0].id)
})

after(endAll)

// `gate …` fails with this status, and its standard error says all of these.
async function refuses(status, patterns, args, options) {
    const done = await gate(args, { timeout: 15_000, ...options })
    assert.equal(done.code, status, `${args.join(' ')}\n${done.stdout}${done.stderr}`)
    assert.equal(done.stdout, '')
    for (const pattern of patterns) assert.match(done.stderr, pattern)
    return done
}

const start = (...args) => ['start', '--data-dir', temporaryFolder('bad'), '--port', '0',
    '--http-port', '0', '--control-port', '0', '--model', 'none', ...args]

// ---- the command line --------------------------------------------------------------------------

test('version and help', async () => {
    const version = await gate(['version'])
    assert.equal(version.code, 0)
    assert.match(version.stdout, /^gate \d+\.\d+\.\d+/)
    assert.ok(JSON.parse((await gate(['version', '--json'])).stdout).version)
    for (const args of [['--help'], ['start', '--help'], ['ask', '--help']]) {
        const help = await gate(args)
        assert.equal(help.code, 0, args.join())
        assert.match(help.stdout, /--/)
    }
})

test('the columns of help line up, whatever the letters and however long the flags', async () => {
    for (const command of ['peers', 'keys', 'invite', 'providers']) {
        const { stdout } = await gate([command, '--help'])
        const flags = stdout.split('\n').filter((l) => l.startsWith('  --'))
        const columns = flags.map((l) => /^ {2}--\S+( \S+)? {2,}/u.exec(l)?.[0].length)
        assert.deepEqual(columns, flags.map(() => columns[0]), stdout)
    }
})

test('flags before the command', () =>
    refuses(EXIT_USAGE, [/--data-dir: flags come after the command/], ['--data-dir', 'x', 'keys']))
test('a strategy that there is not names those that there are', () =>
    refuses(EXIT_USAGE, [/"foo" is no strategy: prefer-local, .*fastest/], ['route', '--data-dir', node.data, '--strategy', 'foo']))
test('a request that named no model leaves no hole in the list', async () => {
    const refused = await node.chat({ messages: [{ role: 'user', content: 'x' }] }, { headers: { 'x-target-node': 'nobody' } })
    assert.equal(refused.status, 404)
    const id = refused.headers.get('x-request-id')
    await until('it is on record', async () => {
        const { stdout } = await node.cli('requests')
        return new RegExp(`${id}  address 127\\.0\\.0\\.1 +- +- `).test(stdout)
    })
})

test('an unknown command', () => refuses(EXIT_USAGE, [/frobnicate/], ['frobnicate']))
test('an unknown flag', () => refuses(EXIT_USAGE, [/--frobnicate/], start('--frobnicate')))
test('a flag without its value', () => refuses(EXIT_USAGE, [/--port/], ['start', '--port']))
test('a port that is no number', () =>
    refuses(EXIT_USAGE, [/--port/, /many/], start().map((a, i, all) => all[i - 1] === '--port' ? 'many' : a)))
test('a port beyond 65535', () => refuses(EXIT_USAGE, [/--http-port/], start('--http-port', '70000')))
test('a bad multiaddr', () =>
    refuses(EXIT_USAGE, [/--bootstrap/, /not-an-address/], start('--bootstrap', 'not-an-address')))
test('a multiaddr that is not TCP', () =>
    refuses(EXIT_USAGE, [/udp/, /TCP/], start('--bootstrap', '/ip4/127.0.0.1/udp/1')))
test('settings that are judged before anything starts', async () => {
    for (const [flag, value, ...patterns] of [
        ['--kernels', 'foo', /avx2/], ['--http-listen', 'nonsense', /127\.0\.0\.1/],
        ['--join', 'garbage', /token/], ['--bootstrap', '/ip4/1.2.3.4', /\/tcp\/41145/],
        ['--cluster-key', 'short', /64 hex digits/], ['--model', '', /empty/],
        ['--cors-origin', '*', /https:\/\//], ['--swarm-key', '/nowhere/swarm.key', /nowhere/]
    ]) {
        const data = join(folder, 'never-made')
        await refuses(EXIT_USAGE, [new RegExp(`^gate start: ${flag}: `), ...patterns],
            [...start(), '--data-dir', data, flag, value])
        assert.throws(() => statSync(data), /ENOENT/)
    }
})
test('a bad log level', () => refuses(EXIT_USAGE, [/--log-level/, /loud/], start('--log-level', 'loud')))
test('a label with a slash', () => refuses(EXIT_USAGE, [/--node-id/], start('--node-id', '../x')))

test('commands without a node: which socket, what to do', () =>
    refuses(EXIT_UNREACHABLE, [/gate start/], ['status', '--data-dir', temporaryFolder('none')]))

test('lost members, and nodes that are none: said, not called unknown', { timeout: 60_000 }, async () => {
    const args = ['--model', 'none', '--cluster', 'lost-test']
    const a = await Node.start('stays', { args })
    const b = await Node.start('goes', { args: [...args, '--bootstrap', a.address] })
    const c = await Node.start('other', {
        args: ['--model', 'none', '--cluster', 'else', '--bootstrap', a.address]
    })
    await a.seesPeers('goes')
    await b.kill()
    await until('it is lost', async () => (await a.peer('goes')).state === 'lost')
    const listed = await a.cli('peers')
    assert.equal(listed.code, 0)
    assert.match(listed.stdout, /goes +lost/)
    assert.deepEqual((await a.peers()).map((p) => [p.label, p.state]), [['goes', 'lost']])
    const lost = await a.cli('ask', ['--target', 'goes', '--json', 'hello'])
    assert.equal(lost.code, EXIT_FAILURE)
    assert.match(JSON.parse(lost.stdout).error.message, /goes is a member, but lost/)
    // A stranger tells no label: its id is what it can be called by.
    const id = c.first.node_id
    await until('the stranger is known', async () => (await a.json('peers', ['--all']))
        .some((p) => p.node_id === id && p.state === 'other cluster'))
    for (const name of [id, c.first.peer_id]) {
        const none = await a.cli('ask', ['--target', name, 'hello'])
        assert.equal(none.code, EXIT_NOT_FOUND)
        assert.match(none.stderr, /is known, but no member of this cluster: other cluster/)
    }
    const response = await a.chat({ messages: say('x') }, { headers: { 'x-target-node': 'goes' } })
    await answers(response, 503, 'unavailable')
    await Promise.all([a.stop(), c.stop()])
})

test('errors as JSON with --json', async () => {
    const done = await gate(['status', '--json', '--data-dir', temporaryFolder('none')])
    assert.equal(done.code, EXIT_UNREACHABLE)
    const { error } = JSON.parse(done.stdout || done.stderr)
    assert.ok(error.code && error.message)
})

test('asking for an unknown model', async () => {
    const done = await node.cli('ask', ['--model', 'no-such-model', 'hello'])
    assert.equal(done.code, EXIT_NOT_FOUND, done.stderr)
    assert.match(done.stderr, /no-such-model/)
})

// ---- odd surroundings ---------------------------------------------------------------------------

const at = (command, ...args) => [command, '--data-dir', node.data, ...args]

test('a prompt with a NUL byte', () =>
    refuses(EXIT_USAGE, [/NUL/], at('ask'), { input: 'What is 2+2?\0 and' }))
test('an empty flag, an empty word, no UTF-8', async () => {
    await refuses(EXIT_USAGE, [/--target/, /empty/], at('ask', '--target', '', 'hi'))
    await refuses(EXIT_USAGE, [/empty/], at('doctor', ''))
    const done = await run('sh', ['-c', `exec "$0" doctor "$(printf '\\377')"`, GATE])
    assert.equal(done.code, EXIT_USAGE)
    assert.match(done.stderr, /UTF-8/)
})

test('standard streams that are closed, or full', async () => {
    for (const closed of ['<&-', '>&-', '2>&-', '<&- >&- 2>&-']) {
        const done = await run('sh', ['-c', `exec "$0" status --data-dir "$1" ${closed}`, GATE, node.data])
        assert.equal(done.code, 0, closed + done.stderr)
    }
    const full = await run('sh', ['-c', 'exec "$0" status --data-dir "$1" >/dev/full', GATE, node.data])
    assert.equal(full.code, EXIT_FAILURE)
    assert.match(full.stderr, /cannot be written/)
})

test('--request-timeout holds for commands, too', async () => {
    const slow = await Node.start('slow', { args: ['--model', model, '--request-timeout', '1'] })
    await slow.seesModel((await slow.models())[0].id)
    process.kill(slow.engines()[0], 'SIGSTOP')
    const done = await slow.cli('ask', ['hello'], { timeout: 10_000 })
    assert.equal(done.code, 124, done.stderr)
    process.kill(slow.engines()[0], 'SIGCONT')
    await slow.stop()
})

test('docs/configuration.md names every setting and no other', async () => {
    const help = await gate(['start', '--help'])
    const flags = [...help.stdout.matchAll(/^  --(?:\[no-\])?([a-z-]+)/gm)].map((m) => m[1])
        .filter((name) => name !== 'help').sort()
    const page = readFileSync(join(ROOT, 'docs', 'configuration.md'), 'utf8')
    const named = [...page.matchAll(/^\| `--([a-z-]+)` \| `GATE_([A-Z_]+)`/gm)].map((m) => m[1]).sort()
    assert.deepEqual(named, flags)
})

// ---- settings ------------------------------------------------------------------------------------

function file(text) {
    const path = join(temporaryFolder('toml'), 'gate.toml')
    writeFileSync(path, text)
    return path
}

test('flag beats environment beats file beats default', { timeout: 60_000 }, async () => {
    const config = file('[node]\nid = "from-file"\n[cluster]\nname = "from-file"\n[model]\npath = "none"\n')
    const data = temporaryFolder('precedence')
    const all = await Node.start('from-flag', {
        data, args: ['--config', config], env: { GATE_NODE_ID: 'from-env', GATE_CLUSTER: 'from-env' }
    })
    assert.equal(all.first.label, 'from-flag')
    assert.equal(all.first.cluster.id, 'from-env')
    await all.stop()
    const plain = new Node('x', { data, args: ['--config', config] })
    plain.args.splice(plain.args.indexOf('--node-id'), 2)
    await plain.start()
    assert.equal(plain.first.label, 'from-file')
    assert.equal(plain.first.cluster.id, 'from-file')
    await plain.stop()
})

test('a broken settings file: file, line and what', () =>
    refuses(EXIT_USAGE, [/gate\.toml/, /2/], start('--config', file('[network]\nport = = 0\n'))))
test('an unknown setting in the file', () =>
    refuses(EXIT_USAGE, [/gate\.toml/, /frobnicate/], start('--config', file('[node]\nfrobnicate = 1\n'))))
test('a setting of the wrong type', () =>
    refuses(EXIT_USAGE, [/gate\.toml/, /max_queue/], start('--config', file('[jobs]\nmax_queue = "many"\n'))))
test('a missing settings file', () =>
    refuses(EXIT_USAGE, [/nowhere\.toml/], start('--config', join(folder, 'nowhere.toml'))))
test('a bad value in the environment names the variable', () =>
    refuses(EXIT_USAGE, [/GATE_MAX_QUEUE/], start(), { env: { GATE_MAX_QUEUE: 'many' } }))

// ---- starting -------------------------------------------------------------------------------------

test('a port in use: which, and what to do', async () => {
    const squatter = createServer().listen(0, '0.0.0.0')
    await once(squatter, 'listening')
    const { port } = squatter.address()
    for (const flag of ['--port', '--http-port']) {
        await refuses(EXIT_FAILURE, [new RegExp(`Failed to bind to port ${port}`), new RegExp(flag)],
            start(flag, String(port)))
    }
    squatter.close()
})

test('an unreachable bootstrap peer: it runs, says so, keeps trying', { timeout: 40_000 }, async () => {
    const port = await freePort()
    const lonely = await Node.start('lonely', {
        args: ['--model', 'none', '--cluster', 'bootstrap-test',
            '--bootstrap', `/ip4/127.0.0.1/tcp/${port}`]
    })
    await until('it says so', () => lonely.log.includes(String(port)))
    const late = await Node.start('late', {
        args: ['--model', 'none', '--cluster', 'bootstrap-test', '--port', String(port)]
    })
    await lonely.seesPeers('late')
    assert.equal((await late.stop()).code, 0)
    assert.equal((await lonely.stop()).code, 0)
})

test('a data folder in use by another node', () =>
    refuses(EXIT_FAILURE, [/another node uses the data folder/, /--node-id/],
        ['start', '--node-id', 'twin', '--data-dir', node.data, '--port', '0', '--http-port', '0',
            '--control-port', '0', '--model', 'none']))

test('the identity is created with mode 0600 and refused when others can read it', async () => {
    const data = temporaryFolder('identity')
    const one = await Node.start('one', { data, args: ['--model', 'none'] })
    const id = one.first.node_id
    await one.stop()
    const key = join(data, 'identity.pem')
    assert.equal(statSync(key).mode & 0o777, 0o600)
    assert.match(readFileSync(key, 'utf8'), /^-----BEGIN PRIVATE KEY-----/)
    chmodSync(key, 0o644)
    await refuses(EXIT_FAILURE, [/identity\.pem/, /chmod 600|0600/],
        ['start', '--data-dir', data, '--port', '0', '--http-port', '0', '--model', 'none'])
    chmodSync(key, 0o600)
    const again = await Node.start('one', { data, args: ['--model', 'none'] })
    assert.equal(again.first.node_id, id)
    await again.stop()
})

for (const [name, prepare, pattern] of [
    ['missing', () => join(folder, 'nowhere.gguf'), /nowhere\.gguf/],
    ['truncated', (path) => writeFileSync(path, readFileSync(model).subarray(0, 300_000)), /byte|offset|end/i],
    ['empty', (path) => writeFileSync(path, ''), /GGUF|empty|short|magic/i],
    ['foreign', (path) => writeFileSync(path, 'not a model at all, just text'), /GGUF|magic/i],
    ['unsupported', (path) => {
        const bytes = readFileSync(model)
        bytes.write('lamas', bytes.indexOf('general.architecture') + 32)
        writeFileSync(path, bytes)
    }, /lamas|architecture/]
]) {
    test(`a ${name} GGUF: what is wrong, and where`, async () => {
        const path = join(folder, `${name}.gguf`)
        const given = prepare(path) ?? path
        await refuses(EXIT_FAILURE, [pattern, new RegExp(`${name === 'missing' ? 'nowhere' : name}\\.gguf`)],
            start('--model', given))
    })
}

// ---- HTTP ------------------------------------------------------------------------------------------

async function answers(response, status, code) {
    assert.equal(response.status, status)
    assert.match(response.headers.get('content-type'), /^application\/json/)
    const { error } = await response.json()
    assert.equal(typeof error.message, 'string')
    assert.equal(typeof error.type, 'string')
    for (const key of ['param', 'code']) assert.ok(key in error, key)
    if (code) assert.equal(error.code, code)
    return error
}

const modelId = async () => (await node.modelIds())[0]
const say = (content) => [{ role: 'user', content }]

test('health', async () => {
    const response = await fetch(new URL('/health', node.http))
    assert.equal(response.status, 200)
    assert.equal((await response.json()).status, 'ok')
})

test('wrong JSON', async () => answers(await node.chat('{"model": '), 400))
test('JSON with a duplicate key', async () =>
    answers(await node.chat('{"model":"a","model":"b","messages":[]}'), 400))
test('JSON too deep', async () =>
    answers(await node.chat(`{"model":"x","messages":${'['.repeat(5000)}${']'.repeat(5000)}}`), 400))
test('a body that is no object', async () => answers(await node.chat('[]'), 400))
test('no messages', async () => {
    const error = await answers(await node.chat({ model: await modelId() }), 400)
    assert.match(error.message + error.param, /messages/)
})
test('a temperature out of range', async () => {
    const error = await answers(
        await node.chat({ model: await modelId(), messages: say('x'), temperature: 99 }), 400)
    assert.equal(error.param, 'temperature')
})
test('an unknown model', async () =>
    answers(await node.chat({ model: 'nope', messages: say('x') }), 404, 'model_not_found'))
test('a prompt longer than the context', async () =>
    answers(await node.chat({ model: await modelId(), messages: say('word '.repeat(3000)) }), 400,
        'context_length_exceeded'))
test('an unknown path', async () => answers(await fetch(`${node.http}/nothing`), 404))
test('a wrong method names the right ones', async () => {
    const response = await fetch(`${node.http}/chat/completions`)
    assert.match(response.headers.get('allow') ?? '', /POST/)
    await answers(response, 405)
})
test('a body of 64 MiB', async () => {
    const response = await node.chat('x'.repeat(64 * 1024 * 1024)).catch((error) => error)
    // The refusal may arrive while the client still sends; both are an orderly end.
    if (response instanceof Response) await answers(response, 413)
    else assert.match(String(response.cause ?? response), /reset|EPIPE|closed/i)
    assert.equal((await fetch(new URL('/health', node.http))).status, 200)
})

// ---- clients that leave, and clients that only stop sending --------------------------------------

const request = (body, version = '1.1') => {
    const text = JSON.stringify(body)
    return `POST /v1/chat/completions HTTP/${version}\r\nHost: localhost\r\n` +
        `Content-Length: ${text.length}\r\n\r\n${text}`
}

async function dial() {
    const { hostname, port } = new URL(node.http)
    const socket = connect({ host: hostname, port: Number(port), allowHalfOpen: true })
    await once(socket, 'connect')
    return socket
}

async function halfClosed(text) {
    const socket = await dial()
    socket.end(text)
    let answer = ''
    for await (const piece of socket) answer += piece
    return answer
}

test('a client that stops sending after its request is answered', async () => {
    assert.match(await halfClosed('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n'), /^HTTP\/1.1 200 /)
    const chat = { messages: say('x'), max_tokens: 50, temperature: 0 }
    assert.match(await halfClosed(request(chat)),
        /^(HTTP\/1.1 100 Continue\r\n\r\n)*HTTP\/1.1 200 OK\r\n[^]*"finish_reason":"length"/)
    assert.match(await halfClosed(request({ ...chat, stream: true })), /HTTP\/1.1 200 OK[^]*\[DONE\]/)
})

for (const stream of [false, true]) {
    test(`a client that leaves is gone within 100 ms, ${stream ? '' : 'not '}streaming`, async () => {
        const health = async () => (await fetch(new URL('/health', node.http))).json()
        const cancelled = async () => (await node.status()).jobs.cancelled
        const failed = (await node.status()).jobs.failed
        const before = await cancelled()
        const socket = await dial()
        socket.write(request({ messages: say('x'), max_tokens: 400, temperature: 0, stream }))
        process.kill(node.engines()[0], 'SIGSTOP') // it will say nothing that could tell
        await until('it runs', async () => (await health()).running === 1)
        await sleep(50)
        const left = performance.now()
        socket.destroy()
        await until('it has ended', async () => (await health()).running === 0, { timeout: 5000, every: 1 })
        const took = performance.now() - left
        process.kill(node.engines()[0], 'SIGCONT')
        assert.ok(took < 150, `${took} ms`) // 100, and the asking
        assert.equal(await cancelled(), before + 1)
        assert.equal((await node.status()).jobs.failed, failed)
    })
}

test('keep-alive comments or tokens flow, and the answer ends with [DONE]', async () => {
    const response = await node.chat({ model: await modelId(), messages: say('x'), stream: true,
        max_tokens: 20, temperature: 0 })
    assert.match(response.headers.get('content-type'), /^text\/event-stream/)
    const seen = []
    for await (const event of events(response)) seen.push(event)
    assert.equal(seen.at(-1), '[DONE]')
    assert.equal(seen.at(-2).choices[0].finish_reason, 'length')
})

test('JSON log lines', async () => {
    const machine = await Node.start('machine', { args: ['--model', 'none', '--log-format', 'json'] })
    await sleep(200)
    await machine.stop()
    const lines = machine.log.trim().split('\n')
    assert.ok(lines.length > 0)
    for (const line of lines) assert.equal(typeof JSON.parse(line), 'object')
})

test('prompts are not logged', async () => {
    const secret = 'xyzzy plugh quux'
    await (await node.chat({ model: await modelId(), messages: say(secret), max_tokens: 3 })).json()
    assert.ok(!node.log.includes('xyzzy'))
})
