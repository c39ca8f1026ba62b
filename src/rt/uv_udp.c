/* Datagram sockets of the real world, with multicast for local discovery. */
#include "rt/uv_priv.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MULTICAST_TTL 255

struct uv_udp {
	struct udp udp;
	struct watch watch;
	int fd;
};

static int udp_failed(const char *what, struct err *err)
{
	return err_errno(err, errno, "%s", what);
}

static int send_datagram(
    struct udp *base, const struct netaddr *to, struct bytes data, struct err *err)
{
	struct uv_udp *u = (struct uv_udp *)base;
	struct sockaddr_storage ss;
	socklen_t n;
	netaddr_to_sockaddr(to, &ss, &n);
	for (;;) {
		int rc = scope_check(err);
		if (rc)
			return rc;
		if (sendto(u->fd, data.p, data.n, MSG_NOSIGNAL, (struct sockaddr *)&ss, n) >= 0)
			return 0;
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if ((rc = watch_wait(&u->watch, UV_WRITABLE, err)))
				return rc;
		} else if (errno != EINTR) {
			return udp_failed("send a datagram", err);
		}
	}
}

static ssize_t recv_datagram(
    struct udp *base, void *buf, size_t cap, struct netaddr *from, struct err *err)
{
	struct uv_udp *u = (struct uv_udp *)base;
	for (;;) {
		int rc = scope_check(err);
		if (rc)
			return rc;
		struct sockaddr_storage ss;
		socklen_t n = sizeof ss;
		ssize_t got = recvfrom(u->fd, buf, cap, 0, (struct sockaddr *)&ss, &n);
		if (got >= 0) {
			if (from)
				netaddr_from_sockaddr((struct sockaddr *)&ss, from);
			return got;
		}
		if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if ((rc = watch_wait(&u->watch, UV_READABLE, err)))
				return rc;
		} else if (errno != EINTR && errno != ECONNREFUSED) {
			return udp_failed("receive a datagram", err);
		}
	}
}

static void udp_freed(struct watch *w)
{
	free((char *)w - offsetof(struct uv_udp, watch));
}

static void close_udp(struct udp *base)
{
	struct uv_udp *u = (struct uv_udp *)base;
	watch_close(&u->watch);
	close(u->fd);
}

static const struct udp_ops uv_udp_ops = {
    .send = send_datagram,
    .recv = recv_datagram,
    .close = close_udp,
};

static int join_ip4(int fd, const struct netaddr *group, uint32_t ifindex)
{
	struct ip_mreqn req = {.imr_ifindex = (int)ifindex};
	memcpy(&req.imr_multiaddr, group->ip, 4);
	int ttl = MULTICAST_TTL, loop = 1;
	return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof req) |
	       setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &req, sizeof req) |
	       setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, &ttl, sizeof ttl) |
	       setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, &loop, sizeof loop);
}

static int join_ip6(int fd, const struct netaddr *group, uint32_t ifindex)
{
	struct ipv6_mreq req = {.ipv6mr_interface = ifindex};
	memcpy(&req.ipv6mr_multiaddr, group->ip, 16);
	int hops = MULTICAST_TTL, loop = 1;
	return setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, &req, sizeof req) |
	       setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, &ifindex, sizeof ifindex) |
	       setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, &hops, sizeof hops) |
	       setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &loop, sizeof loop);
}

static int udp_setup(int fd, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct err *err)
{
	int on = 1;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
	if (at->family == NET_IP6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
	struct sockaddr_storage ss;
	socklen_t n;
	netaddr_to_sockaddr(at, &ss, &n);
	if (bind(fd, (struct sockaddr *)&ss, n) != 0)
		return udp_failed("bind a datagram socket", err);
	if (!group)
		return 0;
	int failed =
	    group->family == NET_IP4 ? join_ip4(fd, group, ifindex) : join_ip6(fd, group, ifindex);
	return failed ? udp_failed("join a multicast group", err) : 0;
}

int uv_udp_open_at(struct world *w, const struct netaddr *at, const struct netaddr *group,
    uint32_t ifindex, struct udp **out, struct err *err)
{
	int family = at->family == NET_IP4 ? AF_INET : AF_INET6;
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return udp_failed("make a datagram socket", err);
	struct uv_udp *u = calloc(1, sizeof *u);
	int rc = u ? udp_setup(fd, at, group, ifindex, err)
		   : err_set(err, E_MEMORY, "no memory for a datagram socket");
	if (rc == 0)
		rc = watch_init(&u->watch, &world_uv_of(w)->loop, fd, udp_freed, err);
	if (rc) {
		close(fd);
		free(u);
		return rc;
	}
	u->udp.ops = &uv_udp_ops;
	u->fd = fd;
	*out = &u->udp;
	return 0;
}
