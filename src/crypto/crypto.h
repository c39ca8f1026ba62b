/* The crypto room: identities, peer ids, public keys, hashes, X25519, CPace and bulk encryption. */
#ifndef CRYPTO_CRYPTO_H
#define CRYPTO_CRYPTO_H

#include "crypto/aead.h"
#include "crypto/cpace.h"
#include "crypto/ed25519_keys.h"
#include "crypto/hash.h"
#include "crypto/identity.h"
#include "crypto/peer_id.h"
#include "crypto/public_key.h"
#include "crypto/sealed.h"
#include "crypto/x25519.h"

#endif
