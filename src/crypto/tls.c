/* TLS streams. OpenSSL reads from and writes to memory; this file moves the bytes between that
 * memory and the stream below, and parks while they are on their way. One fiber may read while
 * another writes: OpenSSL is entered only between parks, and `sending` keeps records in order. */
#include "crypto/tls.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_MAX 16384 /* SPEC tls 5.1: bytes of plain text in one record */
#define HOST_MAX   256

struct tls_context {
	SSL_CTX *ssl;
};

struct tls_stream {
	struct stream stream;
	struct stream *inner;
	SSL *ssl;
	BIO *in, *out; /* owned by ssl */
	struct sem sending;
	bool ended;  /* the peer said goodbye */
	bool broken; /* nothing more can be said: no goodbye either */
};

/* ---- errors ---------------------------------------------------------------------------------- */

/* What OpenSSL noted last, and forgets it. */
static const char *reason(void)
{
	unsigned long code = ERR_get_error();
	ERR_clear_error();
	const char *text = code ? ERR_reason_error_string(code) : NULL;
	return text ? text : "no reason given";
}

static int broken(struct tls_stream *t, struct err *err)
{
	t->broken = true;
	long verify = SSL_get_verify_result(t->ssl);
	if (verify != X509_V_OK) {
		ERR_clear_error();
		return err_set(err, E_BAD_SIGNATURE, "%s: the certificate is not accepted: %s",
		    t->inner->remote, X509_verify_cert_error_string(verify));
	}
	return err_set(err, E_PROTOCOL, "%s: TLS: %s", t->inner->remote, reason());
}

/* ---- contexts -------------------------------------------------------------------------------- */

struct loading {
	const char *ca_file;
	SSL_CTX *ssl;
	int ok;
	char reason[128];
};

static SSL_CTX *new_context(const SSL_METHOD *method)
{
	static const uint8_t alpn[] = "\x08http/1.1";
	SSL_CTX *ssl = SSL_CTX_new(method);
	if (!ssl)
		return NULL;
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION);
	SSL_CTX_set_alpn_protos(ssl, alpn, sizeof alpn - 1);
	return ssl;
}

static void load_trust(void *arg)
{
	struct loading *l = arg;
	l->ok = l->ca_file ? SSL_CTX_load_verify_file(l->ssl, l->ca_file)
			   : SSL_CTX_set_default_verify_paths(l->ssl);
	if (!l->ok)
		snprintf(l->reason, sizeof l->reason, "%s", reason());
}

static int make_context(SSL_CTX *ssl, struct tls_context **out, struct err *err)
{
	struct tls_context *c = ssl ? calloc(1, sizeof *c) : NULL;
	if (!c) {
		SSL_CTX_free(ssl);
		ERR_clear_error();
		return err_set(err, E_MEMORY, "no memory for TLS");
	}
	c->ssl = ssl;
	*out = c;
	return 0;
}

int tls_client_context(const char *ca_file, struct tls_context **out, struct err *err)
{
	struct loading l = {.ca_file = ca_file, .ssl = new_context(TLS_client_method())};
	struct tls_context *c = NULL;
	int rc = make_context(l.ssl, &c, err);
	if (rc)
		return rc;
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	rc = rt_work(load_trust, &l, NULL, err);
	if (rc == 0 && !l.ok)
		rc = err_set(err, E_FORMAT, "%s: no certificates: %s",
		    ca_file ? ca_file : "the system's certificate authorities", l.reason);
	if (rc)
		tls_context_free(c);
	else
		*out = c;
	return rc;
}

static BIO *memory_of(struct bytes b)
{
	return b.n <= INT32_MAX ? BIO_new_mem_buf(b.p, (int)b.n) : NULL;
}

/* The first certificate is ours, the others lead to its authority. */
static bool use_chain(SSL_CTX *ssl, struct bytes pem)
{
	BIO *bio = memory_of(pem);
	X509 *cert = bio ? PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL) : NULL;
	bool ok = cert && SSL_CTX_use_certificate(ssl, cert) == 1;
	X509_free(cert);
	while (ok && (cert = PEM_read_bio_X509(bio, NULL, NULL, NULL)))
		if (SSL_CTX_add0_chain_cert(ssl, cert) != 1) {
			X509_free(cert);
			ok = false;
		}
	BIO_free(bio);
	ERR_clear_error(); /* the end of the file is noted as an error */
	return ok;
}

static bool use_key(SSL_CTX *ssl, struct bytes pem)
{
	BIO *bio = memory_of(pem);
	EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
	bool ok = key && SSL_CTX_use_PrivateKey(ssl, key) == 1;
	EVP_PKEY_free(key);
	BIO_free(bio);
	return ok && SSL_CTX_check_private_key(ssl) == 1;
}

int tls_server_context(
    struct bytes chain_pem, struct bytes key_pem, struct tls_context **out, struct err *err)
{
	struct tls_context *c = NULL;
	int rc = make_context(new_context(TLS_server_method()), &c, err);
	if (rc)
		return rc;
	if (!use_chain(c->ssl, chain_pem))
		rc = err_set(err, E_FORMAT, "no certificate");
	else if (!use_key(c->ssl, key_pem))
		rc = err_set(err, E_FORMAT, "the certificate's key: %s", reason());
	if (rc)
		tls_context_free(c);
	else
		*out = c;
	return rc;
}

void tls_context_free(struct tls_context *c)
{
	if (!c)
		return;
	SSL_CTX_free(c->ssl);
	free(c);
}

/* ---- moving bytes ---------------------------------------------------------------------------- */

/* Sends what OpenSSL has to say. */
static int flush(struct tls_stream *t, struct err *err)
{
	int rc = sem_acquire(&t->sending, err);
	if (rc)
		return rc;
	char *p;
	long n;
	while (rc == 0 && (n = BIO_get_mem_data(t->out, &p)) > 0) {
		char *copy = malloc((size_t)n);
		if (!copy) {
			rc = err_set(err, E_MEMORY, "no memory for TLS");
			break;
		}
		memcpy(copy, p, (size_t)n);
		(void)BIO_reset(t->out);
		rc = stream_write(t->inner, copy, (size_t)n, err);
		free(copy);
	}
	t->broken = t->broken || rc != 0;
	sem_release(&t->sending);
	return rc;
}

/* Gives OpenSSL more of what the peer says. 0 at its end. */
static ssize_t feed(struct tls_stream *t, struct err *err)
{
	uint8_t piece[4096];
	ssize_t n = stream_read(t->inner, piece, sizeof piece, err);
	if (n > 0 && BIO_write(t->in, piece, (int)n) != (int)n)
		return err_set(err, E_MEMORY, "no memory for TLS");
	return n;
}

/* The same for a reader, who must not wait for a writer that is stuck: whoever is sending sends
 * what is added meanwhile too. */
static int flush_unless_sending(struct tls_stream *t, struct err *err)
{
	return t->sending.free > 0 && BIO_pending(t->out) > 0 ? flush(t, err) : 0;
}

/* After an OpenSSL call that returned `result`: 1 try again, 0 the peer's goodbye, else an error.
 */
static int settle(struct tls_stream *t, int result, struct err *err)
{
	int what = SSL_get_error(t->ssl, result);
	int rc = flush_unless_sending(t, what == SSL_ERROR_SSL ? NULL : err);
	if (what == SSL_ERROR_ZERO_RETURN)
		return 0;
	if (what != SSL_ERROR_WANT_READ && what != SSL_ERROR_WANT_WRITE)
		return broken(t, err);
	if (rc || what == SSL_ERROR_WANT_WRITE)
		return rc ? rc : 1;
	ssize_t n = feed(t, err);
	if (n == 0)
		return err_set(err, E_CLOSED, "%s: the connection ended without TLS's goodbye",
		    t->inner->remote);
	return n < 0 ? (int)n : 1;
}

static ssize_t tls_read(struct stream *s, void *buf, size_t cap, struct err *err)
{
	struct tls_stream *t = (struct tls_stream *)s;
	while (!t->ended) {
		ERR_clear_error();
		int n = SSL_read(t->ssl, buf, cap < RECORD_MAX ? (int)cap : RECORD_MAX);
		if (n > 0)
			return n;
		int rc = settle(t, n, err);
		if (rc < 0)
			return rc;
		t->ended = rc == 0;
	}
	return 0;
}

static int write_one(struct tls_stream *t, struct bytes b, struct err *err)
{
	while (b.n > 0) {
		ERR_clear_error();
		int take = b.n < RECORD_MAX ? (int)b.n : RECORD_MAX;
		int n = SSL_write(t->ssl, b.p, take);
		if (n <= 0)
			return broken(t, err);
		b = bytes_of(b.p + n, b.n - (size_t)n);
		int rc = flush(t, err);
		if (rc)
			return rc;
	}
	return 0;
}

/* Small pieces share a record. */
static int tls_write(struct stream *s, const struct bytes *v, size_t count, struct err *err)
{
	struct tls_stream *t = (struct tls_stream *)s;
	struct buf joined = BUF_INIT(RECORD_MAX);
	size_t total = 0;
	int rc = 0;
	for (size_t i = 0; i < count; i++)
		total += v[i].n;
	if (count > 1 && total <= RECORD_MAX) {
		for (size_t i = 0; i < count; i++)
			buf_bytes(&joined, v[i]);
		rc = buf_ok(&joined, err);
		if (rc == 0)
			rc = write_one(t, buf_view(&joined), err);
	} else {
		for (size_t i = 0; rc == 0 && i < count; i++)
			rc = write_one(t, v[i], err);
	}
	buf_free(&joined);
	return rc;
}

static int tls_close_write(struct stream *s, struct err *err)
{
	struct tls_stream *t = (struct tls_stream *)s;
	if (t->broken)
		return err_set(err, E_CLOSED, "%s: the connection is broken", s->remote);
	SSL_shutdown(t->ssl);
	ERR_clear_error();
	return flush(t, err);
}

static void tls_reset(struct stream *s, int code)
{
	struct tls_stream *t = (struct tls_stream *)s;
	t->broken = true;
	stream_reset(t->inner, code);
}

static void tls_close(struct stream *s)
{
	struct tls_stream *t = (struct tls_stream *)s;
	SSL_free(t->ssl);
	stream_close(t->inner);
	free(t);
}

static const struct stream_ops tls_ops = {
    .kind = "tls",
    .read = tls_read,
    .write = tls_write,
    .close_write = tls_close_write,
    .reset = tls_reset,
    .close = tls_close,
};

/* ---- the handshake --------------------------------------------------------------------------- */

static struct tls_stream *new_stream(struct tls_context *c, struct stream *inner)
{
	struct tls_stream *t = calloc(1, sizeof *t);
	if (!t)
		return NULL;
	*t = (struct tls_stream){.stream = {&tls_ops, inner->remote},
	    .inner = inner,
	    .ssl = SSL_new(c->ssl),
	    .in = BIO_new(BIO_s_mem()),
	    .out = BIO_new(BIO_s_mem()),
	    .sending = {.free = 1}};
	if (t->ssl && t->in && t->out) {
		BIO_set_mem_eof_return(t->in, -1); /* empty is "not yet", not "the end" */
		SSL_set_bio(t->ssl, t->in, t->out);
		return t;
	}
	SSL_free(t->ssl);
	BIO_free(t->in);
	BIO_free(t->out);
	free(t);
	ERR_clear_error();
	return NULL;
}

static int shake(struct tls_stream *t, struct err *err)
{
	for (;;) {
		ERR_clear_error();
		int done = SSL_do_handshake(t->ssl);
		if (done == 1)
			return flush(t, err);
		int rc = settle(t, done, err);
		if (rc == 0)
			return err_set(
			    err, E_CLOSED, "%s: closed during the TLS handshake", t->inner->remote);
		if (rc < 0)
			return rc;
	}
}

/* The name that the certificate must show. */
static bool expect_host(SSL *ssl, const char *host)
{
	uint8_t ip[16];
	size_t n = strlen(host);
	char name[HOST_MAX];
	if (n >= sizeof name || n == 0)
		return false;
	/* "[::1]" as in URLs */
	bool bracketed = host[0] == '[' && host[n - 1] == ']';
	memcpy(name, host + bracketed, n + 1 - bracketed);
	if (bracketed)
		name[n - 2] = '\0';
	if (inet_pton(AF_INET, name, ip) == 1 || inet_pton(AF_INET6, name, ip) == 1)
		return X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name) == 1;
	SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return SSL_set1_host(ssl, name) == 1 && SSL_set_tlsext_host_name(ssl, name) == 1;
}

static int begin(struct tls_context *c, struct stream *inner, const char *host, struct stream **out,
    struct err *err)
{
	struct tls_stream *t = new_stream(c, inner);
	if (!t) {
		stream_close(inner);
		return err_set(err, E_MEMORY, "no memory for TLS");
	}
	int rc = 0;
	if (host && !expect_host(t->ssl, host))
		rc = err_set(err, E_INVALID, "\"%s\" is no host name", host);
	if (host)
		SSL_set_connect_state(t->ssl);
	else
		SSL_set_accept_state(t->ssl);
	if (rc == 0)
		rc = shake(t, err);
	if (rc) {
		stream_reset(inner, rc);
		tls_close(&t->stream);
		return rc;
	}
	*out = &t->stream;
	return 0;
}

int tls_connect(struct tls_context *c, struct stream *inner, const char *host, struct stream **out,
    struct err *err)
{
	return begin(c, inner, host, out, err);
}

int tls_accept(struct tls_context *c, struct stream *inner, struct stream **out, struct err *err)
{
	return begin(c, inner, NULL, out, err);
}
