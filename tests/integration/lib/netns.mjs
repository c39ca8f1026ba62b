// Machines on a network of their own, for tests that need faults which loopback does not have: network
// namespaces, each joined to one bridge, with a firewall of its own. Needs root, ip and nft; where they are
// missing `unavailable` says so.
import { execFileSync } from 'node:child_process'
import { Child } from './process.mjs'

export const unavailable = reason()

function reason() {
    if (process.getuid() !== 0) return 'needs root for network namespaces'
    try {
        execFileSync('nft', ['--version'], { stdio: 'ignore' })
        const probe = `og-probe-${process.pid}`
        execFileSync('ip', ['netns', 'add', probe], { stdio: 'ignore' })
        execFileSync('ip', ['netns', 'del', probe], { stdio: 'ignore' })
        return false
    } catch (error) {
        return `no network namespaces here: ${error.message}`
    }
}

let made = 0

export class Network {
    constructor() {
        this.name = `og${process.pid}n${made++}`
        this.machines = []
        ip('netns', 'add', this.name)
        ip('-n', this.name, 'link', 'add', 'hub', 'type', 'bridge')
        ip('-n', this.name, 'link', 'set', 'hub', 'up')
    }

    // A machine with the address 10.77.0.<number> on this network.
    machine() {
        const number = this.machines.length + 1
        const machine = new Machine(`${this.name}m${number}`, `10.77.0.${number}`)
        ip('-n', this.name, 'link', 'add', `p${number}`, 'type', 'veth', 'peer', 'name', 'eth0',
            'netns', machine.name)
        ip('-n', this.name, 'link', 'set', `p${number}`, 'master', 'hub', 'up')
        ip('-n', machine.name, 'addr', 'add', `${machine.address}/24`, 'dev', 'eth0')
        ip('-n', machine.name, 'link', 'set', 'eth0', 'up')
        this.machines.push(machine)
        return machine
    }

    close() {
        for (const machine of this.machines) machine.close()
        ip('netns', 'del', this.name)
    }
}

// Alone until a network joins it: loopback is all it has.
export class Machine {
    constructor(name = `og${process.pid}a${made++}`, address) {
        this.name = name
        this.address = address
        ip('netns', 'add', name)
        ip('-n', name, 'link', 'set', 'lo', 'up')
    }

    // A program and its arguments, as they run on this machine.
    command(program, args) {
        return ['ip', ['netns', 'exec', this.name, program, ...args]]
    }

    async run(program, args) {
        const child = new Child(...this.command(program, args))
        await child.exited
        return { ...child.end, stdout: child.text(), stderr: child.stderr }
    }

    // Replaces the machine's firewall: lines like 'output ip length > 1300 drop'.
    async firewall(...rules) {
        const hooks = ['input', 'output'].map((hook) => [
            `chain ${hook} {`, `type filter hook ${hook} priority 0`,
            ...rules.filter((r) => r.startsWith(`${hook} `)).map((r) => r.slice(hook.length + 1)), '}'
        ].join('\n'))
        const text = `table inet og\ndelete table inet og\ntable inet og {\n${hooks.join('\n')}\n}\n`
        const child = new Child(...this.command('nft', ['-f', '-']), { input: text })
        await child.exited
        if (child.end.code !== 0) throw new Error(`nft: ${child.stderr}`)
    }

    close() {
        ip('netns', 'del', this.name)
    }
}

function ip(...args) {
    execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'inherit'] })
}
