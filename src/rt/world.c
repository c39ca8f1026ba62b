/* The calls of world.h: each goes to the operations of the world or object it is made on. Address
 * helpers are here too, since both worlds speak of the same addresses. */
#include "rt/world.h"
#include "rt/tcp_priv.h"

#include <arpa/inet.h>
#include <stdio.h>

const char tcp_stream_kind[] = "tcp";

/* ---- addresses ----------------------------------------------------------------------------- */

static size_t ip_size(const struct netaddr *a)
{
	return a->family == NET_IP4 ? 4 : 16;
}

void netaddr_print(const struct netaddr *a, char out[NETADDR_TEXT_MAX])
{
	char ip[INET6_ADDRSTRLEN];

	inet_ntop(a->family == NET_IP4 ? AF_INET : AF_INET6, a->ip, ip, sizeof(ip));
	if (a->family == NET_IP4)
		snprintf(out, NETADDR_TEXT_MAX, "%s:%u", ip, a->port);
	else if (a->scope_id != 0)
		snprintf(out, NETADDR_TEXT_MAX, "[%s%%%u]:%u", ip, a->scope_id, a->port);
	else
		snprintf(out, NETADDR_TEXT_MAX, "[%s]:%u", ip, a->port);
}

int netaddr_parse_ip(const char *text, struct netaddr *out, struct err *err)
{
	*out = (struct netaddr){.family = NET_IP4};
	if (inet_pton(AF_INET, text, out->ip) == 1)
		return 0;
	*out = (struct netaddr){.family = NET_IP6};
	if (inet_pton(AF_INET6, text, out->ip) == 1)
		return 0;
	return err_set(err, E_SYNTAX, "\"%.64s\" is not an IP address", text);
}

bool netaddr_equal(const struct netaddr *a, const struct netaddr *b)
{
	return a->family == b->family && a->port == b->port && a->scope_id == b->scope_id &&
	       memcmp(a->ip, b->ip, ip_size(a)) == 0;
}

/* The IPv4 address inside ::ffff:0:0/96 (RFC 4291 section 2.5.5.2), or NULL. */
static const uint8_t *mapped_ip4(const struct netaddr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	return memcmp(a->ip, prefix, sizeof(prefix)) == 0 ? a->ip + sizeof(prefix) : NULL;
}

bool netaddr_is_loopback(const struct netaddr *a)
{
	static const uint8_t one[16] = {[15] = 1};
	const uint8_t *ip4 = a->family == NET_IP4 ? a->ip : mapped_ip4(a);

	return ip4 ? ip4[0] == 127 : memcmp(a->ip, one, sizeof(one)) == 0;
}

bool netaddr_is_unspecified(const struct netaddr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, ip_size(a)) == 0;
}

/* ---- time and chance ----------------------------------------------------------------------- */

struct instant world_now(struct world *w)
{
	return w->ops->now(w);
}

int64_t world_wall_ms(struct world *w)
{
	return w->ops->wall_ms(w);
}

void world_random(struct world *w, void *buf, size_t n)
{
	w->ops->random(w, buf, n);
}

uint64_t world_random_u64(struct world *w)
{
	uint8_t raw[8];

	world_random(w, raw, sizeof(raw));
	return get_u64be(raw);
}

/* ---- network ------------------------------------------------------------------------------- */

int world_tcp_listen(
    struct world *w, const struct netaddr *at, struct listener **out, struct err *err)
{
	return w->ops->tcp_listen(w, at, out, err);
}

int world_tcp_dial(struct world *w, const struct netaddr *to, struct stream **out, struct err *err)
{
	return w->ops->tcp_dial(w, NULL, to, out, err);
}

int world_tcp_dial_from(struct world *w, const struct netaddr *from, const struct netaddr *to,
    struct stream **out, struct err *err)
{
	INVARIANT(from->family == to->family);
	return w->ops->tcp_dial(w, from, to, out, err);
}

int world_unix_listen(struct world *w, const char *path, struct listener **out, struct err *err)
{
	return w->ops->unix_listen(w, path, out, err);
}

int world_unix_dial(struct world *w, const char *path, struct stream **out, struct err *err)
{
	return w->ops->unix_dial(w, path, out, err);
}

int listener_accept(struct listener *l, struct stream **out, struct netaddr *from, struct err *err)
{
	return l->ops->accept(l, out, from, err);
}

void listener_addr(const struct listener *l, struct netaddr *out)
{
	*out = l->addr;
}

void listener_close(struct listener *l)
{
	if (l)
		l->ops->close(l);
}

bool stream_netaddrs(const struct stream *s, struct netaddr *local, struct netaddr *remote)
{
	const struct tcp_stream *t = (const struct tcp_stream *)s;

	if (s->ops->kind != tcp_stream_kind)
		return false;
	*local = t->local;
	*remote = t->remote;
	return true;
}

int world_udp_open(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err)
{
	return w->ops->udp_open(w, at, group, ifindex, out, err);
}

int udp_send(struct udp *u, const struct netaddr *to, struct bytes data, struct err *err)
{
	return u->ops->send(u, to, data, err);
}

ssize_t udp_recv(struct udp *u, void *buf, size_t cap, struct netaddr *from, struct err *err)
{
	return u->ops->recv(u, buf, cap, from, err);
}

void udp_close(struct udp *u)
{
	if (u)
		u->ops->close(u);
}

int world_resolve(struct world *w, const char *name, int family, struct netaddr *out, size_t cap,
    size_t *n, struct err *err)
{
	return w->ops->resolve(w, name, family, out, cap, n, err);
}

int world_interfaces(struct world *w, struct netif *out, size_t cap, size_t *n, struct err *err)
{
	return w->ops->interfaces(w, out, cap, n, err);
}

/* ---- files --------------------------------------------------------------------------------- */

int file_read(struct world *w, const char *path, size_t max, struct buf *out, struct err *err)
{
	return w->ops->file_read(w, path, max, out, err);
}

int file_write(struct world *w, const char *path, struct bytes data, uint32_t mode, struct err *err)
{
	return w->ops->file_write(w, path, data, mode, err);
}

int file_stat(struct world *w, const char *path, struct file_info *out, struct err *err)
{
	return w->ops->file_stat(w, path, out, err);
}

int file_remove(struct world *w, const char *path, struct err *err)
{
	return w->ops->file_remove(w, path, err);
}

int file_tidy(struct world *w, const char *folder, struct err *err)
{
	return w->ops->file_tidy(w, folder, err);
}

int file_mkdirs(struct world *w, const char *path, uint32_t mode, struct err *err)
{
	return w->ops->file_mkdirs(w, path, mode, err);
}

int file_lock(struct world *w, const char *path, struct file_lock **out, struct err *err)
{
	return w->ops->file_lock(w, path, out, err);
}

const struct disk_ops *world_disk(const struct world *w)
{
	return w->ops->disk;
}

void file_unlock(struct file_lock *lock)
{
	if (lock)
		lock->unlock(lock);
}

/* ---- processes ----------------------------------------------------------------------------- */

int process_start(struct world *w, const char *const *argv, struct process **out, struct err *err)
{
	return w->ops->process_start(w, argv, out, err);
}

struct stream *process_stream(struct process *p)
{
	return p->ops->stream(p);
}

int process_wait(struct process *p, int *status, struct err *err)
{
	return p->ops->wait(p, status, err);
}

void process_kill(struct process *p)
{
	p->ops->kill(p);
}

int64_t process_id(const struct process *p)
{
	return p->id;
}

void process_close(struct process *p)
{
	if (p)
		p->ops->close(p);
}

const char *world_self_path(struct world *w)
{
	return w->ops->self_path(w);
}

const char *world_env(struct world *w, const char *name)
{
	return w->ops->env(w, name);
}
