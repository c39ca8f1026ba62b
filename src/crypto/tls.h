/* TLS 1.2 and 1.3 over any stream, as the client or the server: OpenSSL's state machine, with our
 * streams below and above it. SPEC tls: RFC 8446, RFC 5246; names: RFC 6125, RFC 9525. */
#ifndef CRYPTO_TLS_H
#define CRYPTO_TLS_H

#include "rt/stream.h"

/* Keys, certificates and trust, shared by many connections; counted. */
struct tls_context;

/* [parks] For clients: trusts the system's certificate authorities, or those in `ca_file` alone
 * when it is not NULL (PEM). Files are read on a worker. E_NOT_FOUND, E_FORMAT, E_MEMORY. */
int tls_client_context(const char *ca_file, struct tls_context **out, struct err *err) WARN_UNUSED;
/* For servers: a certificate with its chain and its key, both PEM. E_FORMAT (also when they do not
 * belong together), E_MEMORY. */
int tls_server_context(struct bytes chain_pem, struct bytes key_pem, struct tls_context **out,
    struct err *err) WARN_UNUSED;
void tls_context_free(struct tls_context *c); /* NULL is fine; connections keep what they need */

/* [parks] The handshake over `inner`, which is taken over (on failure too). As a client the server
 * must show a valid certificate for `host`, a name or an IP address: E_BAD_SIGNATURE with the
 * reason when it does not. E_PROTOCOL for what is no TLS, or the errors of the stream. Deadlines
 * are the scope's.
 *
 * The end of the inner stream without the peer's goodbye reads as E_CLOSED, never as an end. */
int tls_connect(struct tls_context *c, struct stream *inner, const char *host, struct stream **out,
    struct err *err) WARN_UNUSED;
int tls_accept(
    struct tls_context *c, struct stream *inner, struct stream **out, struct err *err) WARN_UNUSED;

#endif
