// Keys, limits, trust and request records, met with other people's clients.
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import Anthropic from '@anthropic-ai/sdk'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { Node } from './lib/gate.mjs'
import { endAll, sleep, until } from './lib/process.mjs'

const question = [{ role: 'user', content: 'What is 2+2?' }]
const nodes = {}
let model, key

const openai = (node, apiKey, more) => new OpenAI({ baseURL: node.http, apiKey, maxRetries: 0, ...more })
const base = (node) => node.http.replace(/\/v1$/, '')

async function makeKey(node, name, ...flags) {
    return node.json('keys', ['create', name, ...flags])
}

before(async () => {
    nodes.server = await Node.start('server', { args: ['--cluster', 'keys-test'] })
    nodes.asker = await Node.start('asker', {
        args: ['--cluster', 'keys-test', '--model', 'none', '--bootstrap', nodes.server.address]
    })
    await nodes.asker.seesPeers('server')
    model = (await nodes.server.models())[0].id
    await nodes.asker.seesModel(model)
})

after(endAll)

test('without a key any key will do', async () => {
    const done = await openai(nodes.server, 'unused').chat.completions.create({ model, messages: question })
    assert.match(done.choices[0].message.content, /4/)
})

test('a key is wanted as soon as there is one, in the words of each client', async () => {
    key = (await makeKey(nodes.server, 'laptop')).key
    await assert.rejects(openai(nodes.server, 'unused').chat.completions.create({ model, messages: question }),
        (e) => e instanceof OpenAI.AuthenticationError && e.code === 'invalid_api_key')
    const claude = new Anthropic({ baseURL: base(nodes.server), apiKey: 'unused', maxRetries: 0 })
    await assert.rejects(claude.messages.create({ model, max_tokens: 8, messages: question }),
        (e) => e instanceof Anthropic.AuthenticationError && e.error.error.type === 'authentication_error')
    await assert.rejects(new Ollama({ host: base(nodes.server) }).list(), /key/)
})

test('each client sends it its own way', async () => {
    const done = await openai(nodes.server, key).chat.completions.create({ model, messages: question })
    assert.match(done.choices[0].message.content, /4/)
    const claude = new Anthropic({ baseURL: base(nodes.server), apiKey: key, maxRetries: 0 })
    const message = await claude.messages.create({ model, max_tokens: 20, messages: question })
    assert.match(message.content[0].text, /4/)
    const llama = new Ollama({ host: base(nodes.server), headers: { Authorization: `Bearer ${key}` } })
    assert.ok((await llama.list()).models.length > 0)
    const answer = await llama.chat({ model, messages: question })
    assert.match(answer.message.content, /4/)
})

test('a client that is told to wait waits and succeeds', async () => {
    const { key: slow } = await makeKey(nodes.server, 'slow', '--requests-per-minute', '40')
    const patient = openai(nodes.server, slow, { maxRetries: 3 })
    const hasty = openai(nodes.server, slow)
    const began = Date.now()
    let refused
    for (let i = 0; i < 60 && !refused; i++) {
        refused = await hasty.chat.completions.create({ model, messages: question, max_tokens: 1 })
            .then(() => null, (e) => e)
    }
    assert.ok(refused instanceof OpenAI.RateLimitError, String(refused))
    assert.equal(refused.code, 'rate_limit_exceeded')
    const seconds = Number(refused.headers.get('retry-after'))
    assert.ok(seconds >= 1 && seconds <= 2, `retry-after: ${seconds}`)
    await patient.chat.completions.create({ model, messages: question, max_tokens: 1 })
    assert.ok(Date.now() - began < 30000)
})

test('a key for some models sees and uses only these', async () => {
    const { key: narrow } = await makeKey(nodes.server, 'narrow', '--models', 'other-*')
    const client = openai(nodes.server, narrow)
    assert.deepEqual((await client.models.list()).data, [])
    await assert.rejects(client.chat.completions.create({ model, messages: question }),
        (e) => e instanceof OpenAI.PermissionDeniedError && e.param === 'model')
})

test('an aborted stream gives its place back', async () => {
    const { key: one } = await makeKey(nodes.server, 'one', '--concurrent', '1')
    const client = openai(nodes.server, one)
    const stream = await client.chat.completions.create({
        model, stream: true, max_tokens: 400,
        messages: [{ role: 'user', content: 'Count to one hundred.' }]
    })
    for await (const _ of stream) break // the client hangs up
    await until('the place is free', () =>
        client.chat.completions.create({ model, messages: question, max_tokens: 1 }).then(() => true, () => false))
})

test('who asked reads the record of its request, and nobody else', async () => {
    const client = openai(nodes.server, key)
    const done = await client.chat.completions.create({ model, messages: question })
    const read = (k) => fetch(`${nodes.server.http}/requests/${done._request_id}`,
        { headers: k ? { authorization: `Bearer ${k}` } : {} })
    const record = await (await read(key)).json()
    assert.equal(record.outcome, 'ok')
    assert.deepEqual(record.source, { kind: 'key', name: 'laptop' })
    assert.equal(record.target, 'server')
    assert.equal(record.usage.completion_tokens, done.usage.completion_tokens)
    assert.ok(record.timings_us.total >= record.timings_us.first_event)
    assert.ok(!JSON.stringify(record).includes('2+2'))
    assert.ok(record.candidates.length > 0)
    const { key: other } = await makeKey(nodes.server, 'other')
    assert.equal((await read(other)).status, 404)
    assert.equal((await read()).status, 401)
})

test('a request through another node is a record of both, under one id', async () => {
    const done = await openai(nodes.asker, 'unused').chat.completions.create({ model, messages: question })
    const [here] = await nodes.asker.json('requests', ['--limit', '1'])
    assert.equal(here.id, done._request_id)
    assert.equal(here.source.kind, 'address')
    assert.equal(here.target, 'server')
    const there = (await nodes.server.json('requests')).find((r) => r.id === done._request_id)
    assert.equal(there.source.kind, 'peer')
    assert.equal(there.source.name, nodes.asker.first.peer_id)
    assert.equal(there.prompt_sha256, here.prompt_sha256)
})

test('a member that is shut out gets nothing, until it is let in again', async () => {
    const peer = nodes.asker.first.node_id
    const ask = () => openai(nodes.asker, 'unused').chat.completions.create({ model, messages: question })
    await nodes.server.json('peers', ['trust', peer, '--scopes', 'none'])
    await assert.rejects(ask(), (e) => e.status >= 400)
    await nodes.server.json('peers', ['trust', peer, '--requests-per-minute', '1'])
    await until('it is let in', () => ask().then(() => true, () => false), 40000)
    await nodes.server.json('peers', ['untrust', peer])
    await until('without limits', () => ask().then(ask).then(() => true, () => false), 40000)
})

test('keys and records outlive a kill', async () => {
    const client = openai(nodes.server, key)
    const done = await client.chat.completions.create({ model, messages: question })
    await sleep(1000)
    await nodes.server.kill()
    await nodes.server.start()
    const again = openai(nodes.server, key)
    await assert.rejects(openai(nodes.server, 'unused').models.list(), OpenAI.AuthenticationError)
    assert.ok((await again.models.list()).data)
    const record = await nodes.server.json('requests', [done._request_id])
    assert.equal(record.outcome, 'ok')
    await nodes.server.json('keys', ['revoke', 'laptop'])
    await assert.rejects(again.models.list(), OpenAI.AuthenticationError)
})
