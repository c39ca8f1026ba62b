// Child processes, temporary folders and waiting, for tests. Everything started here is ended and
// removed when the test file ends, whatever happens in between.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'

export const ROOT = resolve(fileURLToPath(import.meta.url), '../../../..')

// The programs under test; another build's can be named, for instance a sanitizer's.
export const BUILD = resolve(ROOT, process.env.OG_BUILD ?? 'build')

const children = new Set()
const folders = new Set()

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms))

// Polls until `probe` returns something truthy; its last error or `what` is the failure.
export async function until(what, probe, { timeout = 15_000, every = 50 } = {}) {
    const end = Date.now() + timeout
    let last
    do {
        try {
            const value = await probe()
            if (value) return value
            last = undefined
        } catch (error) {
            last = error
        }
        await sleep(every)
    } while (Date.now() < end)
    throw new Error(`not within ${timeout} ms: ${what}${last ? ` (${last.message})` : ''}`)
}

export function temporaryFolder(name) {
    const folder = mkdtempSync(join(tmpdir(), `gate-${name}-`))
    folders.add(folder)
    return folder
}

// A TCP port that was free a moment ago.
export async function freePort() {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address()
    await new Promise((done) => server.close(done))
    return port
}

export class Child {
    // Standard input is empty, or `input`, or, `interactive`, left to the caller.
    constructor(program, args, { env, input, cwd, interactive = false } = {}) {
        this.command = [program, ...args].join(' ')
        this.stdout = []
        this.stderr = ''
        this.process = spawn(program, args, {
            cwd: cwd ?? ROOT,
            env: { ...process.env, ...env },
            stdio: [input === undefined && !interactive ? 'ignore' : 'pipe', 'pipe', 'pipe']
        })
        children.add(this)
        this.process.stdout.on('data', (data) => this.stdout.push(data))
        this.process.stderr.on('data', (data) => { this.stderr += data })
        this.exited = new Promise((done) => {
            this.process.on('error', (error) => {
                this.stderr += `${error.message}\n`
                done({ code: null, signal: null, error })
            })
            this.process.on('close', (code, signal) => done({ code, signal }))
        }).then((end) => {
            this.end = end
            children.delete(this)
            return end
        })
        if (input !== undefined) {
            this.process.stdin.on('error', () => {}) // it may leave before it has read all
            this.process.stdin.end(input)
        }
    }

    get pid() {
        return this.process.pid
    }

    output() {
        return Buffer.concat(this.stdout)
    }

    text() {
        return this.output().toString('utf8')
    }

    // The first line of standard output that matches, or of either stream with { all: true }.
    async line(pattern, { timeout = 15_000, all = false } = {}) {
        return until(`${pattern} from ${this.command}\n${this.stderr.slice(-2000)}`, () => {
            const text = all ? this.text() + this.stderr : this.text()
            const match = text.split('\n').slice(0, -1).find((l) => pattern.test(l))
            if (match === undefined && this.end) {
                throw new Error(`ended with ${this.end.code ?? this.end.signal}: ${this.stderr.slice(-2000)}`)
            }
            return match ?? false
        }, { timeout })
    }

    async wait(timeout = 30_000) {
        let timer
        const late = new Promise((done) => { timer = setTimeout(done, timeout, 'late') })
        const end = await Promise.race([this.exited, late]).finally(() => clearTimeout(timer))
        if (end === 'late') throw new Error(`still running after ${timeout} ms: ${this.command}`)
        return end
    }

    kill(signal = 'SIGKILL') {
        if (!this.end) this.process.kill(signal)
    }

    async stop(timeout = 12_000) {
        this.kill('SIGTERM')
        return this.wait(timeout)
    }

    // Resident memory in bytes.
    memory() {
        const status = readFileSync(`/proc/${this.pid}/status`, 'utf8')
        return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)[1]) * 1024
    }

    descriptors() {
        return readdirSync(`/proc/${this.pid}/fd`).length
    }
}

// Runs a program to its end: { code, signal, stdout, stderr }.
export async function run(program, args, { timeout = 30_000, ...options } = {}) {
    const child = new Child(program, args, options)
    const end = await child.wait(timeout).finally(() => child.kill())
    return { ...end, stdout: child.text(), stderr: child.stderr, output: child.output() }
}

// Ends every child and removes every folder: what a test file does in its last after().
export function endAll() {
    for (const child of children) child.kill('SIGKILL')
    for (const folder of folders) rmSync(folder, { recursive: true, force: true })
    folders.clear()
}
process.on('exit', endAll)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => process.exit(1))
}
