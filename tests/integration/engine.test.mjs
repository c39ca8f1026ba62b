// What the engine makes of a request, from outside: schemas and tools with models that were never
// taught either (random weights, and the model inside the program), through a node and through its
// peer. No client library: what is checked is what goes over the wire.
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { endAll, temporaryFolder } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

// The family's marks are all that the engine goes by.
const HERMES = `{%- if tools %}{{ '# Tools ' ~ (tools | tojson) ~ ' <tool_call>' }}{% endif -%}
{%- for m in messages %}{{ '<' ~ m.role ~ '>' }}{%- if m.tool_calls %}
{%- for c in m.tool_calls %}{{ '<tool_call>' ~ (c.function | tojson) ~ '</tool_call>' }}{% endfor %}
{%- endif %}{{ m.content }}{% endfor %}<assistant>`
const THINKER = `{%- for m in messages %}{{ '<' ~ m.role ~ '>' ~ m.content }}{% endfor %}
{%- if enable_thinking is not defined or enable_thinking %}{{ '<think>\\n' }}{% else %}{{ '<think></think>' }}{% endif %}`

const nodes = {}
const models = {}

before(async () => {
    const folder = temporaryFolder('models')
    const cluster = ['--cluster', 'engine-test']
    writeTinyModel(join(folder, 'hermes.gguf'), { template: HERMES, layers: 2, gap: [261, 262, 263] })
    writeTinyModel(join(folder, 'thinker.gguf'), { template: THINKER, layers: 2 })
    nodes.spark = await Node.start('spark', { args: cluster })
    for (const label of ['hermes', 'thinker']) {
        nodes[label] = await Node.start(label, {
            args: [...cluster, '--model', join(folder, `${label}.gguf`), '--bootstrap', nodes.spark.address]
        })
    }
    nodes.asker = await Node.start('asker', {
        args: [...cluster, '--model', 'none', '--bootstrap', nodes.spark.address]
    })
    await nodes.asker.seesPeers('spark', 'hermes', 'thinker')
    for (const label of ['spark', 'hermes', 'thinker']) {
        models[label] = (await nodes[label].models()).find((m) => m.node.label === label).id
        await nodes.asker.seesModel(models[label])
    }
})

after(endAll)

async function ask(node, model, body, path = '/chat/completions') {
    const answer = await fetch(nodes[node].http + path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model: models[model], ...body })
    })
    return { status: answer.status, body: await answer.json() }
}

const say = (content) => [{ role: 'user', content }]
const parameters = {
    type: 'object', additionalProperties: false, required: ['city', 'days'],
    properties: { city: { type: 'string', maxLength: 8 }, days: { type: 'integer', minimum: 1, maximum: 9 } }
}
const tools = [{ type: 'function', function: { name: 'weather', description: 'of a city', parameters } },
    { type: 'function', function: { name: 'now' } }]

function checkCall(call, names = ['weather']) {
    assert.equal(call.type, 'function')
    assert.ok(names.includes(call.function.name))
    const args = JSON.parse(call.function.arguments)
    if (call.function.name !== 'weather') return
    assert.equal(typeof args.city, 'string')
    assert.ok([...args.city].length <= 8)
    assert.ok(Number.isInteger(args.days) && args.days >= 1 && args.days <= 9)
    assert.deepEqual(Object.keys(args), ['city', 'days'])
}

for (const model of ['spark', 'hermes', 'thinker']) {
    for (const node of [model, 'asker']) {
        const where = node === model ? 'at its node' : 'through a peer'

        test(`${model} keeps to a schema, ${where}`, async () => {
            const schema = {
                $defs: { mark: { enum: ['good', 'bad', null] } },
                type: 'object', additionalProperties: false, required: ['mark', 'list', 'when'],
                properties: {
                    mark: { $ref: '#/$defs/mark' },
                    list: { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 3 },
                    when: { type: 'string', format: 'date' }
                }
            }
            for (const temperature of [0, 1, 2]) {
                const { status, body } = await ask(node, model, {
                    messages: say('Judge it.'), temperature, seed: 5,
                    response_format: { type: 'json_schema', json_schema: { name: 'judgement', schema } }
                })
                assert.equal(status, 200, JSON.stringify(body))
                const value = JSON.parse(body.choices[0].message.content)
                assert.deepEqual(Object.keys(value), ['mark', 'list', 'when'])
                assert.ok(['good', 'bad', null].includes(value.mark))
                assert.ok(value.list.length >= 1 && value.list.length <= 3)
                assert.ok(value.list.every((x) => typeof x === 'boolean'))
                assert.ok(!Number.isNaN(Date.parse(value.when)))
                assert.equal(body.choices[0].finish_reason, 'stop')
            }
        })

        test(`${model} calls the tool that it must call, ${where}`, async () => {
            for (const seed of [1, 2, 3]) {
                const { status, body } = await ask(node, model, {
                    messages: say('How is it in Bonn?'), tools, temperature: 1.5, seed,
                    tool_choice: { type: 'function', function: { name: 'weather' } }
                })
                assert.equal(status, 200, JSON.stringify(body))
                const { message, finish_reason } = body.choices[0]
                assert.equal(finish_reason, 'tool_calls')
                assert.equal(message.tool_calls.length, 1)
                assert.ok(!message.content)
                checkCall(message.tool_calls[0])
            }
        })
    }
}

test('tools, calls and results are part of what the model reads', async () => {
    const options = { max_tokens: 1, temperature: 0 }
    const plain = await ask('hermes', 'hermes', { messages: say('Hello'), ...options })
    const told = await ask('hermes', 'hermes', { messages: say('Hello'), tools, ...options })
    const history = await ask('hermes', 'hermes', {
        ...options, tools, messages: [...say('Hello'), {
            role: 'assistant', content: null,
            tool_calls: [{ id: 'c1', type: 'function', function: { name: 'now', arguments: '{"zone":"Bonn"}' } }]
        }, { role: 'tool', tool_call_id: 'c1', content: 'noon' }]
    })
    const tokens = (a) => a.body.usage.prompt_tokens
    // one token for each byte: the tools as JSON, then the call and its result
    assert.ok(tokens(told) > tokens(plain) + JSON.stringify(tools).length)
    assert.ok(tokens(history) > tokens(told) + '{"zone":"Bonn"}noon'.length)
})

test('thoughts are told apart from the answer', async () => {
    const { body } = await ask('asker', 'thinker', { messages: say('Think.'), max_tokens: 12, temperature: 0 })
    const { message } = body.choices[0]
    assert.match(message.reasoning_content ?? message.reasoning, /^[a-z ]{4,}$/)
    assert.ok(!message.content)
    assert.ok(body.usage.completion_tokens_details.reasoning_tokens > 8)
    // without thinking the same model answers at once
    const calm = await ask('asker', 'thinker', {
        messages: say('Think.'), max_tokens: 12, temperature: 0, reasoning_effort: 'none'
    })
    assert.match(calm.body.choices[0].message.content, /^[a-z ]{4,}$/)
})

test('a gap is filled where the model has tokens for it', async () => {
    const asked = { prompt: 'abc', suffix: 'xyz', max_tokens: 3, temperature: 0 }
    const filled = await ask('hermes', 'hermes', asked, '/completions')
    assert.equal(filled.status, 200, JSON.stringify(filled.body))
    assert.equal(filled.body.usage.completion_tokens, 3)
    const other = await ask('hermes', 'hermes', { ...asked, suffix: 'xyzw' }, '/completions')
    assert.equal(other.body.usage.prompt_tokens, filled.body.usage.prompt_tokens + 1)
    const refused = await ask('spark', 'spark', asked, '/completions')
    assert.equal(refused.status, 400)
    assert.equal(refused.body.error.param, 'suffix')
})

test('what cannot be kept to is refused by name', async () => {
    const { status, body } = await ask('asker', 'spark', {
        messages: say('a'), response_format: {
            type: 'json_schema',
            json_schema: { name: 'a', schema: { type: 'object', properties: { b: { not: {} } } } }
        }
    })
    assert.equal(status, 400)
    assert.equal(body.error.param, 'response_format.json_schema.schema.properties.b')
    assert.match(body.error.message, /not/)
})
