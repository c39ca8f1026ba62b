// `gate doctor` names the hop that fails and the one fix: each fault is made, and has to be recognised.
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { once } from 'node:events'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { Node } from './lib/gate.mjs'
import { Machine, missing, Network, removeNetworks } from './lib/netns.mjs'
import { endAll, freePort, sleep, temporaryFolder } from './lib/process.mjs'

const QUIET = ['--model', 'none', '--mdns=false']
const unavailable = missing()
// The library itself: its command stays in front of the program and keeps the signals.
const fakeTime = spawnSync('faketime', ['-m', '-f', '+0', 'sh', '-c', 'echo $LD_PRELOAD']).stdout?.toString().trim()
let node, deaf

before(async () => {
    node = await Node.start('here', { args: QUIET })
    deaf = unavailable ? undefined : await oneIsDeaf()
})

after(() => {
    endAll()
    removeNetworks()
})

// What the doctor finds; the exit status has to agree with it.
async function examine(from, peer) {
    const done = await from.cli('doctor', peer ? ['--json', peer] : ['--json'])
    const report = JSON.parse(done.stdout)
    assert.ok(report.findings, done.stdout + done.stderr)
    const faults = report.findings.filter((f) => f.verdict === 'fault')
    assert.equal(report.faults, faults.length)
    assert.equal(done.code, faults.length ? 1 : 0, done.stderr)
    for (const f of report.findings.filter((f) => f.verdict !== 'ok')) assert.ok(f.seen, JSON.stringify(f))
    return report.findings
}

async function names(fault, hop, from, peer) {
    const findings = await examine(from, peer)
    const found = findings.find((f) => f.fault === fault)
    assert.ok(found, `${fault} in ${JSON.stringify(findings, null, 1)}`)
    assert.equal(found.hop, hop)
    assert.ok(found.fix)
    return found
}

// A server that says `text` to everybody.
async function saying(text) {
    const server = createServer((socket) => {
        socket.on('error', () => {})
        if (text === null) socket.destroy()
        else if (text) socket.write(text)
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    server.unref()
    return `/ip4/127.0.0.1/tcp/${server.address().port}`
}

// ---- on the way there ----------------------------------------------------------------------------

test('a closed port', async () =>
    names('port-closed', 'connect', node, `/ip4/127.0.0.1/tcp/${await freePort()}`))
test('an unknown name', () => names('name-unknown', 'name', node, '/dns4/nowhere.invalid/tcp/41145'))
test('an HTTP server or proxy', async () =>
    names('proxy', 'secure', node, await saying('HTTP/1.1 400 Bad Request\r\n\r\n')))
test('something else than libp2p', async () =>
    names('not-libp2p', 'secure', node, await saying('SSH-2.0-OpenSSH_9.2\r\n')))
test('no way to secure the connection in common', async () =>
    names('protocol-mismatch', 'secure', node, await saying('\x13/multistream/1.0.0\n\x03na\n')))
test('a listener that passes nothing on', async () => names('silent', 'secure', node, await saying('')))
test('a listener that hangs up', async () => names('hung-up', 'secure', node, await saying(null)))

test('another peer than the one named, and ourselves', async () => {
    const other = await Node.start('other', { args: QUIET })
    const [bare] = other.address.split('/p2p/')
    await other.stop()
    // Another node, with a key of its own, now listens there.
    const heir = await Node.start('heir', { args: [...QUIET, '--port', bare.split('/').at(-1)] })
    await names('wrong-peer', 'identity', node, other.address)
    await names('itself', 'identity', node, node.address)
    await heir.stop()
})

test('a name nobody has', async () => {
    const done = await node.cli('doctor', ['nobody'])
    assert.equal(done.code, 5)
    assert.match(done.stderr, /nobody/)
})

// ---- once connected ------------------------------------------------------------------------------

test('another cluster, another key, and a member', async () => {
    const other = await Node.start('other', { args: QUIET })
    await names('other-cluster', 'cluster', node, other.address)
    await other.stop()

    const key = (digit) => ['--cluster', 'club', '--cluster-key', digit.repeat(64)]
    const one = await Node.start('one', { args: [...QUIET, ...key('1')] })
    const two = await Node.start('two', { args: [...QUIET, ...key('2')] })
    await names('wrong-key', 'cluster', one, two.address)
    await two.stop()

    const three = await Node.start('three', { args: [...QUIET, ...key('1')] })
    const findings = await examine(one, three.address)
    assert.deepEqual(findings.map((f) => f.verdict), findings.map(() => 'ok'))
    assert.deepEqual(findings.map((f) => f.hop), ['connect', 'cluster', 'clock', 'size'])
    // By its label, as a person reads it.
    const done = await one.cli('doctor', ['three'])
    assert.equal(done.code, 0)
    assert.match(done.stdout, /^ok +cluster +a member of this cluster/m)
    await one.stop()
    await three.stop()
})

test('another swarm key, or none on one side', async () => {
    const keyFile = (digit) => {
        const path = join(temporaryFolder('swarm'), 'swarm.key')
        writeFileSync(path, `/key/swarm/psk/1.0.0/\n/base16/\n${digit.repeat(64)}\n`, { mode: 0o600 })
        return ['--swarm-key', path]
    }
    const one = await Node.start('one', { args: [...QUIET, ...keyFile('1')] })
    const two = await Node.start('two', { args: [...QUIET, ...keyFile('2')] })
    for (const [from, to, fix] of [[one, two, /theirs is another/], [two, one, /theirs is another/],
        [node, one, /this one is not/], [one, node, /no sign of a key/]]) {
        assert.match((await names('swarm-key', 'secure', from, to.address)).fix, fix)
    }
    await one.stop()
    await two.stop()
})

test('clocks that differ', { skip: fakeTime ? false : 'no faketime here' }, async () => {
    const club = [...QUIET, '--cluster', 'clocks', '--cluster-key', '5'.repeat(64)]
    const future = { command: (program, args) => ['env', [`LD_PRELOAD=${fakeTime}`, 'FAKETIME=+400s', program, ...args]] }
    const one = await Node.start('one', { args: club })
    const two = await Node.start('two', { machine: future, args: club })
    const there = await names('clock-skew', 'clock', one, two.address)
    assert.match(there.seen, /(399|400)\.\d s ahead of ours/)
    const here = await names('clock-skew', 'clock', two, one.address)
    assert.match(here.seen, /(399|400)\.\d s behind ours/)
    await one.stop()
    await two.stop()
})

test('this node', async () => {
    await names('mdns-off', 'mdns', node)
    assert.ok((await examine(node)).find((f) => f.hop === 'listening'))
})

// ---- faults that only a network has --------------------------------------------------------------

let pairs = 0

// Two members on one cable.
async function pair() {
    const network = new Network(`d${++pairs}`)
    const club = ['--cluster', 'club', '--cluster-key', '3'.repeat(64), '--mdns=false']
    const place = (label, ip) => {
        const machine = new Machine(`d${pairs}${label}`)
        network.plug(machine, `${ip}/24`, 'eth0')
        return Node.start(label, { machine, args: ['--model', 'none', ...club] })
    }
    const [a, b] = [await place('a', '10.77.0.1'), await place('b', '10.77.0.2')]
    return { a, b, there: b.addressAt('10.77.0.2') }
}

// Two members that find each other by mDNS alone, which the second does not hear. Discovery asks each
// minute: whether silence means anything shows after that.
async function oneIsDeaf() {
    const network = new Network('deaf')
    const place = (label, ip) => {
        const machine = new Machine(`deaf${label}`)
        network.plug(machine, `${ip}/24`, 'eth0')
        const args = ['--model', 'none', '--cluster', 'club', '--cluster-key', '3'.repeat(64)]
        return new Node(label, { machine, args })
    }
    const [hears, deaf] = [place('hears', '10.78.0.1'), place('deaf', '10.78.0.2')]
    deaf.machine.firewall('input iifname eth0 udp dport 5353 drop')
    await hears.start()
    await deaf.start()
    return { hears, deaf, since: Date.now() }
}

test('a filtered port', { skip: unavailable }, async () => {
    const { a, b, there } = await pair()
    b.machine.firewall('input tcp flags syn drop')
    await names('port-filtered', 'connect', a, there)
    b.machine.firewall('input tcp flags syn reject with tcp reset')
    await names('port-closed', 'connect', a, there)
    await names('no-route', 'connect', a, '/ip4/203.0.113.7/tcp/41145')
    b.machine.firewall()
    assert.ok((await examine(a, there)).every((f) => f.verdict === 'ok'))
})

test('a way on which only small packets pass', { skip: unavailable }, async () => {
    const { a, b, there } = await pair()
    for (const node of [a, b]) node.machine.firewall('output ip length > 1300 drop')
    await names('mtu', 'size', a, there)
})

test('a machine without multicast', { skip: unavailable }, async () => {
    const alone = await Node.start('alone', { machine: new Machine('alone'), args: ['--model', 'none'] })
    await names('multicast-missing', 'mdns', alone)
    await names('loopback-only', 'listening', alone)
})

test('mDNS that passes one way only', { skip: unavailable, timeout: 120_000 }, async () => {
    const { hears, deaf: deafNode, since } = deaf
    await hears.seesPeers('deaf')
    assert.ok((await hears.peer('deaf')).sources.includes('mdns'))
    assert.ok(!(await deafNode.peer('hears')).sources.includes('mdns'))
    await sleep(Math.max(0, since + 70_000 - Date.now()))
    for (const [from, peer, fix] of [[hears, 'deaf', /on the other machine/], [deafNode, 'hears', /on this machine/]]) {
        const found = (await examine(from, peer)).find((f) => f.fault === 'one-way-mdns')
        assert.ok(found, `${from.label} finds it`)
        assert.match(found.fix, fix)
    }
})
