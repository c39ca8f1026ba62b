/* See pool.h. Kept connections form a stack: the latest is taken first, so that the others age and
 * end. */
#include "http/pool.h"

#include "crypto/tls.h"

#include <stdlib.h>

#define ADDRS_MAX       8
#define CONNECT_MS      10000 /* to all addresses together */
#define CONNECT_EACH_MS 4000

struct kept {
	struct http_client *client;
	struct instant since;
};

struct http_pool {
	struct world *world;
	struct http_url url;
	struct tls_context *tls;
	struct kept kept[HTTP_POOL_IDLE_MAX]; /* the oldest first */
	size_t n;
};

int http_pool_new(struct world *w, const struct http_url *url, struct tls_context *tls,
    struct http_pool **out, struct err *err)
{
	struct http_pool *p = calloc(1, sizeof *p);
	if (!p)
		return err_set(err, E_MEMORY, "no memory for connections");
	INVARIANT(tls || !url->tls);
	p->world = w;
	p->url = *url;
	p->tls = tls;
	*out = p;
	return 0;
}

/* Closes the k oldest. */
static void drop(struct http_pool *p, size_t k)
{
	for (size_t i = 0; i < k; i++)
		http_client_free(p->kept[i].client);
	p->n -= k;
	memmove(p->kept, p->kept + k, p->n * sizeof *p->kept);
}

void http_pool_free(struct http_pool *p)
{
	if (!p)
		return;
	drop(p, p->n);
	free(p);
}

const struct http_url *http_pool_url(const struct http_pool *p)
{
	return &p->url;
}

static void drop_old(struct http_pool *p)
{
	size_t old = 0;
	while (old < p->n &&
	       instant_since(rt_now(), p->kept[old].since).ns > duration_ms(HTTP_POOL_IDLE_MS).ns)
		old++;
	drop(p, old);
}

static int dial_each(
    struct http_pool *p, struct netaddr *addrs, size_t n, struct stream **out, struct err *err)
{
	int rc = err_set(err, E_NOT_FOUND, "%s has no address", p->url.host);
	for (size_t i = 0; i < n; i++) {
		struct scope sc;
		addrs[i].port = p->url.port;
		scope_open(&sc, duration_ms(CONNECT_EACH_MS));
		rc = world_tcp_dial(p->world, &addrs[i], out, err);
		scope_close(&sc);
		if (rc == 0 || rc == E_CANCELLED)
			break;
	}
	return rc;
}

static int dial(struct http_pool *p, struct stream **out, struct err *err)
{
	struct netaddr addrs[ADDRS_MAX];
	size_t n = 1;
	int rc = 0;
	if (netaddr_parse_ip(p->url.host, &addrs[0], NULL) != 0)
		rc = world_resolve(p->world, p->url.host, 0, addrs, ADDRS_MAX, &n, err);
	return rc ? rc : dial_each(p, addrs, n, out, err);
}

static int connect_new(struct http_pool *p, struct http_client **out, struct err *err)
{
	struct stream *s;
	struct scope sc;
	scope_open(&sc, duration_ms(CONNECT_MS));
	int rc = dial(p, &s, err);
	if (rc == 0 && p->url.tls)
		rc = tls_connect(p->tls, s, p->url.host, &s, err);
	scope_close(&sc);
	return rc ? rc : http_client_new(s, out, err);
}

int http_pool_take(struct http_pool *p, enum http_pool_wish wish, struct http_client **out,
    bool *used, struct err *err)
{
	if (wish == HTTP_POOL_FRESH)
		drop(p, p->n);
	drop_old(p);
	*used = p->n > 0;
	if (p->n > 0) {
		*out = p->kept[--p->n].client;
		return 0;
	}
	return connect_new(p, out, err);
}

void http_pool_give(struct http_pool *p, struct http_client *c)
{
	drop_old(p);
	if (!http_client_reusable(c) || p->n == HTTP_POOL_IDLE_MAX) {
		http_client_free(c);
		return;
	}
	p->kept[p->n++] = (struct kept){c, rt_now()};
}
