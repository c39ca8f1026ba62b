// Nodes of OpenGateway for tests: each with its own data folder, on free ports, ended with the test.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { BUILD, Child, run, temporaryFolder, until } from './process.mjs'

export const GATE = process.env.GATE ?? join(BUILD, 'gate')

// Keeps the developer's own settings out of the tests.
const CLEAN_ENV = Object.fromEntries(
    Object.keys(process.env).filter((k) => k.startsWith('GATE_')).map((k) => [k, undefined]))

export function gate(args, options = {}) {
    return run(GATE, args, { ...options, env: { ...CLEAN_ENV, ...options.env } })
}

export class Node {
    // `machine`: one of lib/netns.mjs, to run there.
    constructor(label, { data = temporaryFolder(label), args = [], env = {}, ports = true, machine } = {}) {
        this.label = label
        this.machine = machine
        this.data = data
        this.env = env
        this.args = ['start', '--node-id', label, '--data-dir', data]
        if (ports && !args.includes('--port')) this.args.push('--port', '0')
        if (ports && !args.includes('--http-port')) this.args.push('--http-port', '0')
        if (ports && !args.includes('--control-port')) this.args.push('--control-port', '0')
        this.args.push(...args)
    }

    // Starts it, or starts it again after it ended, and waits until it answers.
    async start() {
        const command = this.machine?.command(GATE, this.args) ?? [GATE, this.args]
        this.child = new Child(...command, { env: { ...CLEAN_ENV, ...this.env } })
        this.first = await until(`${this.label} answers`, () => {
            if (this.child.end) {
                throw new Error(`ended with ${this.child.end.code}:\n${this.child.stderr}`)
            }
            return this.status()
        })
        return this
    }

    static start(label, options) {
        return new Node(label, options).start()
    }

    async cli(command, args = [], options = {}) {
        return gate([command, '--data-dir', this.data, ...args], options)
    }

    async json(command, args = [], options = {}) {
        const done = await this.cli(command, ['--json', ...args], options)
        if (done.code !== 0) throw new Error(`gate ${command}: ${done.stderr}${done.stdout}`)
        return JSON.parse(done.stdout)
    }

    status() { return this.json('status') }
    peers() { return this.json('peers') }
    models() { return this.json('models') }

    get http() { return this.first.http }
    get address() { return this.first.addresses.find((a) => a.includes('/ip4/127.0.0.1/')) }
    addressAt(ip) { return this.first.addresses.find((a) => a.includes(`/${ip}/`)) }
    get log() { return this.child.stderr }

    async peer(label) {
        return (await this.json('peers', ['--all'])).find((p) => p.label === label)
    }

    async members() {
        return (await this.peers()).filter((p) => p.state === 'member').map((p) => p.label).sort()
    }

    async seesPeers(...labels) {
        const wanted = labels.sort().join()
        await until(`${this.label} sees ${wanted}`,
            async () => (await this.members()).join() === wanted)
    }

    async modelIds() {
        const { data } = await (await fetch(`${this.http}/models`)).json()
        return data.map((m) => m.id)
    }

    async seesModel(id) {
        await until(`${this.label} lists ${id}`, async () => (await this.modelIds()).includes(id))
    }

    // POST /v1/chat/completions: the fetch response.
    chat(body, { headers, signal } = {}) {
        return fetch(`${this.http}/chat/completions`, {
            method: 'POST',
            headers: { 'content-type': 'application/json', ...headers },
            body: typeof body === 'string' ? body : JSON.stringify(body),
            signal
        })
    }

    // The processes it has started: the engines.
    engines() {
        const list = readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8')
        return list.split(' ').filter(Boolean).map(Number)
    }

    kill() {
        this.child.kill('SIGKILL')
        return this.child.wait()
    }

    stop() {
        return this.child.stop()
    }
}

// Processor time of a process in clock ticks; undefined once it is gone.
export function ticks(pid) {
    try {
        const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
        const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
        return fields[0] === 'Z' ? undefined : Number(fields[11]) + Number(fields[12])
    } catch {
        return undefined
    }
}

// The events of a server-sent stream, as parsed JSON; the last may be the string '[DONE]'.
export async function* events(response) {
    const decoder = new TextDecoder()
    let text = ''
    for await (const chunk of response.body) {
        text += decoder.decode(chunk, { stream: true })
        let end
        while ((end = text.indexOf('\n\n')) >= 0) {
            const data = text.slice(0, end).split('\n').filter((l) => l.startsWith('data:'))
                .map((l) => l.slice(5).trimStart()).join('\n')
            text = text.slice(end + 2)
            if (data) yield data === '[DONE]' ? data : JSON.parse(data)
        }
    }
}
