/* DCUtR without its streams. */
#include "p2p/dcutr_priv.h"

#include "p2p/pb_priv.h"

#define FIELD_TYPE 1
#define FIELD_ADDR 2

int dcutr_decode(struct bytes in, struct dcutr_message *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct multiaddr a;
	struct pb_field f;
	uint64_t type = 0;
	int rc;

	*out = (struct dcutr_message){0};
	if (in.n > DCUTR_MESSAGE_MAX)
		return err_set(err, E_PROTOCOL, "a DCUtR message of %zu bytes", in.n);
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, FIELD_TYPE, PB_VARINT)) {
			type = f.value;
		} else if (pb_is(&f, FIELD_ADDR, PB_BYTES) &&
			   multiaddr_from_bytes(f.data, &a, NULL) == 0 &&
			   addr_list_add(&out->addrs, &a, DCUTR_ADDRS_MAX) != 0) {
			rc = err_set(err, E_MEMORY, "no memory for a DCUtR message");
			break;
		}
	}
	if (rc == 0 && type != DCUTR_CONNECT && type != DCUTR_SYNC)
		rc = err_set(err, E_PROTOCOL, "a DCUtR message of an unknown type");
	if (rc != 0)
		dcutr_free(out);
	else
		out->type = (enum dcutr_type)type;
	return rc;
}

void dcutr_free(struct dcutr_message *m)
{
	addr_list_free(&m->addrs);
}

void dcutr_encode(const struct dcutr_message *m, struct buf *out)
{
	pb_put_varint(out, FIELD_TYPE, (uint64_t)m->type);
	for (size_t i = 0; i < m->addrs.n; i++)
		pb_put_bytes(out, FIELD_ADDR, multiaddr_bytes(&m->addrs.v[i]));
}

/* The IP address at the beginning; n 0 without one. */
static struct bytes ip_of(const struct multiaddr *a)
{
	struct cursor c = cursor_of(multiaddr_bytes(a));
	struct multiaddr_part part;

	if (!multiaddr_next(&c, &part) || (part.code != MA_IP4 && part.code != MA_IP6))
		return (struct bytes){0};
	return part.value;
}

static bool is_neighbour(struct bytes ip, const struct multiaddr *own, size_t n_own)
{
	for (size_t i = 0; i < n_own; i++) {
		struct bytes mine = ip_of(&own[i]);
		if (mine.n == ip.n && memcmp(mine.p, ip.p, 2) == 0)
			return true;
	}
	return false;
}

static bool within_reach(const struct multiaddr *a, const struct multiaddr *own, size_t n_own)
{
	enum multiaddr_reach reach = multiaddr_reach(a);
	struct bytes ip = ip_of(a);

	return ip.n > 0 && (reach == MA_REACH_PUBLIC ||
			       (reach == MA_REACH_PRIVATE && is_neighbour(ip, own, n_own)));
}

bool dcutr_worth(const struct multiaddr *theirs, const struct multiaddr *own, size_t n_own)
{
	return !multiaddr_is_relayed(theirs) &&
	       (multiaddr_reach(theirs) == MA_REACH_NAME || within_reach(theirs, own, n_own));
}

size_t dcutr_targets(const struct addr_list *theirs, const struct multiaddr *own, size_t n_own,
    struct netaddr *out, size_t cap)
{
	size_t n = 0;

	for (size_t i = 0; i < theirs->n && n < cap; i++) {
		const struct multiaddr *a = &theirs->v[i];
		struct bytes ip = ip_of(a);
		struct multiaddr_tcp tcp;
		struct netaddr to = {0};

		if (!within_reach(a, own, n_own) || multiaddr_tcp(a, &tcp, NULL) != 0 ||
		    tcp.port == 0)
			continue;
		to.family = ip.n == 4 ? NET_IP4 : NET_IP6;
		memcpy(to.ip, ip.p, ip.n);
		to.port = tcp.port;
		size_t k = 0;
		while (k < n && memcmp(&out[k], &to, sizeof to) != 0)
			k++;
		if (k == n)
			out[n++] = to;
	}
	return n;
}
