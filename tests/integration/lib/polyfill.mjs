// What the JavaScript libp2p expects and older Node versions lack. Import it first.
import { webcrypto } from 'node:crypto'

// Node 18: no CustomEvent, no global crypto.
globalThis.crypto ??= webcrypto
globalThis.CustomEvent ??= class CustomEvent extends Event {
    constructor(type, init = {}) {
        super(type, init)
        this.detail = init.detail ?? null
    }
}

// Node 18 and 20.
Promise.withResolvers ??= function withResolvers() {
    let resolve, reject
    const promise = new this((yes, no) => {
        resolve = yes
        reject = no
    })
    return { promise, resolve, reject }
}
