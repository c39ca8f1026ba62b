// The story of three nodes, and what happens when one of them is killed.
import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { events, gate, Node, ticks } from './lib/gate.mjs'
import { endAll, freePort, sleep, temporaryFolder, until } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

const CLUSTER = ['--cluster', 'story-test']
const question = [{ role: 'user', content: 'What is 2+2?' }]
// What the goal allows for a loss to be noticed and for a return.
const NOTICE = { timeout: 10_000 }

let a, b, c, slowModel

before(async () => {
    slowModel = join(temporaryFolder('model'), 'endless.gguf')
    writeTinyModel(slowModel)
    a = await Node.start('A', {
        args: [...CLUSTER, '--port', String(await freePort()), '--model', slowModel]
    })
    b = await Node.start('B', { args: [...CLUSTER, '--bootstrap', a.address] })
    c = await Node.start('C', { args: [...CLUSTER, '--bootstrap', a.address, '--model', 'none'] })
})

after(endAll)

const modelOf = async (node) =>
    (await node.models()).find((m) => m.node.label === node.label).id

test('all see each other', async () => {
    await a.seesPeers('B', 'C')
    await b.seesPeers('A', 'C')
    await c.seesPeers('A', 'B')
    const peers = await c.peers()
    for (const peer of peers) {
        assert.match(peer.node_id, /^[0-9a-f]{64}$/)
        assert.match(peer.peer_id, /^12D3KooW/)
    }
})

test('the log says so', () => {
    assert.match(c.log, /Joined cluster story-test/)
    assert.match(c.log, /Peers: \[.*A.*\]/)
})

test('every node lists every model with its owner', async () => {
    const ofB = await modelOf(b)
    await c.seesModel(ofB)
    const { object, data } = await (await fetch(`${c.http}/models`)).json()
    assert.equal(object, 'list')
    assert.ok(data.every((m) => m.object === 'model' && m.id && m.owned_by))
    const rows = await c.models()
    assert.ok(rows.some((m) => m.id === ofB && m.node.label === 'B'))
})

test('gate ask: the answer comes from a node that has the model', async () => {
    const answer = await c.json('ask', ['--model', await modelOf(b), 'What is 2+2?'])
    assert.match(answer.answer, /\b4\b/)
    assert.equal(answer.node.label, 'B')
    assert.equal(answer.node.node_id, b.first.node_id)
    assert.ok(answer.request_id)
    assert.ok(answer.duration_ms >= 0)
})

test('gate ask prints the answer alone on standard output', async () => {
    const done = await c.cli('ask', ['--model', await modelOf(b), 'What is 2+2?'])
    assert.equal(done.code, 0)
    assert.match(done.stdout, /\b4\b/)
    assert.ok(done.stdout.endsWith('\n'))
})

test('X-Target-Node forces a node, by label, node id and peer id', async () => {
    const model = await modelOf(b)
    for (const target of ['B', b.first.node_id, b.first.peer_id]) {
        const response = await a.chat({ model, messages: question }, {
            headers: { 'x-target-node': target }
        })
        assert.equal(response.status, 200, target)
        assert.match((await response.json()).choices[0].message.content, /\b4\b/)
    }
    const nobody = await a.chat({ model, messages: question }, {
        headers: { 'x-target-node': 'nobody' }
    })
    assert.equal(nobody.status, 404)
    assert.ok((await nobody.json()).error.message.includes('nobody'))
})

test('ten askers at once all get their answers', async () => {
    const model = await modelOf(b)
    const answers = await Promise.all(Array.from({ length: 10 }, async (_, i) => {
        const response = await c.chat({
            model, messages: [{ role: 'user', content: `What is ${i}+1?` }]
        })
        return (await response.json()).choices[0].message.content
    }))
    answers.forEach((text, i) => assert.match(text, new RegExp(`\\b${i + 1}\\b`)))
})

test('a client that hangs up stops the generation at the far node', async () => {
    const model = await modelOf(a)
    const abort = new AbortController()
    const response = await c.chat({ model, messages: question, stream: true, max_tokens: 6000,
        temperature: 0 }, { signal: abort.signal })
    for await (const event of events(response)) {
        if (event.choices?.[0]?.delta?.content) break
    }
    abort.abort()
    const [engine] = a.engines()
    await until('the engine rests', async () => {
        const before = ticks(engine)
        await sleep(400)
        return ticks(engine) - before <= 4
    }, { timeout: 5000, every: 1 })
})

test('the engine killed in mid-answer: an error event, and a new engine serves', async () => {
    const model = await modelOf(a)
    const [engine] = a.engines()
    const outcome = await streamUntilCut(c, model, () => process.kill(engine, 'SIGKILL'))
    assertClearError(outcome)
    await until('another engine', async () => {
        const response = await a.chat({ model, messages: question, max_tokens: 3 })
        return response.status === 200
    })
    assert.notEqual(a.engines()[0], engine)
})

// Streams from `model` and calls `cut` after the first tokens: the text and how it ended.
async function streamUntilCut(node, model, cut) {
    const response = await node.chat({ model, messages: question, stream: true, max_tokens: 8000,
        temperature: 0 }, { signal: AbortSignal.timeout(20_000) })
    assert.equal(response.status, 200)
    let tokens = 0, error, done = false
    for await (const event of events(response)) {
        if (event === '[DONE]') done = true
        else if (event.error) error = event.error
        else if (event.choices?.[0]?.delta?.content && ++tokens === 3) await cut()
    }
    return { tokens, error, done }
}

function assertClearError({ tokens, error, done }) {
    assert.ok(tokens >= 3)
    assert.ok(error, 'an error event, not a silent end')
    assert.ok(error.message.length > 0 && error.type && error.code)
    assert.equal(done, false, 'no [DONE] after an error')
}

test('node A killed in mid-answer: an error, A disappears, and comes back', { timeout: 90_000 },
    async () => {
        const model = await modelOf(a)
        const engines = a.engines()
        const outcome = await streamUntilCut(c, model, () => a.kill())
        assertClearError(outcome)
        await until('C lost A', async () => !(await c.members()).includes('A'), NOTICE)
        await until('its models are gone', async () => !(await c.modelIds()).includes(model), NOTICE)
        await until('its engine ended with it', () => engines.every((p) => ticks(p) === undefined),
            NOTICE)
        await a.start()
        await until('C sees A again', async () => (await c.members()).includes('A'), NOTICE)
        await until('B sees A again', async () => (await b.members()).includes('A'), NOTICE)
        await until('its model is back', async () => (await c.modelIds()).includes(model), NOTICE)
        const response = await c.chat({ model, messages: question, max_tokens: 3 })
        assert.equal(response.status, 200)
    })

test('A killed before its first token: another node that has the model answers',
    { timeout: 60_000 }, async () => {
        const d = await Node.start('D', {
            args: [...CLUSTER, '--bootstrap', b.address, '--model', slowModel]
        })
        const model = await modelOf(a)
        await until('C knows both', async () =>
            (await c.models()).filter((m) => m.id === model).length === 2)
        const engine = a.engines()[0]
        process.kill(engine, 'SIGSTOP') // A accepts the request and never answers
        const asking = Array.from({ length: 4 }, () =>
            c.chat({ model, messages: question, max_tokens: 4, temperature: 0 },
                { signal: AbortSignal.timeout(30_000) }))
        await sleep(500)
        await a.kill()
        for (const response of await Promise.all(asking)) assert.equal(response.status, 200)
        await d.stop()
        await a.start()
        await c.seesPeers('A', 'B')
    })

test('two clusters on one machine never mix', { timeout: 60_000 }, async () => {
    const stranger = await Node.start('stranger', {
        args: ['--cluster', 'another-cluster', '--bootstrap', a.address, '--model', 'none']
    })
    await sleep(4000)
    assert.deepEqual(await stranger.members(), [])
    assert.deepEqual(await stranger.modelIds(), [])
    assert.ok(!(await a.peers()).some((p) => p.label === 'stranger' && p.state === 'member'))
    const response = await stranger.chat({ model: await modelOf(b), messages: question })
    assert.equal(response.status, 404)
    await stranger.stop()
})

test('SIGTERM during an answer: it ends within 10 s, told why or finished', { timeout: 40_000 },
    async () => {
        const d = await Node.start('leaving', {
            args: [...CLUSTER, '--bootstrap', a.address, '--model', slowModel]
        })
        const model = await modelOf(d)
        let stopping
        const { tokens, error, done } = await streamUntilCut(d, model, () => { stopping = d.stop() })
        assert.ok(tokens >= 3)
        assert.ok(error ? error.message : done, 'finished or told why')
        assert.equal((await stopping).code, 0)
        assert.ok(!existsSync(join(d.data, 'control.sock')))
    })

test('three nodes with nothing but --node-id just work', { timeout: 60_000 }, async () => {
    const home = temporaryFolder('home')
    const env = { HOME: home, XDG_DATA_HOME: undefined, XDG_CONFIG_HOME: undefined }
    const started = []
    for (const label of ['one', 'two', 'three']) {
        const node = new Node(label, { env, ports: false })
        node.args = ['start', '--node-id', label]
        node.cli = (command, args = []) => gate([command, '--node-id', label, ...args], { env })
        started.push(await node.start())
    }
    assert.equal(new Set(started.map((n) => n.first.http)).size, 3)
    assert.equal(new Set(started.map((n) => n.first.node_id)).size, 3)
    for (const node of started) {
        const answer = await node.json('ask', ['What is 2+2?'])
        assert.match(answer.answer, /\b4\b/)
    }
    for (const node of started) assert.equal((await node.stop()).code, 0)
})
