// The openai client from npm with nothing but a base URL, against a local and a remote model.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import OpenAI from 'openai'
import { Node, ticks } from './lib/gate.mjs'
import { endAll, sleep, temporaryFolder, until } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

const nodes = {}
let model, endless
const client = (node) => new OpenAI({ baseURL: node.http, apiKey: 'unused', maxRetries: 0 })
const question = [{ role: 'user', content: 'What is 2+2?' }]

before(async () => {
    const file = join(temporaryFolder('model'), 'endless.gguf')
    writeTinyModel(file)
    const cluster = ['--cluster', 'openai-test']
    nodes.server = await Node.start('server', { args: cluster })
    nodes.slow = await Node.start('slow', {
        args: [...cluster, '--model', file, '--bootstrap', nodes.server.address]
    })
    nodes.asker = await Node.start('asker', {
        args: [...cluster, '--model', 'none', '--bootstrap', nodes.server.address]
    })
    await nodes.asker.seesPeers('server', 'slow')
    model = (await nodes.server.models()).find((m) => m.node.label === 'server').id
    endless = (await nodes.slow.models()).find((m) => m.node.label === 'slow').id
    await nodes.asker.seesModel(model)
    await nodes.asker.seesModel(endless)
})

after(endAll)

for (const where of ['server', 'asker']) {
    const place = where === 'server' ? 'a local model' : "a remote node's model"

    test(`chat with ${place}`, async () => {
        const done = await client(nodes[where]).chat.completions.create({ model, messages: question })
        assert.match(done.choices[0].message.content, /\b4\b/)
        assert.equal(done.choices[0].message.role, 'assistant')
        assert.equal(done.choices[0].finish_reason, 'stop')
        assert.equal(done.object, 'chat.completion')
        assert.equal(done.model, model)
        assert.ok(done.usage.prompt_tokens > 0 && done.usage.completion_tokens > 0)
        assert.equal(done.usage.total_tokens, done.usage.prompt_tokens + done.usage.completion_tokens)
        assert.ok(done._request_id, 'x-request-id')
        assert.ok(Math.abs(done.created - Date.now() / 1000) < 60)
    })

    test(`streaming chat with ${place}`, async () => {
        const stream = await client(nodes[where]).chat.completions.create({
            model, messages: question, stream: true, stream_options: { include_usage: true }
        })
        let text = '', finish, usage
        for await (const chunk of stream) {
            text += chunk.choices[0]?.delta?.content ?? ''
            finish ??= chunk.choices[0]?.finish_reason ?? undefined
            usage = chunk.usage ?? usage
        }
        assert.match(text, /\b4\b/)
        assert.equal(finish, 'stop')
        assert.ok(usage.completion_tokens > 0)
    })

    test(`the stream helper with ${place}`, async () => {
        const stream = client(nodes[where]).chat.completions.stream({ model, messages: question })
        const final = await stream.finalChatCompletion()
        assert.match(final.choices[0].message.content, /\b4\b/)
    })

    test(`max_tokens with ${place} ends with finish_reason length`, async () => {
        const done = await client(nodes[where]).chat.completions.create({
            model: endless, messages: question, max_tokens: 5, temperature: 0
        })
        assert.equal(done.choices[0].finish_reason, 'length')
        assert.equal(done.usage.completion_tokens, 5)
    })
}

test('the same seed gives the same answer', async () => {
    const ask = () => client(nodes.asker).chat.completions.create({
        model: endless, messages: question, max_tokens: 30, temperature: 1.2, seed: 42
    })
    const [one, two] = [await ask(), await ask()]
    assert.equal(one.choices[0].message.content, two.choices[0].message.content)
})

test('models.list names local and remote models once each', async () => {
    const ids = []
    for await (const m of client(nodes.asker).models.list()) ids.push(m.id)
    assert.ok(ids.includes(model) && ids.includes(endless), ids.join())
    assert.equal(new Set(ids).size, ids.length)
})

// The engine of `slow` must stop computing once nobody listens.
async function stopsComputing(start) {
    const [engine] = nodes.slow.engines()
    assert.ok(engine, 'an engine process')
    await start()
    await until('the engine rests', async () => {
        const before = ticks(engine)
        await sleep(400)
        return ticks(engine) - before <= 4
    }, { timeout: 5000, every: 1 })
}

for (const where of ['slow', 'asker']) {
    test(`breaking off a stream stops the engine (asked at ${where})`, () => stopsComputing(async () => {
        const stream = await client(nodes[where]).chat.completions.create({
            model: endless, messages: question, max_tokens: 6000, temperature: 0, stream: true
        })
        let chunks = 0
        for await (const chunk of stream) {
            if (chunk.choices[0]?.delta?.content && ++chunks === 3) break
        }
        assert.equal(chunks, 3)
    }))

    test(`aborting a request without stream stops the engine (asked at ${where})`, () =>
        stopsComputing(async () => {
            const abort = new AbortController()
            const asking = client(nodes[where]).chat.completions.create(
                { model: endless, messages: question, max_tokens: 6000, temperature: 0 },
                { signal: abort.signal })
            await sleep(300)
            abort.abort()
            await assert.rejects(asking, OpenAI.APIUserAbortError)
        }))
}

test('errors have the classes that the client knows', async () => {
    const api = client(nodes.asker)
    const failing = (body) => api.chat.completions.create({ model, messages: question, ...body })
    await assert.rejects(failing({ model: 'no-such-model' }), (e) => {
        assert.ok(e instanceof OpenAI.NotFoundError)
        assert.equal(e.code, 'model_not_found')
        return true
    })
    await assert.rejects(failing({ messages: 'none' }), OpenAI.BadRequestError)
    await assert.rejects(failing({ messages: [{ role: 'user', content: 'long '.repeat(20_000) }] }), (e) => {
        assert.ok(e instanceof OpenAI.BadRequestError)
        assert.equal(e.code, 'context_length_exceeded')
        return true
    })
})
