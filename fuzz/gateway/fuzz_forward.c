/* Heads that are passed on, and exposures: whatever a parser lets through, the next hop's head has
 * no second framing, no forged word of ours, and nothing that is no header. The first byte chooses.
 */
#include "gateway/expose.h"
#include "gateway/forward.h"
#include "head_help.h"

#include <stdlib.h>
#include <strings.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static size_t count(const struct forward_headers *h, const char *name)
{
	size_t n = 0;
	for (size_t i = 0; i < h->n; i++)
		n += strcasecmp(h->list[i].name, name) == 0;
	return n;
}

static void check(const struct forward_headers *h, const struct forward_hop *hop, bool answer)
{
	INVARIANT(count(h, "transfer-encoding") == 0 && count(h, "content-length") == 0);
	INVARIANT(count(h, "keep-alive") == 0 && count(h, "te") == 0);
	if (answer) {
		INVARIANT(count(h, "connection") == 0 && count(h, "x-gate-node") == 0);
		return;
	}
	INVARIANT(count(h, "host") == 0);
	size_t upgrade = hop->upgrade[0] ? 1 : 0, node = hop->to == FORWARD_TO_SERVICE;
	INVARIANT(count(h, "connection") == upgrade && count(h, "upgrade") == upgrade);
	INVARIANT(count(h, "x-gate-node") == node && count(h, "x-forwarded-for") == node);
	INVARIANT(count(h, "x-gate-service") == !node && count(h, "x-target-node") == 0);
}

static void put_all(const struct forward_headers *h)
{
	struct buf text = BUF_INIT(2 * HTTP_HEAD_MAX);
	for (size_t i = 0; i < h->n; i++)
		if (http_put_header(&text, h->list[i].name, h->list[i].value, NULL) != 0)
			BUG("%s is no header", h->list[i].name);
	buf_free(&text);
}

static void pass_on(const struct http_head *head, enum forward_to to, bool answer)
{
	struct forward_headers *out = malloc(sizeof *out);
	char upgrade[FORWARD_UPGRADE_MAX] = "";
	struct forward_hop hop = {.to = to,
	    .via = "gate-0011223344556677",
	    .host = "127.0.0.1:9000",
	    .proto = "http",
	    .upgrade = upgrade,
	    .service = "web",
	    .origin = "http://127.0.0.1:3000",
	    .asker = "00ff",
	    .ip = "192.0.2.7"};
	if (!out)
		return;
	if (answer) {
		(void)forward_upgrade_agreed(head, "websocket, raw");
		(void)forward_told_length(head);
		forward_answer(head, &hop, out);
	} else {
		forward_upgrade(head, upgrade);
		(void)forward_looped(head, hop.via);
		forward_request(head, &hop, out);
	}
	check(out, &hop, answer);
	put_all(out);
	free(out);
}

static void fuzz_head(struct bytes in, enum forward_to to, bool answer)
{
	struct http_head head;
	head_of(&head, in);
	pass_on(&head, to, answer);
	http_head_free(&head);
}

static void fuzz_exposure(struct bytes in)
{
	struct exposure e;
	char text[EXPOSE_TEXT_MAX] = "";
	memcpy(text, in.p, in.n < sizeof text ? in.n : sizeof text - 1);
	if (expose_parse(text, &e, NULL) != 0)
		return;
	INVARIANT(expose_name_ok(e.name) && e.n_only <= EXPOSE_ONLY_MAX && !e.url.path[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2 || size > 65536)
		return 0;
	struct bytes in = bytes_of(data + 1, size - 1);
	if (data[0] % 5 == 4)
		fuzz_exposure(in);
	else
		fuzz_head(in, data[0] & 1 ? FORWARD_TO_SERVICE : FORWARD_TO_NODE, data[0] & 2);
	return 0;
}
