// Members behind NAT routers: reachable through members that relay from the first second, directly once a
// hole is made, and through another relay when one dies. Needs root, for network namespaces.
import assert from 'node:assert/strict'
import { after, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { Machine, missing, Network, removeNetworks, twoHomes } from './lib/netns.mjs'
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

// What the doctor finds at one hop.
async function examine(node, hop, ...peer) {
    const done = await node.cli('doctor', ['--json', ...peer])
    return { found: JSON.parse(done.stdout).findings.find((f) => f.hop === hop), code: done.code }
}

const path = async (node, label) => (await node.peer(label))?.path

test('routers that keep ports: relayed at first, then a hole', { skip, timeout: 120_000 }, async () => {
    const { server, asker } = await club()
    await asker.seesPeers('relay9', 'relay10', 'server')
    await answers(asker)
    await until('a hole', async () => await path(asker, 'server') === 'hole-punched', { timeout: 40_000 })
    await answers(asker)
    assert.equal(await path(server, 'asker'), 'hole-punched')
    const { found: router } = await examine(asker, 'nat')
    assert.equal(router.verdict, 'ok')
    assert.match(router.seen, /to all peers as 5\.5\.5\.2:41145/)
})

test('a cut link heals: direct again, and no prompt is lost', { skip, timeout: 150_000 }, async () => {
    const street = new Network('street')
    const place = (label, ip, ...args) => {
        const machine = new Machine(label)
        street.plug(machine, `${ip}/24`, 'eth0')
        return { machine, start: () => Node.start(label, { machine, args: [...CLUB, ...args] }) }
    }
    const middle = await place('middle', '5.6.7.1', '--model', 'none').start()
    const known = ['--bootstrap', middle.addressAt('5.6.7.1')]
    const one = place('one', '5.6.7.2', ...known)
    const two = place('two', '5.6.7.3', '--model', 'none', ...known)
    one.machine.firewall('input ip saddr 5.6.7.3 drop', 'output ip daddr 5.6.7.3 drop')
    const server = await one.start()
    const asker = await two.start()
    await asker.seesPeers('middle', 'one')
    // The attempts that follow a new circuit are over.
    await until('holes are given up', () => /stays reachable by relay only/.test(server.log + asker.log),
        { timeout: 40_000 })
    assert.equal(await path(asker, 'one'), 'relayed')

    one.machine.firewall()
    let asked = 0
    const ask = async () => {
        const { node, answer } = await asker.json('ask', ['What is 2+2?', '--timeout', '10'])
        assert.equal(node.label, 'one')
        assert.match(answer, /4/)
        asked++
    }
    await until('a direct path', async () => {
        await ask()
        return await path(asker, 'one') !== 'relayed'
    }, { timeout: 60_000 })
    await ask()
    // The circuit ends, now that nothing needs it, and membership held all the time.
    await until('the circuit ends', async () => {
        await ask()
        return (await asker.peer('one')).connections === 1
    }, { timeout: 30_000 })
    assert.notEqual(await path(server, 'two'), 'relayed')
    assert.equal((await server.peer('two')).connections, 1)
    assert.doesNotMatch(asker.log, /lost one/)
    assert.doesNotMatch(server.log, /lost two/)
    for (const node of [server, asker]) {
        const lists = [...node.log.matchAll(/Peers: \[(.*)\]/g)].map((m) => m[1].split(', ').length)
        assert.deepEqual(lists, [...lists].sort(), 'membership only grew')
    }
    assert.ok(asked > 3)
    for (const node of [asker, server, middle]) await node.stop()
})

test('random ports: relayed, and moved when the relay dies', { skip, timeout: 120_000 }, async () => {
    const { relays, server, asker } = await club({ random: true })
    await asker.seesPeers('relay9', 'relay10', 'server')
    await answers(asker)
    // Holes are tried, and none opens.
    await sleep(15_000)
    const row = await asker.peer('server')
    assert.equal(row.path, 'relayed')
    // The doctor names the routers as the reason, at either end, and each for its own.
    for (const [node, peer] of [[asker, 'server'], [server, 'asker']]) {
        const { found, code } = await examine(node, 'nat', peer)
        assert.deepEqual([found.verdict, found.fault, code], ['fault', 'symmetric-nat', 1])
        assert.match(found.seen, /routers in front of both nodes/)
        assert.match(found.fix, /forward the P2P port .*--map-port.*relay/)
        const { found: own } = await examine(node, 'nat')
        assert.deepEqual([own.verdict, own.fault], ['fault', 'symmetric-nat'])
        assert.match(own.seen, /one sees 5\.5\.5\.[12]:\d+, another 5\.5\.5\.[12]:\d+/)
    }
    const { found: open } = await examine(relays[0], 'nat')
    assert.notEqual(open?.fault, 'symmetric-nat')
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
