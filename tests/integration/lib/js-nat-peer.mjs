// A JavaScript libp2p node with AutoNAT and DCUtR, as a program of its own, so that it can run in a
// network namespace:
//
//   node js-nat-peer.mjs --listen ADDR [--dial ADDR]… [--echo ADDR]
//
// Prints its addresses as it gets them, and `direct ADDR` for each connection that no relay carries.
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
        dial: { type: 'string', multiple: true, default: [] }
    }
})
const node = await jsNode(values.listen, {
    transports: [circuitRelayTransport()],
    services: { autoNAT: autoNAT(), dcutr: dcutr() },
    handlers: { runOnLimitedConnection: true }
})
const printed = new Set()

function printAddresses() {
    for (const address of node.getMultiaddrs().map(String)) {
        if (!printed.has(address)) console.log(address)
        printed.add(address)
    }
}

node.addEventListener('self:peer:update', printAddresses)
node.addEventListener('connection:open', ({ detail }) => {
    const address = detail.remoteAddr.toString()
    if (!address.includes('p2p-circuit')) console.log(`direct ${address} ${detail.remotePeer}`)
})
process.on('SIGTERM', () => process.exit(0))
printAddresses()
for (const address of values.dial) await node.dial(multiaddr(address))
