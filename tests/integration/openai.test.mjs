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

for (const where of ['slow', 'asker']) {
    const asking = (body) => client(nodes[where]).chat.completions.create(
        { model: endless, messages: question, max_tokens: 24, temperature: 0, ...body })

    test(`n gives so many choices (asked at ${where})`, async () => {
        const done = await asking({ n: 3, temperature: 1.3, seed: 7 })
        assert.deepEqual(done.choices.map((c) => c.index), [0, 1, 2])
        assert.ok(done.choices.every((c) => ['length', 'stop'].includes(c.finish_reason)))
        assert.equal(new Set(done.choices.map((c) => c.message.content)).size, 3)
        const one = await asking({})
        assert.equal(one.choices.length, 1)
        assert.equal(done.usage.prompt_tokens, one.usage.prompt_tokens) // read once
        assert.ok(done.usage.completion_tokens > one.usage.completion_tokens)
    })

    test(`n in a stream (asked at ${where})`, async () => {
        const texts = ['', ''], ends = []
        for await (const chunk of await asking({ n: 2, stream: true, temperature: 1.3, seed: 7 })) {
            for (const c of chunk.choices) {
                texts[c.index] += c.delta.content ?? ''
                if (c.finish_reason) ends.push(c.index)
            }
        }
        const whole = await asking({ n: 2, temperature: 1.3, seed: 7 })
        assert.deepEqual(ends.sort(), [0, 1])
        assert.deepEqual(texts, whole.choices.map((c) => c.message.content))
    })

    test(`stop ends before its string (asked at ${where})`, async () => {
        const text = (await asking({})).choices[0].message.content
        const stop = text.slice(8, 11)
        const [choice] = (await asking({ stop: ['never ever', stop] })).choices
        assert.equal(choice.message.content, text.slice(0, text.indexOf(stop)))
        assert.equal(choice.finish_reason, 'stop')
    })

    test(`usage comes when asked for, and last (asked at ${where})`, async () => {
        const chunks = []
        for await (const c of await asking({ stream: true, stream_options: { include_usage: true } }))
            chunks.push(c)
        const last = chunks.pop()
        assert.deepEqual(last.choices, [])
        assert.equal(last.usage.completion_tokens, 24)
        assert.equal(last.usage.total_tokens, last.usage.prompt_tokens + 24)
        assert.ok(chunks.every((c) => !c.usage))
        assert.equal(chunks[0].choices[0].delta.role, 'assistant')
        for await (const c of await asking({ stream: true })) assert.ok(!c.usage)
    })

    test(`legacy completions (asked at ${where})`, async () => {
        const complete = (body) => client(nodes[where]).completions.create(
            { model: endless, prompt: 'Once upon', max_tokens: 8, temperature: 0, ...body })
        const done = await complete({})
        assert.equal(done.object, 'text_completion')
        assert.equal(done.choices[0].finish_reason, 'length')
        assert.equal(done.usage.completion_tokens, 8)
        const text = done.choices[0].text
        assert.ok(text.length > 0)
        assert.equal((await complete({ echo: true })).choices[0].text, 'Once upon' + text)
        assert.equal((await complete({ prompt: ['Once upon'] })).choices[0].text, text)
        let streamed = '', finish
        for await (const c of await complete({ stream: true })) {
            streamed += c.choices[0]?.text ?? ''
            finish = c.choices[0]?.finish_reason ?? finish
        }
        assert.equal(streamed, text)
        assert.equal(finish, 'length')
    })
}

test('the same seed gives the same answer', async () => {
    const ask = () => client(nodes.asker).chat.completions.create({
        model: endless, messages: question, max_tokens: 30, temperature: 1.2, seed: 42
    })
    const [one, two] = [await ask(), await ask()]
    assert.equal(one.choices[0].message.content, two.choices[0].message.content)
})

test('a model by its name', async () => {
    const found = await client(nodes.asker).models.retrieve(model)
    assert.equal(found.id, model)
    assert.ok(found.context_length > 0)
    assert.ok(found.abilities.includes('chat'))
    assert.match(found.hash, /^[0-9a-f]{64}$/)
    await assert.rejects(client(nodes.asker).models.retrieve('no/such'), OpenAI.NotFoundError)
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
    // Each with its parameter's name: by the node that was asked, and by the engine far away.
    for (const [param, body] of [
        ['messages', { messages: 'none' }],
        ['temperature', { temperature: 9 }],
        ['n', { n: 0 }],
        ['tools[0].type', { tools: [{ type: 'web_search' }] }],
        ['messages[0].content[0].type', { messages: [{ role: 'user', content: [{ type: 'input_audio' }] }] }],
        ['response_format.type', { response_format: { type: 'grammar' } }],
        ['audio', { audio: { voice: 'alloy', format: 'wav' } }],
        ['web_search_options', { web_search_options: {} }],
        ['min_tokens', { min_tokens: 5 }]
    ]) {
        for (const stream of [false, true]) {
            await assert.rejects(failing({ ...body, stream }), (e) => {
                assert.ok(e instanceof OpenAI.BadRequestError)
                assert.equal(e.param, param)
                assert.equal(e.type, 'invalid_request_error')
                return true
            })
        }
    }
    await assert.rejects(api.completions.create({ model, prompt: [1, 2, 3] }), (e) => {
        assert.equal(e.param, 'prompt')
        return e instanceof OpenAI.BadRequestError
    })
    await assert.rejects(api.embeddings.create({ model, input: [1, 2, 3] }), (e) => {
        assert.equal(e.param, 'input')
        return e instanceof OpenAI.BadRequestError
    })
    await assert.rejects(failing({ messages: [{ role: 'user', content: 'long '.repeat(20_000) }] }), (e) => {
        assert.ok(e instanceof OpenAI.BadRequestError)
        assert.equal(e.code, 'context_length_exceeded')
        return true
    })
})
