/* AutoNAT without its streams. */
#include "p2p/autonat_priv.h"

#include "p2p/pb_priv.h"

#define FIELD_TYPE     1
#define FIELD_DIAL     2
#define FIELD_RESPONSE 3

#define TYPE_DIAL     0
#define TYPE_RESPONSE 1

#define DIAL_PEER  1
#define PEER_ID    1
#define PEER_ADDRS 2

#define RESPONSE_STATUS 1
#define RESPONSE_TEXT   2
#define RESPONSE_ADDR   3

/* ---- messages ------------------------------------------------------------------------------ */

/* The content of the message of `type`, which lies in `field`. */
static int open_message(
    struct bytes in, uint64_t type, uint32_t field, struct bytes *content, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct pb_field f;
	bool typed = false, found = false;
	int rc;

	if (in.n > AUTONAT_MESSAGE_MAX)
		return err_set(err, E_PROTOCOL, "an autonat message of %zu bytes", in.n);
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, FIELD_TYPE, PB_VARINT)) {
			typed = f.value == type;
		} else if (pb_is(&f, field, PB_BYTES)) {
			*content = f.data;
			found = true;
		}
	}
	if (rc == 0 && !(typed && found))
		rc = err_set(err, E_PROTOCOL, "an autonat message of another kind");
	return rc;
}

static int decode_peer(struct bytes in, struct autonat_dial *out, struct err *err)
{
	struct cursor c = cursor_of(in);
	struct multiaddr a;
	struct pb_field f;
	int rc;

	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, PEER_ID, PB_BYTES)) {
			if (peer_id_from_bytes(f.data, &out->peer, err) != 0)
				return E_PROTOCOL;
		} else if (pb_is(&f, PEER_ADDRS, PB_BYTES) &&
			   multiaddr_from_bytes(f.data, &a, NULL) == 0 &&
			   addr_list_add(&out->addrs, &a, AUTONAT_ADDRS_MAX) != 0) {
			return err_set(err, E_MEMORY, "no memory for an autonat message");
		}
	}
	return rc;
}

int autonat_dial_decode(struct bytes in, struct autonat_dial *out, struct err *err)
{
	struct bytes dial = {0};
	struct pb_field f;
	int rc = open_message(in, TYPE_DIAL, FIELD_DIAL, &dial, err);
	struct cursor c = cursor_of(dial);

	*out = (struct autonat_dial){0};
	if (rc != 0)
		return rc;
	while ((rc = pb_next(&c, &f, err)) > 0)
		if (pb_is(&f, DIAL_PEER, PB_BYTES) && (rc = decode_peer(f.data, out, err)) != 0)
			break;
	if (rc != 0)
		autonat_dial_free(out);
	return rc;
}

void autonat_dial_free(struct autonat_dial *m)
{
	addr_list_free(&m->addrs);
}

void autonat_dial_encode(const struct autonat_dial *m, struct buf *out)
{
	struct buf peer = BUF_INIT(AUTONAT_MESSAGE_MAX), dial = BUF_INIT(AUTONAT_MESSAGE_MAX);

	pb_put_bytes(&peer, PEER_ID, peer_id_bytes(&m->peer));
	for (size_t i = 0; i < m->addrs.n; i++)
		pb_put_bytes(&peer, PEER_ADDRS, multiaddr_bytes(&m->addrs.v[i]));
	pb_put_bytes(&dial, DIAL_PEER, buf_view(&peer));
	pb_put_varint(out, FIELD_TYPE, TYPE_DIAL);
	pb_put_bytes(out, FIELD_DIAL, buf_view(&dial));
	out->failed |= peer.failed || dial.failed;
	buf_free(&peer);
	buf_free(&dial);
}

int autonat_response_decode(struct bytes in, struct autonat_response *out, struct err *err)
{
	struct bytes content = {0};
	struct pb_field f;
	int rc = open_message(in, TYPE_RESPONSE, FIELD_RESPONSE, &content, err);
	struct cursor c = cursor_of(content);

	/* SPEC: OK is 0, and some leave it out. */
	*out = (struct autonat_response){.status = AUTONAT_OK};
	if (rc != 0)
		return rc;
	while ((rc = pb_next(&c, &f, err)) > 0) {
		if (pb_is(&f, RESPONSE_STATUS, PB_VARINT))
			out->status = f.value > UINT32_MAX ? UINT32_MAX : (uint32_t)f.value;
		else if (pb_is(&f, RESPONSE_ADDR, PB_BYTES) &&
			 multiaddr_from_bytes(f.data, &out->addr, NULL) != 0)
			out->addr.n = 0;
	}
	multiaddr_strip_peer(&out->addr);
	return rc;
}

void autonat_response_encode(const struct autonat_response *m, struct buf *out)
{
	struct buf inner = BUF_INIT(AUTONAT_MESSAGE_MAX);

	pb_put_varint(&inner, RESPONSE_STATUS, m->status);
	if (m->text)
		pb_put_bytes(&inner, RESPONSE_TEXT, bytes_str(m->text));
	if (m->addr.n > 0)
		pb_put_bytes(&inner, RESPONSE_ADDR, multiaddr_bytes(&m->addr));
	pb_put_varint(out, FIELD_TYPE, TYPE_RESPONSE);
	pb_put_bytes(out, FIELD_RESPONSE, buf_view(&inner));
	out->failed |= inner.failed;
	buf_free(&inner);
}

/* ---- the count ----------------------------------------------------------------------------- */

static size_t find_voter(const struct autonat_votes *v, const struct peer_id *peer)
{
	size_t i = 0;

	while (i < v->n && !peer_id_equal(&v->v[i].peer, peer))
		i++;
	return i;
}

struct instant autonat_voted(const struct autonat_votes *v, const struct peer_id *peer)
{
	size_t i = find_voter(v, peer);

	return i < v->n ? v->v[i].at : (struct instant){0};
}

static size_t oldest(const struct autonat_votes *v)
{
	size_t at = 0;

	for (size_t i = 1; i < v->n; i++)
		if (instant_before(v->v[i].at, v->v[at].at))
			at = i;
	return at;
}

void autonat_count(struct autonat_votes *v, struct instant now, unsigned *dialled, unsigned *failed)
{
	*dialled = *failed = 0;
	for (size_t i = v->n; i > 0; i--)
		if (instant_since(now, v->v[i - 1].at).ns >= duration_s(AUTONAT_VOTE_AGE_S).ns)
			v->v[i - 1] = v->v[--v->n];
	for (size_t i = 0; i < v->n; i++)
		*(v->v[i].dialled ? dialled : failed) += 1;
	/* Between two opinions, both of many, the larger one counts; equal ones change nothing. */
	if (*dialled > AUTONAT_AGREE && *dialled > *failed)
		v->reach = P2P_REACH_PUBLIC;
	else if (*failed > AUTONAT_AGREE && *failed > *dialled)
		v->reach = P2P_REACH_PRIVATE;
	else if (*dialled <= AUTONAT_AGREE && *failed <= AUTONAT_AGREE)
		v->reach = P2P_REACH_UNKNOWN;
}

void autonat_vote(
    struct autonat_votes *v, const struct peer_id *peer, bool dialled, struct instant now)
{
	size_t i = find_voter(v, peer);
	unsigned yes, no;

	if (i == v->n && v->n == AUTONAT_VOTERS_MAX)
		i = oldest(v);
	else if (i == v->n)
		v->n++;
	v->v[i].peer = *peer;
	v->v[i].at = now;
	v->v[i].dialled = dialled;
	autonat_count(v, now, &yes, &no);
}

/* ---- the server's rates -------------------------------------------------------------------- */

static size_t find_asker(const struct autonat_rate *r, const struct peer_id *peer)
{
	size_t i = 0;

	while (i < r->n_asked && !peer_id_equal(&r->asked[i].peer, peer))
		i++;
	return i;
}

bool autonat_admit(struct autonat_rate *r, const struct peer_id *peer, struct instant now)
{
	if (instant_since(now, r->began).ns >= duration_s(60).ns) {
		r->began = now;
		r->n_asked = 0;
		r->n = 0;
	}
	if (r->per_minute > 0 && r->n >= r->per_minute)
		return false;
	if (r->per_peer > 0) {
		size_t i = find_asker(r, peer);
		if (i == AUTONAT_ASKERS_MAX || (i < r->n_asked && r->asked[i].n >= r->per_peer))
			return false;
		if (i == r->n_asked) {
			r->asked[r->n_asked++].peer = *peer;
			r->asked[i].n = 0;
		}
		r->asked[i].n++;
	}
	r->n++;
	return true;
}

/* ---- whom to dial -------------------------------------------------------------------------- */

size_t autonat_targets(
    const struct addr_list *addrs, const struct netaddr *observed, struct netaddr *out, size_t cap)
{
	uint8_t ip[16] = {0};
	size_t n = 0, ip_n = observed->family == NET_IP4 ? 4 : 16;

	memcpy(ip, observed->ip, ip_n);
	for (size_t i = 0; i < addrs->n && n < cap; i++) {
		struct cursor c = cursor_of(multiaddr_bytes(&addrs->v[i]));
		struct multiaddr_part host = {0};
		struct multiaddr_tcp tcp;
		size_t k = 0;

		if (multiaddr_tcp(&addrs->v[i], &tcp, NULL) != 0 || tcp.port == 0 ||
		    !multiaddr_next(&c, &host) ||
		    host.code != (observed->family == NET_IP4 ? MA_IP4 : MA_IP6) ||
		    !bytes_equal(host.value, bytes_of(ip, ip_n)))
			continue;
		while (k < n && out[k].port != tcp.port)
			k++;
		if (k < n)
			continue;
		out[n] = *observed;
		out[n++].port = tcp.port;
	}
	return n;
}
