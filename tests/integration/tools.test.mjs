// Thoughts, calls of tools, pictures, schemas: what a small model does not give or take. The clients
// from npm speak with the codecs themselves, which answer a script (tests/dialect/speak.c) and tell
// what they understood.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { createOpenAI } from '@ai-sdk/openai'
import { createOpenAICompatible } from '@ai-sdk/openai-compatible'
import Anthropic from '@anthropic-ai/sdk'
import { generateText, jsonSchema, stepCountIs, streamText, tool } from 'ai'
import { Ollama } from 'ollama'
import OpenAI from 'openai'
import { Node } from './lib/gate.mjs'
import { BUILD, endAll } from './lib/process.mjs'

const SPEAK = join(BUILD, 'tests', 'dialect', 'dialect_speak')
const FORMS = [
    ['/v1/chat/completions', 'openai.chat'],
    ['/v1/responses', 'openai.responses'],
    ['/v1/messages', 'anthropic.messages'],
    ['/api/chat', 'ollama.chat'],
    ['/api/generate', 'ollama.generate']
]

// What was understood of each request, newest last.
let understood = []

async function speak(path, asked) {
    const form = FORMS.find(([of]) => of === path)
    assert.ok(form, `no form for ${path}`)
    const out = await new Promise((resolve, reject) => {
        const child = execFile(SPEAK, [form[1]], { encoding: 'buffer', maxBuffer: 1 << 26 },
            (error, stdout) => error ? reject(error) : resolve(stdout))
        child.stdin.end(asked)
    })
    const end = out.indexOf('\n')
    const { status, type, request } = JSON.parse(out.subarray(0, end))
    understood.push(request)
    return { status, type, body: out.subarray(end + 1) }
}

// fetch, with a codec at the other end. Answers come in pieces that end anywhere, also inside a
// character.
async function fetch(url, init) {
    const { status, type, body } = await speak(new URL(url).pathname, init.body)
    const pieces = new ReadableStream({
        start(to) {
            for (let i = 0; i < body.length; i += 7) to.enqueue(body.subarray(i, i + 7))
            to.close()
        }
    })
    return new Response(pieces, { status, headers: { 'content-type': type } })
}

const says = (...texts) => {
    for (const text of texts) assert.ok(understood.at(-1).includes(text), `${text}\n---- in\n${understood.at(-1)}`)
}

const base = { baseURL: 'http://codec/v1', apiKey: 'unused', maxRetries: 0, fetch }
const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
const text = 'How warm is it?'
const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='
const THOUGHT = 'Let me think …'
const ASKS = 'I ask. 😀'
const ANSWER = 'It is 21° in Zürich.'

test("Anthropic's SDK: thoughts, tools, pictures", async () => {
    const client = new Anthropic({ ...base, baseURL: 'http://codec' })
    const tools = [{ name: 'weather', description: 'of a city', input_schema: city }]
    const asked = {
        model: 'm', max_tokens: 9000, tools, system: 'Be brief.', stop_sequences: ['END'],
        thinking: { type: 'enabled', budget_tokens: 4096 },
        tool_choice: { type: 'auto', disable_parallel_tool_use: false },
        messages: [{
            role: 'user', content: [{ type: 'text', text }, {
                type: 'image', source: { type: 'base64', media_type: 'image/png', data: PNG }
            }]
        }]
    }
    const stream = client.messages.stream(asked)
    const inputs = []
    stream.on('inputJson', (_, snapshot) => inputs.push(snapshot))
    const streamed = await stream.finalMessage()
    const whole = await client.messages.create(asked)
    for (const message of [streamed, whole]) {
        const [thinking, said, one, two] = message.content
        assert.equal(thinking.thinking, THOUGHT)
        assert.equal(said.text, ASKS)
        assert.deepEqual({ id: one.id, name: one.name, input: one.input },
            { id: 'call_a', name: 'weather', input: { city: 'Zürich' } })
        assert.deepEqual(two.input, { city: 'Bern' })
        assert.equal(message.stop_reason, 'tool_use')
        assert.equal(message.usage.input_tokens, 15)
        assert.equal(message.usage.cache_read_input_tokens, 5)
        assert.equal(message.usage.output_tokens, 10)
    }
    assert.ok(inputs.length >= 3)
    says('system content="Be brief."', `image="data:image/png;base64,${PNG}"`, 'effort=medium',
        'tool weather strict=0 description="of a city"', 'stop="END"')
    const last = await client.messages.create({
        ...asked, messages: [...asked.messages, { role: 'assistant', content: whole.content }, {
            role: 'user', content: [
                { type: 'tool_result', tool_use_id: 'call_a', content: '21' },
                { type: 'tool_result', tool_use_id: 'call_b', is_error: true,
                    content: [{ type: 'text', text: 'no idea' }] }]
        }]
    })
    assert.equal(last.content.at(-1).text, ANSWER)
    assert.equal(last.stop_reason, 'end_turn')
    says(`reasoning="${THOUGHT}"`, 'call="call_a" of="weather" arguments="{\\"city\\":\\"Zürich\\"}"',
        'tool content="21" answers="call_a"', 'tool failed content="no idea" answers="call_b"')
})

test("Ollama's client: thoughts, tools, pictures, log probabilities", async () => {
    const client = new Ollama({ host: 'http://codec', fetch })
    const tools = [{ type: 'function', function: { name: 'weather', description: 'd', parameters: city } }]
    const messages = [{ role: 'user', content: text, images: [PNG] }]
    const whole = await client.chat({ model: 'm', messages, tools, think: true, keep_alive: '10m' })
    assert.equal(whole.message.thinking, THOUGHT)
    assert.equal(whole.message.content, ASKS)
    assert.deepEqual(whole.message.tool_calls.map((c) => c.function.arguments),
        [{ city: 'Zürich' }, { city: 'Bern' }])
    says(`image="data:image/png;base64,${PNG}"`, 'effort=medium', 'keep=1/600', 'tool weather')
    let thought = '', said = '', calls = [], done
    for await (const line of await client.chat({ model: 'm', messages, tools, think: 'high', stream: true })) {
        thought += line.message.thinking ?? ''
        said += line.message.content
        calls.push(...line.message.tool_calls ?? [])
        done = line
    }
    assert.equal(thought, THOUGHT)
    assert.equal(said, ASKS)
    assert.deepEqual(calls, whole.message.tool_calls)
    assert.equal(done.eval_count, 10)
    const last = await client.chat({
        model: 'm', tools, logprobs: true, top_logprobs: 2, format: city,
        messages: [...messages, whole.message,
            { role: 'tool', tool_name: 'weather', content: '21' },
            { role: 'tool', tool_name: 'weather', content: '22' }]
    })
    assert.equal(last.message.content, ANSWER)
    assert.equal(last.logprobs[0].token, 'It')
    assert.equal(last.logprobs[0].top_logprobs.length, 2)
    says('answers="call_a"', 'answers="call_b"', 'format=2', 'logprobs=1/2')
    const generated = await client.generate({ model: 'm', prompt: text, system: 'Be brief.', think: true })
    assert.equal(generated.thinking, THOUGHT)
    assert.equal(generated.response, ANSWER)
})

test("OpenAI's SDK: responses with thoughts, tools, schemas", async () => {
    const client = new OpenAI(base)
    const tools = [{ type: 'function', name: 'weather', description: 'd', parameters: city, strict: true }]
    const asked = {
        model: 'm', input: [{ role: 'user', content: [{ type: 'input_text', text },
            { type: 'input_image', image_url: `data:image/png;base64,${PNG}`, detail: 'low' }] }],
        tools, instructions: 'Be brief.', reasoning: { effort: 'high', summary: 'auto' }, store: false
    }
    const stream = client.responses.stream(asked)
    const seen = new Set()
    stream.on('event', (e) => seen.add(e.type))
    const streamed = await stream.finalResponse()
    const whole = await client.responses.create(asked)
    for (const response of [streamed, whole]) {
        assert.equal(response.output_text, ASKS)
        const [thoughts, message, one, two] = response.output
        assert.equal(thoughts.summary[0].text, THOUGHT)
        assert.equal(message.content[0].type, 'output_text')
        assert.equal(one.call_id, 'call_a')
        assert.deepEqual(JSON.parse(one.arguments), { city: 'Zürich' })
        assert.deepEqual(JSON.parse(two.arguments), { city: 'Bern' })
        assert.equal(response.status, 'completed')
        assert.equal(response.usage.input_tokens_details.cached_tokens, 5)
        assert.equal(response.usage.output_tokens_details.reasoning_tokens, 3)
        assert.deepEqual(response.tools, tools)
        assert.equal(response.instructions, 'Be brief.')
    }
    for (const type of ['response.created', 'response.output_item.added', 'response.output_item.done',
        'response.function_call_arguments.delta', 'response.function_call_arguments.done',
        'response.reasoning_summary_text.delta', 'response.completed']) assert.ok(seen.has(type), type)
    says('system content="Be brief."', 'detail="low"', 'tool weather strict=1', 'effort=high')
    const last = await client.responses.create({
        ...asked, include: ['message.output_text.logprobs'], top_logprobs: 2,
        text: { format: { type: 'json_schema', name: 'city', schema: city, strict: true } },
        input: [...asked.input, ...whole.output,
            { type: 'function_call_output', call_id: 'call_a', output: '21' },
            { type: 'function_call_output', call_id: 'call_b', output: '22' }]
    })
    assert.equal(last.output_text, ANSWER)
    assert.equal(last.output.at(-1).content[0].logprobs[0].top_logprobs.length, 2)
    says(`reasoning="${THOUGHT}"`, `assistant content="${ASKS}"`, 'call="call_a" of="weather"',
        'tool content="22" answers="call_b"', 'format=2', 'schema_name="city"')
})

test("the Vercel SDK's loop of tools", async () => {
    const options = { openai: { store: false, reasoningEffort: 'high', reasoningSummary: 'auto' } }
    const openai = createOpenAI({ ...base })
    for (const model of [openai.responses('gpt-5'), openai.chat('m'),
        createOpenAICompatible({ ...base, name: 'codec', includeUsage: true })('m')]) {
        understood = []
        const tools = {
            weather: tool({
                description: 'of a city', inputSchema: jsonSchema(city),
                execute: async ({ city: where }) => where === 'Zürich' ? '21' : '22'
            })
        }
        const settings = {
            model, tools, prompt: text, stopWhen: stepCountIs(3), providerOptions: options, maxRetries: 0
        }
        const done = await generateText(settings)
        assert.equal(done.text, ANSWER, model.modelId)
        assert.equal(done.steps.length, 2)
        assert.deepEqual(done.steps[0].toolCalls.map((c) => c.input), [{ city: 'Zürich' }, { city: 'Bern' }])
        assert.equal(done.steps[0].finishReason, 'tool-calls')
        says('answers="call_a"', 'answers="call_b"')
        if (model.provider === 'openai.responses') says(`reasoning="${THOUGHT}"`)
        const stream = streamText(settings)
        assert.equal(await stream.text, ANSWER)
        assert.equal((await stream.steps).length, 2)
        assert.equal((await stream.steps)[0].text, ASKS)
        assert.equal((await stream.usage).outputTokens, 10)
    }
})

test('what a form cannot do is refused by name', async () => {
    const client = new Anthropic({ ...base, baseURL: 'http://codec' })
    const error = await client.messages.create({
        model: 'm', max_tokens: 5, messages: [{ role: 'user', content: text }],
        tools: [{ type: 'web_search_20250305', name: 'web_search' }]
    }).catch((e) => e)
    assert.ok(error instanceof Anthropic.BadRequestError)
    assert.match(error.message, /tools\[0\]\.type.*web_search/)
    const openai = new OpenAI(base)
    const other = await openai.responses.create({ model: 'm', input: text, background: true }).catch((e) => e)
    assert.equal(other.param, 'background')
    assert.equal(other.code, 'unsupported')
})

// ---- through a node -------------------------------------------------------------------------------

// The codecs behind HTTP, as a server that has the model "m".
async function serve() {
    const lists = {
        '/v1/models': { data: [{ id: 'm', type: 'model' }] },
        '/api/tags': { models: [{ name: 'm:latest', model: 'm:latest' }] }
    }
    const server = createServer(async (request, response) => {
        const path = new URL(request.url, 'http://x').pathname
        const pieces = []
        for await (const piece of request) pieces.push(piece)
        if (!lists[path] && !FORMS.some(([of]) => of === path)) return response.writeHead(404).end()
        const { status, type, body } = lists[path]
            ? { status: 200, type: 'application/json', body: JSON.stringify(lists[path]) }
            : await speak(path, Buffer.concat(pieces))
        response.writeHead(status, { 'content-type': type }).end(body)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    after(() => server.close())
    return `http://127.0.0.1:${server.address().port}`
}

after(endAll)

const plain = (calls) => calls.map((c) => JSON.parse(c.function.arguments))

for (const kind of ['anthropic', 'ollama']) {
    test(`tools and thoughts of a server of the kind ${kind}, in every form`, async () => {
        const url = await serve()
        const node = await Node.start(`tools-${kind}`,
            { args: ['--model', 'none', '--cluster', `tools-${kind}`, '--discover-providers=false'] })
        const added = await node.cli('providers', ['add', 'codec', '--kind', kind, '--url', url])
        assert.equal(added.code, 0, added.stderr)
        await node.seesModel('m')

        const openai = new OpenAI({ baseURL: node.http, apiKey: 'unused', maxRetries: 0 })
        const tools = [{ type: 'function', function: { name: 'weather', parameters: city } }]
        const image = { type: 'image_url', image_url: { url: `data:image/png;base64,${PNG}` } }
        const messages = [{ role: 'user', content: [{ type: 'text', text }, image] }]
        const asked = { model: 'm', messages, tools, reasoning_effort: 'medium', max_tokens: 9000 }
        const chat = await openai.chat.completions.create(asked)
        const said = chat.choices[0].message
        assert.equal(said.content, ASKS)
        assert.equal(said.reasoning_content, THOUGHT)
        assert.deepEqual(plain(said.tool_calls), [{ city: 'Zürich' }, { city: 'Bern' }])
        assert.equal(chat.choices[0].finish_reason, 'tool_calls')
        says(`image="data:image/png;base64,${PNG}"`, 'effort=medium', 'tool weather')
        const results = said.tool_calls.map((c) => ({ role: 'tool', tool_call_id: c.id, content: '21' }))
        const last = await openai.chat.completions
            .create({ ...asked, messages: [...messages, said, ...results] })
        assert.equal(last.choices[0].message.content, ANSWER)
        says('tool content="21" answers="call_a"', 'tool content="21" answers="call_b"')

        const streamed = await openai.responses.stream({
            model: 'm', input: text, reasoning: { effort: 'medium' }, max_output_tokens: 9000,
            tools: [{ type: 'function', name: 'weather', parameters: city, strict: false }]
        }).finalResponse()
        assert.deepEqual(streamed.output.map((o) => o.type),
            ['reasoning', 'message', 'function_call', 'function_call'])
        assert.equal(streamed.output[0].summary[0].text, THOUGHT)

        const claude = await new Anthropic({ baseURL: node.http.replace(/\/v1$/, ''), apiKey: 'unused', maxRetries: 0 })
            .messages.stream({
                model: 'm', max_tokens: 9000, messages: [{ role: 'user', content: text }],
                thinking: { type: 'enabled', budget_tokens: 4096 },
                tools: [{ name: 'weather', input_schema: city }]
            }).finalMessage()
        assert.deepEqual(claude.content.map((c) => c.type), ['thinking', 'text', 'tool_use', 'tool_use'])
        assert.deepEqual(claude.content[3].input, { city: 'Bern' })

        const llama = await new Ollama({ host: node.http.replace(/\/v1$/, '') })
            .chat({ model: 'm', messages: [{ role: 'user', content: text }], tools, think: true })
        assert.equal(llama.message.thinking, THOUGHT)
        assert.deepEqual(llama.message.tool_calls.map((c) => c.function.arguments),
            [{ city: 'Zürich' }, { city: 'Bern' }])
        await node.child.stop()
    })
}
