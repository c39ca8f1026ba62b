// The clients of other dialects from npm, with nothing but a base URL, against a local and a remote
// model: Anthropic's SDK, Ollama's client, OpenAI's Responses, the Vercel SDK.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { generateText, streamText } from 'ai'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { Node } from './lib/gate.mjs'
import { endAll, temporaryFolder, until } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

const nodes = {}
let model, endless
const root = (node) => node.http.replace(/\/v1$/, '')
const anthropic = (node) => new Anthropic({ baseURL: root(node), apiKey: 'unused', maxRetries: 0 })
const openai = (node) => new OpenAI({ baseURL: node.http, apiKey: 'unused', maxRetries: 0 })
const ollama = (node) => new Ollama({ host: root(node) })
const vercel = (node) => createOpenAI({ baseURL: node.http, apiKey: 'unused' })
const compatible = (node) => createOpenAICompatible({ name: 'gate', baseURL: node.http })
const text = 'What is 2+2?'
const messages = [{ role: 'user', content: text }]

before(async () => {
    const file = join(temporaryFolder('model'), 'endless.gguf')
    writeTinyModel(file)
    const cluster = ['--cluster', 'dialects-test']
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

const collect = async (stream) => {
    const all = []
    for await (const one of stream) all.push(one)
    return all
}

// What is in the cache already is counted apart.
const promptTokens = (usage) => usage.input_tokens + usage.cache_read_input_tokens

const isIdle = async (node) => (await (await fetch(`${root(node)}/health`)).json()).running === 0

for (const where of ['server', 'asker']) {
    const place = where === 'server' ? 'a local model' : "a remote node's model"

    // ---- Anthropic --------------------------------------------------------------------------

    test(`messages with ${place}`, async () => {
        const { data, request_id } = await anthropic(nodes[where]).messages
            .create({ model, max_tokens: 100, messages }).withResponse()
        assert.equal(data.type, 'message')
        assert.equal(data.role, 'assistant')
        assert.match(data.content[0].text, /\b4\b/)
        assert.equal(data.stop_reason, 'end_turn')
        assert.ok(promptTokens(data.usage) > 0 && data.usage.output_tokens > 0)
        assert.match(request_id, /^req_/)
    })

    test(`a stream of messages with ${place}`, async () => {
        const stream = anthropic(nodes[where]).messages
            .stream({ model, max_tokens: 100, messages })
        const kinds = new Set()
        let said = ''
        stream.on('streamEvent', (e) => kinds.add(e.type))
        stream.on('text', (piece) => { said += piece })
        const final = await stream.finalMessage()
        assert.match(said, /\b4\b/)
        assert.equal(final.content[0].text, said)
        assert.equal(final.stop_reason, 'end_turn')
        assert.ok(promptTokens(final.usage) > 0 && final.usage.output_tokens > 0)
        for (const kind of ['message_start', 'content_block_start', 'content_block_delta',
            'content_block_stop', 'message_delta', 'message_stop']) assert.ok(kinds.has(kind), kind)
    })

    test(`counting tokens with ${place}`, async () => {
        const client = anthropic(nodes[where])
        const { input_tokens } = await client.messages.countTokens({ model, messages })
        const done = await client.messages.create({ model, max_tokens: 1, messages })
        assert.equal(input_tokens, promptTokens(done.usage))
    })

    test(`max_tokens of messages with ${place}`, async () => {
        const done = await anthropic(nodes[where]).messages
            .create({ model: endless, max_tokens: 5, messages, temperature: 0 })
        assert.equal(done.stop_reason, 'max_tokens')
        assert.equal(done.usage.output_tokens, 5)
    })

    // ---- Ollama -----------------------------------------------------------------------------

    test(`Ollama's chat with ${place}`, async () => {
        const done = await ollama(nodes[where]).chat({ model: `${model}:latest`, messages })
        assert.match(done.message.content, /\b4\b/)
        assert.equal(done.message.role, 'assistant')
        assert.equal(done.done, true)
        assert.equal(done.done_reason, 'stop')
        assert.ok(done.prompt_eval_count > 0 && done.eval_count > 0 && done.total_duration > 0)
        const sum = done.load_duration + done.prompt_eval_duration + done.eval_duration
        assert.ok(sum <= done.total_duration, 'the parts are no more than the whole')
        assert.ok(Math.abs(new Date(done.created_at) - Date.now()) < 60000)
    })

    test(`Ollama's streams with ${place}`, async () => {
        const chunks = await collect(await ollama(nodes[where])
            .chat({ model, messages, stream: true }))
        assert.match(chunks.map((c) => c.message.content).join(''), /\b4\b/)
        assert.equal(chunks.filter((c) => c.done).length, 1)
        const generated = await collect(await ollama(nodes[where])
            .generate({ model, prompt: text, stream: true }))
        assert.match(generated.map((c) => c.response).join(''), /\b4\b/)
        assert.equal(generated.at(-1).done_reason, 'stop')
    })

    test(`Ollama's options with ${place}`, async () => {
        const ask = { model: endless, messages, options: { num_predict: 5, temperature: 0 } }
        const one = await ollama(nodes[where]).chat(ask)
        assert.equal(one.done_reason, 'length')
        assert.equal(one.eval_count, 5)
        const two = await ollama(nodes[where]).chat(ask)
        assert.equal(one.message.content, two.message.content)
    })

    test(`Ollama's lists with ${place}`, async () => {
        const client = ollama(nodes[where])
        const listed = (await client.list()).models.find((m) => m.name === `${model}:latest`)
        assert.match(listed.digest, /^[0-9a-f]{64}$/)
        assert.ok(!Number.isNaN(new Date(listed.modified_at).getTime()))
        const shown = await client.show({ model })
        assert.ok(shown.capabilities.includes('completion'))
        assert.ok(Object.keys(shown.model_info).some((k) => k.endsWith('.context_length')))
        assert.ok((await client.ps()).models.some((m) => m.name === `${model}:latest`))
        assert.match((await client.version()).version, /^\d+\.\d+\.\d+$/)
        assert.equal(await (await fetch(`${root(nodes[where])}/`)).text(), 'Ollama is running')
    })

    // ---- Responses --------------------------------------------------------------------------

    test(`responses with ${place}`, async () => {
        const done = await openai(nodes[where]).responses.create({
            model, input: text, metadata: { k: 'v' }
        })
        assert.match(done.output_text, /\b4\b/)
        assert.equal(done.status, 'completed')
        assert.equal(done.output[0].type, 'message')
        assert.deepEqual(done.metadata, { k: 'v' })
        assert.ok(done.usage.input_tokens > 0)
        assert.equal(done.usage.total_tokens, done.usage.input_tokens + done.usage.output_tokens)
    })

    test(`a stream of responses with ${place}`, async () => {
        const stream = openai(nodes[where]).responses.stream({ model, input: text })
        let said = ''
        stream.on('response.output_text.delta', (e) => { said += e.delta })
        const final = await stream.finalResponse()
        assert.match(said, /\b4\b/)
        assert.equal(final.output_text, said)
        assert.equal(final.status, 'completed')
    })

    test(`max_output_tokens of responses with ${place}`, async () => {
        const done = await openai(nodes[where]).responses.create({
            model: endless, input: text, max_output_tokens: 5, temperature: 0
        })
        assert.equal(done.status, 'incomplete')
        assert.equal(done.incomplete_details.reason, 'max_output_tokens')
        assert.equal(done.usage.output_tokens, 5)
    })

    // ---- Vercel -----------------------------------------------------------------------------

    for (const [form, of] of [
        ['responses', (node) => vercel(node).responses(model)],
        ['chat', (node) => vercel(node).chat(model)],
        ['compatible chat', (node) => compatible(node)(model)]
    ]) {
        test(`the Vercel SDK's ${form} with ${place}`, async () => {
            const done = await generateText({ model: of(nodes[where]), prompt: text, maxRetries: 0 })
            assert.match(done.text, /\b4\b/)
            assert.equal(done.finishReason, 'stop')
            const stream = streamText({ model: of(nodes[where]), prompt: text, maxRetries: 0 })
            assert.match((await collect(stream.textStream)).join(''), /\b4\b/)
            assert.equal(await stream.finishReason, 'stop')
        })
    }
}

// ---- servers of these forms -------------------------------------------------------------------

for (const kind of ['ollama', 'anthropic', 'openai']) {
    test(`every client, by way of a server of the kind ${kind}`, async () => {
        const front = await Node.start(`front-${kind}`,
            { args: ['--model', 'none', '--cluster', `front-${kind}`, '--discover-providers=false'] })
        const url = root(nodes.server)
        const added = await front.cli('providers', ['add', 'back', '--kind', kind, '--url', url])
        assert.equal(added.code, 0, added.stderr)
        await front.seesModel(model)
        const claude = await anthropic(front).messages.stream({ model, max_tokens: 100, messages })
            .finalMessage()
        assert.match(claude.content[0].text, /\b4\b/)
        assert.equal(claude.stop_reason, 'end_turn')
        assert.ok(claude.usage.output_tokens > 0)
        const llama = await ollama(front).chat({ model, messages })
        assert.match(llama.message.content, /\b4\b/)
        assert.ok(llama.prompt_eval_count > 0)
        assert.match((await openai(front).responses.create({ model, input: text })).output_text, /\b4\b/)
        const chat = await openai(front).chat.completions.create({ model, messages, temperature: 0 })
        assert.match(chat.choices[0].message.content, /\b4\b/)
        const short = await openai(front).chat.completions
            .create({ model, messages: [{ role: 'user', content: 'Tell me a story.' }], max_tokens: 2 })
        assert.equal(short.choices[0].finish_reason, 'length')
        const error = await openai(front).chat.completions.create({ model, messages, n: 2 }).catch((e) => e)
        if (kind !== 'openai') assert.equal(error.param, 'n')
        await front.child.stop()
    })
}

// ---- endings ----------------------------------------------------------------------------------

test('a client of any dialect that leaves ends its answer', async () => {
    const node = nodes.slow
    const stream = anthropic(node).messages.stream({ model: endless, max_tokens: 100000, messages })
    const aborted = new Promise((resolve) => stream.on('abort', resolve))
    await new Promise((resolve, reject) => {
        stream.on('text', resolve)
        stream.on('error', reject)
    })
    stream.abort()
    await aborted
    await until('the first answer has ended', () => isIdle(node))
    const lines = await ollama(node).chat({ model: endless, messages, stream: true })
    for await (const line of lines) {
        assert.equal(line.done, false)
        break
    }
    lines.abort()
    await until('the second answer has ended', () => isIdle(node))
    const events = await openai(node).responses.create({ model: endless, input: text, stream: true })
    for await (const event of events) if (event.type === 'response.output_text.delta') break
    await until('the third answer has ended', () => isIdle(node))
})

test('errors are what the clients look for', async () => {
    const node = nodes.server
    const messagesError = await anthropic(node).messages
        .create({ model: 'nobody-has-it', max_tokens: 5, messages }).catch((e) => e)
    assert.ok(messagesError instanceof Anthropic.NotFoundError)
    assert.equal(messagesError.type, 'not_found_error')
    assert.match(messagesError.message, /nobody-has-it/)
    assert.match(messagesError.requestID, /^req_/)
    const ollamaError = await ollama(node).chat({ model: 'nobody-has-it', messages }).catch((e) => e)
    assert.equal(ollamaError.status_code, 404)
    assert.match(ollamaError.message, /nobody-has-it/)
    const responsesError = await openai(node).responses
        .create({ model, input: text, previous_response_id: 'resp_x' }).catch((e) => e)
    assert.ok(responsesError instanceof OpenAI.BadRequestError)
    assert.equal(responsesError.param, 'previous_response_id')
})

test('a model is loaded by its name', async () => {
    const done = await ollama(nodes.server).generate({ model, prompt: '' })
    assert.equal(done.done_reason, 'load')
})
