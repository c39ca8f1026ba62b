// Members behind NAT routers: reachable through members that relay from the first second, directly once a
// hole is made, and through another relay when one dies. Needs root, for network namespaces.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { missing, removeNetworks, twoHomes } from './lib/netns.mjs'
import { endAll, sleep, until } from './lib/process.mjs'

const skip = missing()
const CLUB = ['--cluster', 'club', '--cluster-key', '4'.repeat(64), '--mdns=false', '--port', '41145']

after(() => {
    endAll()
    removeNetworks()
})

// Two public members, and one in each home; the one in the first home has the model.
async function club(options) {
    const { homes, join } = twoHomes(options)
    const start = (label, machine, ...args) => Node.start(label, { machine, args: [...CLUB, ...args] })
    const relays = []
    for (const ip of ['5.5.5.9', '5.5.5.10']) {
        const known = relays.flatMap((r) => ['--bootstrap', r.at])
        const relay = await start(`relay${ip.split('.').at(-1)}`, join(ip), '--model', 'none', ...known)
        relay.at = relay.addressAt(ip)
        relays.push(relay)
    }
    const known = relays.flatMap((r) => ['--bootstrap', r.at])
    const server = await start('server', homes[0], ...known)
    const asker = await start('asker', homes[1], '--model', 'none', ...known)
    return { relays, server, asker }
}

async function answers(asker) {
    const { node, answer } = await asker.json('ask', ['What is 2+2?', '--timeout', '10'])
    assert.equal(node.label, 'server')
    assert.match(answer, /4/)
}

const path = async (node, label) => (await node.peer(label))?.path

test('routers that keep ports: relayed at first, then a hole', { skip, timeout: 120_000 }, async () => {
    const { server, asker } = await club()
    await asker.seesPeers('relay9', 'relay10', 'server')
    await answers(asker)
    await until('a hole', async () => await path(asker, 'server') === 'hole-punched', { timeout: 40_000 })
    await answers(asker)
    assert.equal(await path(server, 'asker'), 'hole-punched')
})

test('random ports: relayed, and moved when the relay dies', { skip, timeout: 120_000 }, async () => {
    const { relays, server, asker } = await club({ random: true })
    await asker.seesPeers('relay9', 'relay10', 'server')
    await answers(asker)
    // Holes are tried, and none opens.
    await sleep(15_000)
    const row = await asker.peer('server')
    assert.equal(row.path, 'relayed')
    const carrier = relays.find((r) => row.address.includes(`/${r.at.split('/p2p/')[1]}/`))
    assert.ok(carrier, row.address)
    await carrier.kill()
    const died = Date.now()
    await until('the other relay carries', async () => {
        const now = await asker.peer('server')
        return now.state === 'member' && !now.address.includes(carrier.at.split('/p2p/')[1])
    }, { timeout: 10_000 })
    await answers(asker)
    assert.ok(Date.now() - died < 12_000)
    assert.equal(await path(server, 'asker'), 'relayed')
})
