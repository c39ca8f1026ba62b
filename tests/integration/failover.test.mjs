// A node dies in the middle of an answer; another that has the same model file goes on, and the client
// sees one answer.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { endAll, temporaryFolder, until } from './lib/process.mjs'
import { writeTinyModel } from './lib/tiny-gguf.mjs'

const CLUSTER = ['--cluster', 'failover-test', '--dht=false']
const TOKENS = 300
const nodes = {}
let files, model

before(async () => {
    const folder = temporaryFolder('model')
    files = ['a', 'b', 'other'].map((name) => join(folder, `${name}-endless.gguf`))
    writeTinyModel(files[0])
    copyFileSync(files[0], files[1])
    writeTinyModel(files[2], { seed: 8 }) // the same name inside, other weights
    nodes.asker = await Node.start('asker', { args: [...CLUSTER, '--model', 'none'] })
})

after(endAll)

const server = async (label, file) => {
    nodes[label] = await Node.start(label, {
        args: [...CLUSTER, '--model', file, '--bootstrap', nodes.asker.address]
    })
}

// Asks the asker; `after` is called once ten pieces have come. What the client saw.
async function ask({ target, then } = {}) {
    const response = await fetch(`${nodes.asker.http}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json', ...(target && { 'x-target-node': target }) },
        body: JSON.stringify({
            model, stream: true, temperature: 0, max_tokens: TOKENS, stream_options: { include_usage: true },
            messages: [{ role: 'user', content: 'tell me more' }]
        })
    })
    assert.equal(response.status, 200)
    const seen = { server: response.headers.get('x-served-by-label'), text: '', comments: [], error: null, done: false }
    let rest = '', pieces = 0
    for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
        const lines = (rest + chunk).split('\n')
        rest = lines.pop()
        for (const line of lines) {
            if (line.startsWith(':')) seen.comments.push(line)
            if (!line.startsWith('data: ')) continue
            if (line === 'data: [DONE]') { seen.done = true; continue }
            const event = JSON.parse(line.slice(6))
            if (event.error) seen.error = event.error
            if (event.usage) seen.usage = event.usage
            const [choice] = event.choices ?? []
            if (choice?.finish_reason) seen.finish = choice.finish_reason
            seen.text += choice?.delta?.content ?? ''
            if (choice?.delta?.content && ++pieces === 10 && then) await then(seen.server)
        }
    }
    return seen
}

test('another node with the same file goes on with the answer', { timeout: 120_000 }, async () => {
    await server('one', files[0])
    model = (await nodes.one.models()).find((m) => m.node.label === 'one').id
    // The same bytes under another name are the same model; the asker asks by one name.
    await server('two', files[0])
    await nodes.asker.seesPeers('one', 'two')
    await nodes.asker.seesModel(model)
    await until('both to be listed', async () =>
        (await nodes.asker.models()).filter((m) => m.id === model && m.node.label !== 'asker').length === 2)
    const whole = await ask({ target: 'one' })
    assert.equal(whole.finish, 'length')
    assert.equal(whole.usage.completion_tokens, TOKENS)
    const cut = await ask({ then: (label) => nodes[label].kill() })
    assert.equal(cut.error, null)
    assert.equal(cut.done, true)
    assert.equal(cut.finish, 'length')
    assert.equal(cut.text, whole.text)
    assert.equal(cut.usage.completion_tokens, TOKENS)
    assert.equal(cut.usage.prompt_tokens, whole.usage.prompt_tokens)
    assert.ok(cut.comments.some((c) => /continued on another node/.test(c)), cut.comments.join())
})

test('nobody has the same file: the answer ends with an error, and no invented end', { timeout: 120_000 },
    async () => {
        for (const label of ['one', 'two']) await nodes[label].kill().catch(() => {})
        await until('nobody', async () => (await nodes.asker.models()).length === 0)
        await server('three', files[0])
        await nodes.asker.seesModel(model)
        const cut = await ask({ then: (label) => nodes[label].kill() })
        assert.ok(cut.error?.message)
        assert.equal(cut.finish, undefined)
        assert.equal(cut.done, false)
    })
