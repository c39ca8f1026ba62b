// A private cluster as its owner makes it: invitations, joining, pairing, and what goes wrong.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { gate, Node } from './lib/gate.mjs'
import { BUILD, Child, endAll, freePort, sleep, temporaryFolder, until } from './lib/process.mjs'

const EXIT_FAILURE = 1, EXIT_USAGE = 2, EXIT_NOT_FOUND = 5
const GATE = process.env.GATE ?? join(BUILD, 'gate')
const TOKEN = /^og1[a-z2-7]{100,}$/
const quiet = ['--model', 'none', '--no-mdns']
let a

before(async () => {
    a = await Node.start('A', { args: ['--no-mdns', '--port', String(await freePort())] })
})

after(endAll)

const invite = async (node, ...args) => (await node.json('invite', args)).token
const node = (label, ...args) => Node.start(label, { args: [...quiet, ...args] })
const cluster = async (n) => (await n.status()).cluster.id

// `gate join` fails with this status and says all of these.
async function refused(n, token, status, ...patterns) {
    const done = await n.cli('join', [token])
    assert.equal(done.code, status, done.stdout + done.stderr)
    assert.equal(done.stdout, '')
    for (const pattern of patterns) assert.match(done.stderr, pattern)
}

test('gate invite prints a token and nothing else on standard output', async () => {
    const done = await a.cli('invite')
    assert.equal(done.code, 0)
    assert.match(done.stdout.trimEnd(), TOKEN)
    assert.match(done.stderr, /gate join TOKEN/)
    const qr = await a.cli('invite', ['--qr'])
    assert.match(qr.stdout, /█/)
    assert.match(qr.stdout.split('\n')[0], TOKEN)
})

test('node A invites, node B joins, and its prompts are answered by A', { timeout: 60_000 },
    async () => {
        const b = await node('B')
        assert.notEqual(await cluster(b), await cluster(a))
        const { token, id } = await a.json('invite', ['--expires', '1h'])
        const done = await b.cli('join', [token])
        assert.equal(done.code, 0, done.stderr)
        assert.match(done.stdout, /^Joined the cluster c-[0-9a-f]+ through A\.\n$/)
        await a.seesPeers('B')
        await b.seesPeers('A')
        const answer = await b.json('ask', ['What is 2+2?'])
        assert.match(answer.answer, /\b4\b/)
        assert.equal(answer.node.label, 'A')
        const row = (await a.json('invite', ['--list'])).find((i) => i.id === id)
        assert.deepEqual([row.state, row.used, row.uses], ['used up', 1, 1])
        await refused(b, token, EXIT_FAILURE, /already a member of the cluster c-/)
        // For good: after a restart there is neither token nor bootstrap peer.
        await b.kill()
        await b.start()
        await b.seesPeers('A')
        assert.equal((await b.json('ask', ['What is 2+2?'])).node.label, 'A')
        await b.stop()
    })

test('a token can be used once, or as often as it says', { timeout: 60_000 }, async () => {
    const nodes = [await node('C1'), await node('C2'), await node('C3')]
    const token = await invite(a, '--uses', '2')
    for (const n of nodes.slice(0, 2)) assert.equal((await n.json('join', [token])).status, 'joined')
    await refused(nodes[2], token, EXIT_FAILURE, /used up/)
    await until('the two see each other', async () => (await nodes[0].members()).includes('C2'))
    for (const n of nodes) await n.stop()
})

test('expired, revoked, damaged, and no token at all', { timeout: 60_000 }, async () => {
    const b = await node('D')
    const before = await cluster(b)
    const short = await invite(a, '--expires', '1s')
    await sleep(1200)
    await refused(b, short, EXIT_FAILURE, /expired on \d{4}-\d\d-\d\d/)

    const { token, id } = await a.json('invite', ['--expires', '7d'])
    assert.equal((await a.cli('invite', ['--revoke', id.slice(0, 10)])).code, 0)
    await refused(b, token, EXIT_FAILURE, /revoked/)
    assert.equal((await a.cli('invite', ['--revoke', 'ffff'])).code, EXIT_NOT_FOUND)

    const good = await invite(a)
    const swapped = good.slice(0, 60) + (good[60] === 'q' ? 'r' : 'q') + good.slice(61)
    await refused(b, swapped, EXIT_USAGE, /damaged/)
    await refused(b, good.slice(0, -5), EXIT_USAGE, /damaged/)
    await refused(b, 'hello', EXIT_USAGE, /og1/)
    await refused(b, `og9${good.slice(3)}`, EXIT_USAGE, /version 9/)
    assert.equal((await b.cli('join')).code, EXIT_USAGE)
    assert.equal(await cluster(b), before)
    // On standard input, in upper case and broken into lines, it still works.
    const shape = good.toUpperCase().replace(/.{40}/g, '$&\n')
    const done = await b.cli('join', ['-'], { input: shape })
    assert.equal(done.code, 0, done.stderr)
    await b.stop()
})

test('limits of an invitation are told', async () => {
    for (const [args, pattern] of [[['--expires', 'soon'], /--expires/], [['--expires', '1'], /90s/], [['--expires', '9999d'], /days/],
        [['--uses', '0'], /uses/], [['--uses', 'many'], /--uses/], [['--address', 'home'], /--address/]]) {
        const done = await a.cli('invite', args)
        assert.equal(done.code, EXIT_USAGE, done.stderr)
        assert.match(done.stderr, pattern)
    }
    const { token } = await a.json('invite', ['--address', '/dns4/gate.example/tcp/41145'])
    assert.match(token, TOKEN)
})

test('the issuer is away: which addresses were tried, and why each failed', { timeout: 60_000 },
    async () => {
        const issuer = await node('gone')
        const token = await invite(issuer)
        const port = /tcp\/(\d+)/.exec(issuer.address)[1]
        await issuer.stop()
        const b = await node('E')
        await refused(b, token, EXIT_FAILURE, /cannot reach the node that made the invitation/,
            /Only the node that made .* Start it there and try again,\nor ask another member/,
            new RegExp(`/ip4/[0-9.]+/tcp/${port}: .*refused`, 'i'))
        await b.stop()
    })

test('invitations survive kill -9, in a file for the owner alone', { timeout: 60_000 }, async () => {
    const issuer = await node('keeper', '--port', String(await freePort()))
    const kept = await invite(issuer)
    const { token: revoked, id } = await issuer.json('invite')
    await issuer.cli('invite', ['--revoke', id])
    await issuer.kill()
    const file = join(issuer.data, 'invites.json')
    assert.equal(statSync(file).mode & 0o777, 0o600)
    assert.ok(!readFileSync(file, 'utf8').includes(kept))
    await issuer.start()
    const b = await node('F')
    await refused(b, revoked, EXIT_FAILURE, /revoked/)
    assert.equal((await b.json('join', [kept])).through.label, 'keeper')
    for (const secret of [kept, kept.slice(40, 80)]) {
        assert.ok(!issuer.log.includes(secret) && !b.log.includes(secret), 'logged')
    }
    await b.stop()
    await issuer.stop()
})

// ---- without a running node, and headless --------------------------------------------------------

test('gate join without a node: the next start joins', { timeout: 60_000 }, async () => {
    const b = new Node('G', { args: quiet })
    const token = await invite(a)
    const done = await b.cli('join', [token])
    assert.equal(done.code, 0, done.stderr)
    assert.match(done.stdout, /next start joins the cluster c-/)
    const stored = join(b.data, 'join.json')
    assert.equal(statSync(stored).mode & 0o777, 0o600)
    await b.start()
    await b.seesPeers('A')
    await until('the stored token is gone', () => !existsSync(stored))
    await b.stop()
    const again = await b.cli('join', [token])
    assert.equal(again.code, EXIT_FAILURE)
    assert.match(again.stderr, /already a member/)
})

test('gate start --join and GATE_JOIN, again and again', { timeout: 60_000 }, async () => {
    const b = await node('H', '--join', await invite(a))
    await b.seesPeers('A')
    await b.stop()
    await b.start() // the token is used up by now
    await b.seesPeers('A')
    await b.stop()
    const c = await Node.start('I', { args: quiet, env: { GATE_JOIN: await invite(a) } })
    await c.seesPeers('A')
    await c.stop()
    const bad = await gate(['start', '--data-dir', temporaryFolder('bad'), '--port', '0',
        '--http-port', '0', '--control-port', '0', ...quiet, '--join', 'og1abc'])
    assert.equal(bad.code, EXIT_USAGE)
    assert.match(bad.stderr, /--join: the join token is damaged/)
})

test('a start that is refused says so and goes on in a cluster of its own', { timeout: 60_000 },
    async () => {
        const { token, id } = await a.json('invite')
        await a.cli('invite', ['--revoke', id])
        const b = await node('J', '--join', token)
        const { joining, cluster: own } = await until('refused', async () => {
            const status = await b.status()
            return status.joining?.failure && status
        })
        assert.match(joining.failure, /revoked/)
        assert.match(own.id, /^c-/)
        assert.notEqual(own.id, await cluster(a))
        assert.match(b.log, /cannot join the cluster .*revoked/)
        await b.stop()
    })

test('a node that has company leaves it only when told to', { timeout: 60_000 }, async () => {
    const other = await node('other')
    const b = await node('K')
    await b.json('join', [await invite(a)])
    await b.seesPeers('A')
    const token = await invite(other)
    await refused(b, token, EXIT_FAILURE, /belongs to the cluster c-.*--leave/)
    assert.equal((await b.json('join', ['--leave', token])).status, 'joined')
    await b.seesPeers('other')
    await until('A has lost it', async () => !(await a.members()).includes('K'))
    await b.stop()
    await other.stop()
})

// ---- pairing -------------------------------------------------------------------------------------

// `gate pair` on a node: the code it shows, and the process.
async function show(n) {
    const child = new Child(GATE, ['pair', '--data-dir', n.data])
    return { child, code: await child.line(/^\d{6}$/) }
}

const wrong = (code) => code.slice(0, 5) + (code[5] === '0' ? '1' : '0')

test('six digits pair two machines on one network, and prompts flow', { timeout: 90_000 },
    async () => {
        const host = await Node.start('host')
        const guest = await Node.start('guest', { args: ['--model', 'none'] })
        const { child, code } = await show(host)
        const slip = await guest.cli('pair', [wrong(code)])
        assert.equal(slip.code, EXIT_FAILURE)
        assert.match(slip.stderr, /wrong code/)
        const done = await guest.cli('pair', [code.slice(0, 3), code.slice(3)])
        assert.equal(done.code, 0, done.stderr)
        assert.match(done.stdout, /^Joined the cluster c-[0-9a-f]+ through host\.\n$/)
        assert.equal((await child.wait()).code, 0)
        assert.match(child.stderr, /guest has joined the cluster/)
        assert.match((await guest.json('ask', ['What is 2+2?'])).answer, /\b4\b/)
        assert.ok(!host.log.includes(code) && !guest.log.includes(code), 'the code is not logged')
        await guest.stop()
        await host.stop()
    })

test('three wrong codes end it', { timeout: 90_000 }, async () => {
    const host = await Node.start('host3', { args: ['--model', 'none'] })
    const guest = await Node.start('guest3', { args: ['--model', 'none'] })
    const { child, code } = await show(host)
    for (let i = 0; i < 3; i++) {
        const done = await guest.cli('pair', [wrong(code)])
        assert.equal(done.code, EXIT_FAILURE, done.stderr)
        assert.match(done.stderr, /wrong code/)
    }
    assert.equal((await child.wait()).code, EXIT_FAILURE)
    assert.match(child.stderr, /3 wrong codes/)
    const late = await guest.cli('pair', [code])
    assert.notEqual(late.code, 0)
    assert.notEqual(await cluster(guest), await cluster(host))
    const usage = await guest.cli('pair', ['12345'])
    assert.equal(usage.code, EXIT_USAGE)
    assert.match(usage.stderr, /six digits/)
    await guest.stop()
    await host.stop()
})

test('nobody shows a code; hanging up ends the showing', { timeout: 90_000 }, async () => {
    const host = await Node.start('host4', { args: ['--model', 'none'] })
    const guest = await Node.start('guest4', { args: ['--model', 'none'] })
    const first = await show(host)
    first.child.kill('SIGINT')
    assert.equal((await first.child.wait()).code, 130)
    const none = await guest.cli('pair', [first.code])
    assert.equal(none.code, EXIT_NOT_FOUND, none.stderr)
    assert.match(none.stderr, /gate pair/)
    const second = await show(host) // and it can be shown again
    assert.equal((await guest.cli('pair', [second.code])).code, 0)
    await second.child.wait()
    await guest.stop()
    await host.stop()
})

test('a port that was a way out is kept: an invitation outlives a restart', { timeout: 60_000 }, async () => {
    const free = ['--http-port', '0', '--control-port', '0']
    const start = (label, data) => new Node(label, { data, ports: false, args: [...quiet, ...free] }).start()
    const port = (n) => n.address.split('/')[4]
    const first = await start('first')
    const second = await start('second')
    assert.notEqual(port(first), port(second))
    const token = await invite(second)
    await first.stop()
    await second.stop()
    // The usual port may be free now; the one in the invitation comes first.
    const again = await start('second', second.data)
    assert.equal(port(again), port(second))
    const guest = await node('guest')
    const done = await guest.cli('join', [token])
    assert.equal(done.code, 0, done.stderr)
    await guest.stop()
    // Taken by somebody else: another one is found, and noted.
    await again.stop()
    const thief = createServer().listen(Number(port(second)), '0.0.0.0')
    await once(thief, 'listening')
    const moved = await start('second', second.data)
    assert.notEqual(port(moved), port(second))
    thief.close()
    await moved.stop()
    const settled = await start('second', second.data)
    assert.equal(port(settled), port(moved))
    await settled.stop()
})
