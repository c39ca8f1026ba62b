// Networks made for a test: namespaces as machines, bridges as cables, nftables as NAT routers. Needs
// root; `missing()` says what else keeps it from working. All of it is gone when the test file ends.
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { temporaryFolder } from './process.mjs'

const PREFIX = `og${process.pid % 100000}`
const made = []
let links = 0

const sh = (program, ...args) => execFileSync(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })

// Why it cannot be done here, or false.
export function missing() {
    if (process.getuid() !== 0) return 'namespaces need root'
    try {
        const name = `${PREFIX}probe`
        sh('ip', 'netns', 'add', name)
        try {
            sh('ip', 'netns', 'exec', name, 'nft', 'add', 'table', 'ip', 'probe')
        } finally {
            sh('ip', 'netns', 'del', name)
        }
        return false
    } catch (error) {
        return `no namespaces with nftables here: ${String(error.stderr || error.message).trim()}`
    }
}

export class Machine {
    constructor(label) {
        this.name = `${PREFIX}${label}`
        sh('ip', 'netns', 'add', this.name)
        made.push(this.name)
        this.run('ip', 'link', 'set', 'lo', 'up')
    }

    run(...command) {
        return sh('ip', 'netns', 'exec', this.name, ...command)
    }

    // A command line for Child and run().
    command(program, args) {
        return ['ip', ['netns', 'exec', this.name, program, ...args]]
    }

    route(gateway) {
        this.run('ip', 'route', 'add', 'default', 'via', gateway)
    }

    // Replaces the machine's own firewall: rules like 'output ip length > 1300 drop'.
    firewall(...rules) {
        const chain = (hook) => `chain ${hook} {
            type filter hook ${hook} priority 0
            ${rules.filter((r) => r.startsWith(`${hook} `)).map((r) => r.slice(hook.length + 1)).join('\n')}
        }`
        this.run('nft', `table inet wall\ndelete table inet wall
            table inet wall {\n${chain('input')}\n${chain('output')}\n}`)
    }
}

// A switch: a namespace with a bridge in it.
export class Network extends Machine {
    constructor(label) {
        super(label)
        this.run('ip', 'link', 'add', 'name', 'bridge0', 'type', 'bridge')
        this.run('ip', 'link', 'set', 'bridge0', 'up')
    }

    // Plugs a machine in; `address` is like 5.5.5.2/24 and `port` the interface's name there.
    plug(machine, address, port) {
        const cable = `${PREFIX}c${links++}`
        sh('ip', 'link', 'add', cable, 'netns', this.name, 'type', 'veth',
            'peer', 'name', port, 'netns', machine.name)
        this.run('ip', 'link', 'set', cable, 'master', 'bridge0')
        this.run('ip', 'link', 'set', cable, 'up')
        machine.run('ip', 'address', 'add', address, 'dev', port)
        machine.run('ip', 'link', 'set', port, 'up')
    }
}

// A router that drops what it does not know from outside and masquerades what leaves, keeping ports
// where it can, or with `random` ones.
export class Router extends Machine {
    constructor(label, { random = false } = {}) {
        super(label)
        this.run('sysctl', '-qw', 'net.ipv4.ip_forward=1')
        const known = 'ct state established,related accept'
        this.run('nft', `
            table inet nat {
                chain prerouting_miniupnpd {}
                chain postrouting_miniupnpd {}
                chain pre {
                    type nat hook prerouting priority -100;
                    jump prerouting_miniupnpd
                }
                chain post {
                    type nat hook postrouting priority 100;
                    jump postrouting_miniupnpd
                    oifname wan masquerade${random ? ' fully-random' : ''}
                }
            }
            table inet filter {
                chain miniupnpd {}
                chain in {
                    type filter hook input priority 0; policy drop;
                    ${known}
                    iifname != wan accept
                }
                chain through {
                    type filter hook forward priority 0; policy drop;
                    ${known}
                    iifname != wan accept
                    jump miniupnpd
                }
            }`)
    }

    // The command line that serves port mappings, by NAT-PMP and UPnP or one of them.
    miniupnpd({ natpmp = true, upnp = true }) {
        const folder = temporaryFolder('router')
        const yes = (on) => (on ? 'yes' : 'no')
        writeFileSync(join(folder, 'conf'), `
            ext_ifname=wan
            listening_ip=lan
            enable_natpmp=${yes(natpmp)}
            enable_upnp=${yes(upnp)}
            secure_mode=yes
            uuid=${randomUUID()}
            upnp_table_name=filter
            upnp_nat_table_name=nat
            upnp_forward_chain=miniupnpd
            upnp_nat_chain=prerouting_miniupnpd
            upnp_nat_postrouting_chain=postrouting_miniupnpd
            allow 1024-65535 0.0.0.0/0 1024-65535
            deny 0-65535 0.0.0.0/0 0-65535
            `.replaceAll(/^ +/gm, ''))
        return this.command('miniupnpd', ['-d', '-f', join(folder, 'conf'), '-P', join(folder, 'pid')])
    }

    // What miniupnpd has forwarded.
    forwards() {
        return this.run('nft', 'list', 'chain', 'inet', 'nat', 'prerouting_miniupnpd').toString()
    }
}

let homes = 0

// A public network, 5.5.5.0/24, and two machines behind a router each; `join` puts another machine on
// the public network.
export function twoHomes({ random = false } = {}) {
    const n = homes++
    const internet = new Network(`i${n}`)
    const machines = [1, 2].map((i) => {
        const router = new Router(`r${n}${i}`, { random })
        const lan = new Network(`l${n}${i}`)
        const machine = new Machine(`m${n}${i}`)
        internet.plug(router, `5.5.5.${i}/24`, 'wan')
        lan.plug(router, `192.168.${i}.1/24`, 'lan')
        lan.plug(machine, `192.168.${i}.2/24`, 'eth0')
        machine.route(`192.168.${i}.1`)
        return machine
    })
    const join = (ip) => {
        const machine = new Machine(`p${n}${ip.split('.').at(-1)}`)
        internet.plug(machine, `${ip}/24`, 'eth0')
        return machine
    }
    return { internet, homes: machines, join }
}

export function removeNetworks() {
    for (const name of made.splice(0).reverse()) {
        try {
            sh('ip', 'netns', 'del', name)
        } catch { /* it may be gone */ }
    }
}
