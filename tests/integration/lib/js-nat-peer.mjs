// A JavaScript libp2p node with AutoNAT and DCUtR, as a program of its own, so that it can run in a
// network namespace:
//
//   node js-nat-peer.mjs [--listen ADDR]… [--announce ADDR]… [--dial ADDR]…
//
// Prints its addresses as it gets them, `direct ADDR` for each connection that no relay carries, and
// `verified ADDR` for each of its addresses that AutoNAT has confirmed.
import './polyfill.mjs'
import { parseArgs } from 'node:util'
import { autoNAT } from '@libp2p/autonat'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { dcutr } from '@libp2p/dcutr'
import { multiaddr } from '@multiformats/multiaddr'
import { jsNode } from './js-peer.mjs'

const { values } = parseArgs({
    options: {
        listen: { type: 'string', multiple: true, default: [] },
        announce: { type: 'string', multiple: true, default: [] },
        dial: { type: 'string', multiple: true, default: [] }
    }
})
const node = await jsNode(values.listen, {
    announce: values.announce,
    transports: [circuitRelayTransport()],
    services: { autoNAT: autoNAT(), dcutr: dcutr() },
    handlers: { runOnLimitedConnection: true }
})
const printed = new Set()

function print(line) {
    if (!printed.has(line)) console.log(line)
    printed.add(line)
}

function printAddresses() {
    node.getMultiaddrs().map(String).forEach(print)
    for (const a of node.components.addressManager.getAddressesWithMetadata()) {
        if (a.verified && a.lastVerified > 0) print(`verified ${a.multiaddr}`)
    }
}

setInterval(printAddresses, 200)
node.addEventListener('connection:open', ({ detail }) => {
    const address = detail.remoteAddr.toString()
    if (!address.includes('p2p-circuit')) console.log(`direct ${address} ${detail.remotePeer}`)
})
process.on('SIGTERM', () => process.exit(0))
for (const address of values.dial) await node.dial(multiaddr(address))
