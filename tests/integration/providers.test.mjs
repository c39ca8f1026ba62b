// Servers that the node may ask: named, aliased, gone and back; and what asks them only by name.
import './lib/polyfill.mjs'
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { after, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { endAll, until } from './lib/process.mjs'

let node, shop, port, asked = 0

// Lists one model and answers "from the shop".
function open(at = 0) {
    return new Promise((resolve) => {
        const server = createServer(async (request, response) => {
            for await (const piece of request) void piece
            response.setHeader('content-type', 'application/json')
            if (request.url === '/v1/models') return response.end(JSON.stringify({ data: [{ id: 'wares' }] }))
            asked++
            response.end(JSON.stringify({
                choices: [{ index: 0, message: { role: 'assistant', content: 'from the shop' }, finish_reason: 'stop' }],
                usage: { prompt_tokens: 1, completion_tokens: 3, total_tokens: 4 }
            }))
        })
        server.listen(at, '127.0.0.1', () => resolve(server))
    })
}

const close = (server) => new Promise((resolve) => { server.close(resolve); server.closeAllConnections() })

async function chat(model) {
    const response = await fetch(`${node.http}/chat/completions`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...(model && { model }), messages: [{ role: 'user', content: 'What is 2+2?' }] })
    })
    return { status: response.status, retry: response.headers.get('retry-after'), ...await response.json() }
}

const listed = async () => (await (await fetch(`${node.http}/models`)).json()).data.map((m) => m.id)

before(async () => {
    shop = await open()
    port = shop.address().port
    node = await Node.start('buyer', {
        args: ['--discover-providers=false', '--alias', 'gpt-4o=nothing|wares', '--alias', 'ghost=nothing']
    })
    await node.json('providers', ['add', 'shop', '--url', `http://127.0.0.1:${port}/v1`])
})

after(async () => { endAll(); await close(shop).catch(() => {}) })

test('a request that names no model is for the node\'s own, not for a server that may cost', async () => {
    for (let i = 0; i < 5; i++) {
        const answer = await chat()
        assert.match(answer.choices[0].message.content, /4/)
    }
    assert.equal(asked, 0)
    assert.equal((await chat('wares')).choices[0].message.content, 'from the shop')
})

test('aliases are listed when what they mean is there, and mean it', async () => {
    const ids = await listed()
    assert.ok(ids.includes('gpt-4o') && ids.includes('wares'), ids.join())
    assert.ok(!ids.includes('ghost'))
    assert.equal((await fetch(`${node.http}/models/gpt-4o`)).status, 200)
    assert.equal((await chat('gpt-4o')).choices[0].message.content, 'from the shop')
    assert.equal((await chat('ghost')).status, 404)
})

test('a server that is gone is not listed; asked for, it is unavailable, not unknown', { timeout: 60_000 },
    async () => {
        await close(shop)
        await node.json('providers', ['refresh'])
        await until('it to be missed', async () => !(await listed()).includes('wares'), { timeout: 30_000 })
        const answer = await chat('wares')
        assert.equal(answer.status, 503)
        assert.match(answer.error.message, /refused/i)
        shop = await open(port)
        await node.json('providers', ['refresh'])
        await until('it to be back', async () => (await listed()).includes('wares'), { timeout: 30_000 })
        await until('an answer', async () => (await chat('wares')).status === 200, { timeout: 30_000 })
    })

test('aliases that contradict one another are refused at the start', async () => {
    for (const aliases of [['a=b', 'a=c'], ['a=b', 'b=c'], ['b=c', 'a=b']]) {
        await assert.rejects(Node.start('bad', { args: aliases.flatMap((a) => ['--alias', a]) }))
    }
})
