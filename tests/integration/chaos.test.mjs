// A node whose providers fail in every way: what clients get, what breakers do, and whether the records
// explain each choice. Also what happens when a client hangs up.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer, request } from 'node:http'
import { after, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { endAll, sleep, until } from './lib/process.mjs'

const REQUESTS = 1000, AT_ONCE = 50
const DEADLINE_MS = 1500, SLACK_MS = 1500 // the machine may be busy
const TEXT = 'Zürich — 東京 🦊 done'

const chunk = (delta, finish = null) => `data: ${JSON.stringify({
    id: 'c', object: 'chat.completion.chunk', created: 1, model: 'shared',
    choices: [{ index: 0, delta, finish_reason: finish }]
})}\n\n`
const LAST = `${chunk({}, 'stop')}data: [DONE]\n\n`

// What a mock does with a chat completion.
const manners = {
    hangs() {},
    garbage(res) {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        res.end('data: {"choices":[{"delta":\n\ndata: \x00\xff\n\n')
    },
    diesMidAnswer(res) {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        res.write(chunk({ content: 'Zür' }) + chunk({ content: 'ich' }))
        setTimeout(() => res.destroy(), 5)
    },
    // Twenty pieces, 20 ms apart.
    async paced(res) {
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        for (let i = 0; i < 20; i++, await sleep(20)) res.write(chunk({ content: `${i} ` }))
        res.end(LAST)
    },
    // As much as the other side takes, up to 64 MiB.
    async floods(res, body, mock) {
        res.setMaxListeners(0)
        const piece = chunk({ content: 'x'.repeat(65536) })
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        for (mock.sent = 0; mock.sent < 64 << 20 && !res.destroyed; mock.sent += piece.length) {
            if (res.write(piece)) continue
            await Promise.race([new Promise((done) => res.once('drain', done)), new Promise((done) => res.once('close', done))])
        }
        res.end(LAST)
    },
    // One byte of a character at a time would be hidden by JSON's escapes: pieces cut raw UTF-8.
    async good(res, body) {
        if (!body.stream) {
            res.writeHead(200, { 'content-type': 'application/json' })
            res.end(JSON.stringify({
                id: 'c', object: 'chat.completion', created: 1, model: 'shared',
                choices: [{ index: 0, message: { role: 'assistant', content: TEXT }, finish_reason: 'stop' }]
            }))
            return
        }
        res.writeHead(200, { 'content-type': 'text/event-stream' })
        const bytes = Buffer.from(chunk({ content: TEXT.slice(0, 8) }) + chunk({ content: TEXT.slice(8) }) + LAST)
        for (let i = 0; i < bytes.length; i += 97) res.write(bytes.subarray(i, i + 97))
        res.end()
    }
}

class Mock {
    static async start(name, manner) {
        const mock = new Mock()
        Object.assign(mock, { name, manner, asked: 0, sockets: new Set(), hungUp: [], models: ['shared', `only-${name}`] })
        mock.server = createServer((req, res) => mock.serve(req, res))
        mock.server.on('connection', (s) => {
            mock.sockets.add(s)
            s.on('close', () => mock.sockets.delete(s))
        })
        await new Promise((done) => mock.server.listen(0, '127.0.0.1', done))
        mock.url = `http://127.0.0.1:${mock.server.address().port}`
        return mock
    }

    async serve(req, res) {
        let body = ''
        for await (const piece of req) body += piece
        if (req.method === 'GET') {
            res.end(JSON.stringify({ object: 'list', data: this.models.map((id) => ({ id })) }))
            return
        }
        this.asked++
        res.on('close', () => { if (!res.writableFinished) this.hungUp.push(Date.now()) })
        manners[this.manner](res, JSON.parse(body), this)
    }

    die() {
        this.server.close()
        for (const s of this.sockets) s.destroy()
    }

    async addTo(node, ...flags) {
        const done = await node.cli('providers', ['add', this.name, '--url', this.url, ...flags])
        assert.equal(done.code, 0, done.stderr)
    }
}

const mocks = {}
let node, front

before(async () => {
    const common = ['--cluster', 'chaos-test', '--model', 'none', '--no-mdns', '--no-dht']
    node = await Node.start('chaos', { args: common })
    front = await Node.start('front', { args: [...common, '--bootstrap', node.address] })
    const all = { deadA: 'good', deadB: 'good', hang: 'hangs', garbage: 'garbage', broken: 'diesMidAnswer' }
    for (const [name, manner] of Object.entries(all)) {
        mocks[name] = await Mock.start(name, manner)
        await mocks[name].addTo(node, '--share')
    }
    await until('all providers are there', async () => {
        const list = await node.json('providers')
        return list.length === 5 && list.every((p) => p.health === 'healthy')
    })
})

after(async () => {
    for (const mock of Object.values(mocks)) mock.die()
    await endAll()
})

const breakers = async () => Object.fromEntries((await node.json('providers')).map((p) => [p.name, p.breaker]))

// What a client saw of one streamed answer.
async function ask() {
    const began = Date.now()
    const res = await node.chat({
        model: 'shared', stream: true, messages: [{ role: 'user', content: 'Where does the fox live?' }]
    }, { headers: { 'x-gate-deadline-ms': String(DEADLINE_MS), 'x-explain': '1' }, signal: AbortSignal.timeout(30_000) })
    const raw = Buffer.from(await res.arrayBuffer()).toString('utf8')
    const seen = {
        status: res.status, id: res.headers.get('x-request-id'), explain: res.headers.get('x-explain'),
        retry: res.headers.get('retry-after'), text: '', done: false, raw, took: Date.now() - began
    }
    if (res.status !== 200) {
        seen.error = JSON.parse(raw).error
        return seen
    }
    for (const line of raw.split('\n').filter((l) => l.startsWith('data: '))) {
        if (line === 'data: [DONE]') { seen.done = true; continue }
        const event = JSON.parse(line.slice(6))
        if (event.error) seen.error = event.error
        seen.text += event.choices?.[0]?.delta?.content ?? ''
    }
    return seen
}

async function askMany(n) {
    const all = []
    let left = n
    await Promise.all(Array.from({ length: AT_ONCE }, async () => {
        while (left-- > 0) all.push(await ask())
    }))
    return all
}

function check(seen) {
    assert.ok(seen.took < DEADLINE_MS + SLACK_MS, `took ${seen.took} ms`)
    if (seen.retry) assert.ok(Number(seen.retry) <= 60, `retry-after ${seen.retry}`)
    if (seen.status !== 200) {
        assert.ok([429, 502, 503, 504].includes(seen.status), `${seen.status}: ${seen.raw}`)
        assert.ok(seen.error.message && seen.error.type && !seen.done)
    } else if (seen.error) { // it began, and broke off
        assert.equal(seen.text, 'Zürich')
        assert.equal(seen.done, false)
    } else {
        assert.equal(seen.text, TEXT)
        assert.equal(seen.done, true)
    }
}

// ---- the choice, computed again (src/schedule/schedule.c) ----------------------------------------

const CAP = 1n << 50n
const defaults = { load: 20000000n, prefill: 2000000n, decode: 50000000n, away: 10000000n }
const capped = (v) => (v < 0n ? 0n : v > CAP ? CAP : v)
const scaled = (a, b, c) => { const v = capped(a) * capped(b) / c; return v > CAP ? CAP : v }
const US_PER_MSAT = { 'prefer-local': 1000n, 'local-only': 1000n, 'load-balance': 1000n, cheapest: 10n ** 9n, fastest: 0n }
const known = (v, otherwise) => (v > 0n ? v : otherwise)

function total(decision, facts) {
    const f = Object.fromEntries(Object.entries(facts).map(([k, v]) => [k, typeof v === 'number' ? BigInt(v) : v]))
    const prompt = BigInt(decision.prompt_tok), answer = BigInt(decision.answer_tok)
    const cached = f.cached_tok < prompt ? capped(f.cached_tok) : prompt
    const load = f.ready ? 0n : capped(known(f.load_us, defaults.load))
    const prefill = scaled(prompt - cached, known(f.prefill_ns, defaults.prefill), 1000n)
    const decode = scaled(answer, known(f.decode_ns, defaults.decode), 1000n)
    const slots = f.slots || 1n
    const ahead = f.running + f.queued - slots + 1n
    const queue = ahead > 0n ? scaled(known(f.answer_us, prefill + decode), ahead, slots) : 0n
    const promised = capped(queue + capped(f.rtt_us) + load + prefill + decode)
    const trust = f.trust_permille < 1000n ? f.trust_permille : 1000n
    const risk = capped(scaled(promised + 1000000n, f.failed_permille, 1000n) +
        scaled(2000000n, 1000n - trust, 1000n) + (f.degraded ? 5000000n : 0n))
    const away = decision.strategy === 'prefer-local' && !f.local ? defaults.away : 0n
    const msat = capped(scaled(prompt, f.price_in_msat, 1000000n) + scaled(answer, f.price_out_msat, 1000000n))
    return capped(promised + risk + away + scaled(msat, US_PER_MSAT[decision.strategy], 1n))
}

function best(decision) {
    const eligible = decision.candidates.filter((c) => c.rank > 0)
    const key = (c) => [total(decision, c.facts), BigInt(c.facts.running + c.facts.queued),
        BigInt(c.facts.rtt_us), BigInt(`0x${c.facts.tie}`)]
    const less = (a, b) => { const i = a.findIndex((v, k) => v !== b[k]); return i >= 0 && a[i] < b[i] }
    return eligible.filter((c) => !eligible.some((o) => less(key(o), key(c)))).map((c) => c.provider)
}

// Each attempt of each record went to whom the facts of its decision make the best.
function checkRecord(record) {
    const decisions = record.candidates.filter((d) => d.candidates.some((c) => c.rank > 0))
    assert.equal(decisions.length, record.attempts.length, JSON.stringify(record))
    decisions.forEach((d, i) => {
        for (const c of d.candidates) assert.equal(BigInt(c.total_us), total(d, c.facts), JSON.stringify(c))
        const chosen = record.attempts[i].provider
        assert.equal(d.candidates.find((c) => c.rank === 1).provider, chosen)
        assert.ok(best(d).includes(chosen), JSON.stringify(d))
    })
    return decisions.length
}

async function checkRecords(all) {
    let attempts = 0
    for (const seen of all) {
        const record = await (await fetch(`${node.http}/requests/${seen.id}`)).json()
        attempts += checkRecord(record)
        const said = JSON.parse(seen.explain)
        assert.deepEqual(said, record.candidates.at(-1))
    }
    return attempts
}

// ---- tests -----------------------------------------------------------------------------------------

test('with nothing but broken providers every request ends in time with an error that is true', { timeout: 180_000 }, async (t) => {
    const states = { hang: new Set(), garbage: new Set(), broken: new Set() }
    mocks.deadA.die()
    mocks.deadB.die()
    let over = false
    const watching = (async () => {
        while (!over) {
            const now = await breakers()
            for (const name of Object.keys(states)) states[name].add(now[name])
            await sleep(50)
        }
    })()
    const all = await askMany(REQUESTS)
    over = true
    await watching
    assert.equal(all.length, REQUESTS)
    all.forEach(check)
    assert.ok(all.every((s) => !s.done), 'nobody can have answered')
    for (const [name, seen] of Object.entries(states)) assert.ok(seen.has('open'), `${name}: ${[...seen]}`)
    const attempts = await checkRecords(all)
    const asked = Object.entries(mocks).map(([name, m]) => `${name} ${m.asked}`).join(', ')
    // A breaker lets one trial through at a time: far fewer attempts than requests × providers.
    assert.ok(attempts < REQUESTS * 2, `${attempts} attempts`)
    const statuses = {}
    for (const s of all) statuses[s.status] = (statuses[s.status] ?? 0) + 1
    t.diagnostic(`statuses ${JSON.stringify(statuses)}, slowest ${Math.max(...all.map((s) => s.took))} ms, ` +
        `${attempts} attempts (${asked})`)
})

test('one that works answers nearly all, and a breaker closes when its provider is well again', { timeout: 180_000 }, async (t) => {
    mocks.fine = await Mock.start('fine', 'good')
    await mocks.fine.addTo(node)
    await until('it is there', async () => (await node.json('providers')).some((p) => p.name === 'fine' && p.health === 'healthy'))
    const all = await askMany(REQUESTS)
    all.forEach(check)
    const good = all.filter((s) => s.done).length
    assert.ok(good > REQUESTS * 0.9, `${good} of ${REQUESTS} answers`)
    await checkRecords(all)
    mocks.garbage.manner = 'good'
    await until('the breaker of garbage closes', async () => {
        await node.chat({ model: 'only-garbage', messages: [{ role: 'user', content: 'x' }] }).then((r) => r.text())
        return (await breakers()).garbage === 'closed'
    }, { timeout: 70_000, every: 500 })
    t.diagnostic(`${good} of ${REQUESTS} answers, slowest ${Math.max(...all.map((s) => s.took))} ms`)
})

// How long after the client's end the mock sees its own.
async function hangUp(at, stream) {
    const url = new URL(`${at.http}/chat/completions`)
    const req = request(url, { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } })
    req.on('error', () => {})
    req.end(JSON.stringify({ model: 'only-slow', stream, messages: [{ role: 'user', content: 'x' }] }))
    await until('the mock is asked', () => mocks.slow.asked > mocks.slow.seen, { every: 5 })
    mocks.slow.seen = mocks.slow.asked
    await sleep(100)
    const ends = mocks.slow.hungUp.length, when = Date.now()
    req.destroy()
    await until('the mock hears of it', () => mocks.slow.hungUp.length > ends, { every: 5 })
    return mocks.slow.hungUp.at(-1) - when
}

test('a client that hangs up ends the work within 100 ms, here and through a peer', { timeout: 60_000 }, async (t) => {
    mocks.slow = await Mock.start('slow', 'hangs')
    mocks.slow.seen = 0
    await mocks.slow.addTo(node, '--share')
    await front.seesModel('only-slow')
    for (const at of [node, front]) {
        for (const stream of [true, false]) {
            const times = []
            for (let i = 0; i < 3; i++) times.push(await hangUp(at, stream))
            t.diagnostic(`${at.label}, ${stream ? 'streamed' : 'whole'}: ${times.join(', ')} ms`)
            assert.ok(Math.min(...times) <= 100, `${at.label}: ${times}`)
        }
    }
})

test('fifty streams go on side by side', { timeout: 60_000 }, async () => {
    mocks.paced = await Mock.start('paced', 'paced')
    await mocks.paced.addTo(node)
    await node.seesModel('only-paced')
    const order = []
    await Promise.all(Array.from({ length: 50 }, async (_, who) => {
        const res = await node.chat({ model: 'only-paced', stream: true, messages: [{ role: 'user', content: 'x' }] })
        const decoder = new TextDecoder('utf-8', { fatal: true })
        let text = ''
        for await (const piece of res.body) {
            order.push(who)
            text += decoder.decode(piece) // fatal: no piece may end within a character
        }
        for (let i = 0; i < 20; i++) assert.ok(text.includes(`"content":"${i} "`), `${i} of ${who}`)
        assert.match(text, /data: \[DONE\]\n\n$/)
    }))
    // Each has begun before any has half of its pieces.
    const half = order.findIndex((who, i) => order.slice(0, i + 1).filter((w) => w === who).length > 15)
    assert.equal(new Set(order.slice(0, half)).size, 50)
})

test('a client that does not read holds up its provider, and nothing piles up', { timeout: 60_000 }, async (t) => {
    mocks.flood = await Mock.start('flood', 'floods')
    await mocks.flood.addTo(node)
    await node.seesModel('only-flood')
    const resident = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${node.child.pid}/status`, 'utf8'))[1])
    const before = resident()
    const req = request(`${node.http}/chat/completions`, { method: 'POST', agent: false, headers: { 'content-type': 'application/json' } })
    req.on('error', () => {})
    req.on('response', (res) => res.pause())
    req.end(JSON.stringify({ model: 'only-flood', stream: true, messages: [{ role: 'user', content: 'x' }] }))
    await until('the flood stands still', async () => {
        const sent = mocks.flood.sent
        await sleep(500)
        return sent > 0 && mocks.flood.sent === sent
    })
    t.diagnostic(`${mocks.flood.sent >> 10} KiB sent, ${resident() - before} KiB more resident`)
    assert.ok(mocks.flood.sent < 32 << 20, 'the node or the kernel took it all')
    assert.ok(resident() - before < 24 << 10)
    const res = await node.chat({ model: 'only-garbage', messages: [{ role: 'user', content: 'x' }] })
    assert.equal(res.status, 200)
    assert.equal((await res.json()).choices[0].message.content, TEXT)
    req.destroy()
    await until('the flood ends', () => mocks.flood.hungUp.length === 1)
})
