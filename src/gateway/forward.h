/* Headers of messages that are passed on, from a client to a peer or from a peer to a service: what
 * goes on, what stays, what is added. SPEC RFC 9110, section 7.6 (hop-by-hop fields, Via); RFC 7239
 * (Forwarded). Pure, no I/O.
 *
 * What must stay true: framing is never copied (it is made anew from what was parsed); nobody
 * upstream can set, or through Connection remove, a header that this node vouches for; a name with
 * '_' for '-' counts as the same name, as it does to CGI and WSGI. */
#ifndef GATEWAY_FORWARD_H
#define GATEWAY_FORWARD_H

#include "http/message.h"

#define FORWARD_EXTRA_MAX   12  /* headers that are added */
#define FORWARD_HOST_MAX    256 /* of a client's Host, with its NUL; longer ones are not told */
#define FORWARD_UPGRADE_MAX 64  /* of an Upgrade header, with its NUL */
#define FORWARD_VIA_MAX     32
#define FORWARD_IP_MAX      64

/* Which of the two legs a message is about to take. */
enum forward_to {
	FORWARD_TO_NODE,
	FORWARD_TO_SERVICE
};

/* Texts are borrowed; they end up in the headers. */
struct forward_hop {
	enum forward_to to;
	const char *via;     /* this node's name in Via, see forward_via */
	const char *host;    /* the Host that the client used; "" unknown */
	const char *proto;   /* that it came by: "http" or "https" */
	const char *upgrade; /* the protocol asked for; "" for none */
	bool expect;         /* 100-continue is asked for */
	bool own_cors;       /* answers: this node says itself which pages may read them */
	const char *service; /* to a node: the service's name */
	const char *origin;  /* to a service: its own, "http://127.0.0.1:3000", … */
	const char *asker;   /* … who asks, as a node id; "" for this node's owner … */
	const char *ip;      /* … and from where; "" unknown */
};

struct forward_headers {
	struct http_header list[HTTP_FIELDS_MAX + FORWARD_EXTRA_MAX];
	size_t n;
	char via[FORWARD_VIA_MAX + 8];
	char forwarded[FORWARD_HOST_MAX + 160];
	char origin[FORWARD_HOST_MAX + 16];
	char location[HTTP_TARGET_MAX];
};

/* How a node is called in Via. `node_id` in hex. */
void forward_via(const char *node_id, char out[FORWARD_VIA_MAX]);
/* Whether a request has passed the node of this name already. */
bool forward_looped(const struct http_head *request, const char *via);

/* The protocol that a request asks to change to; "" for none, or for one that is passed over: with
 * a body before it, or to another version of HTTP, over which requests would go on unseen. */
void forward_upgrade(const struct http_head *request, char out[FORWARD_UPGRADE_MAX]);
/* Whether an answer of 101 agrees to what was asked for. */
bool forward_upgrade_agreed(const struct http_head *answer, const char *upgrade);

/* The headers of a request, and of an answer, for the next hop. Strings in `out` are borrowed from
 * `in` and `hop`, or are its own: *out must not be moved. */
void forward_request(
    const struct http_head *in, const struct forward_hop *hop, struct forward_headers *out);
void forward_answer(
    const struct http_head *in, const struct forward_hop *hop, struct forward_headers *out);

/* The Content-Length that an answer without a body tells all the same (to HEAD);
 * HTTP_LENGTH_CHUNKED when it tells none. */
int64_t forward_told_length(const struct http_head *answer);

#endif
