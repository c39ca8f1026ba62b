/* Pairing as a state machine, against a side that says anything: the input is a run of attempts of
 * arbitrary messages to a host and to a guest. Neither ever believes somebody who does not know the
 * code, and a window never allows a fourth attempt. */
#include "cluster/cluster_priv.h"

#include <stdlib.h>
#include <string.h>

static void check(bool ok)
{
	if (!ok)
		abort();
}

static struct bytes take(struct cursor *c, size_t n)
{
	struct bytes out;
	static const uint8_t nothing[128];
	return cursor_take(c, n, &out) ? out : bytes_of(nothing, n);
}

static void host(struct cursor *in, const struct pair_channel *ch, struct pair_window *w)
{
	struct pair_run run;
	uint8_t reply[PAIR_REPLY_SIZE], verdict[PAIR_VERDICT_SIZE];
	uint8_t random[CPACE_RANDOM_SIZE] = {1};
	if (pair_window_state(w, (struct instant){0}) != WINDOW_OPEN)
		return;
	pair_window_attempt(w);
	check(w->wrong <= PAIR_WRONG_MAX);
	int rc =
	    pair_host_reply(&run, w->code, ch, take(in, PAIR_OFFER_SIZE).p, random, reply, NULL);
	check(rc == 0 || rc == E_PROTOCOL);
	if (rc)
		return;
	rc = pair_host_verdict(&run, take(in, CPACE_TAG_SIZE).p, verdict, NULL);
	check(rc == E_FORBIDDEN && verdict[0] == PAIR_WRONG);
	for (size_t i = 1; i < sizeof verdict; i++)
		check(verdict[i] == 0);
}

static void guest(struct cursor *in, const struct pair_channel *ch)
{
	struct pair_run run;
	uint8_t offer[PAIR_OFFER_SIZE], tag[CPACE_TAG_SIZE];
	uint8_t random[PAIR_NONCE_SIZE + CPACE_RANDOM_SIZE] = {2, [30] = 4};
	check(pair_guest_offer(&run, "271828", ch, random, offer, NULL) == 0);
	int rc = pair_guest_confirm(&run, take(in, PAIR_REPLY_SIZE).p, tag, NULL);
	if (rc == 0)
		rc = pair_guest_finish(&run, take(in, PAIR_VERDICT_SIZE).p, NULL);
	check(rc == E_PROTOCOL || rc == E_FORBIDDEN || rc == E_UNAVAILABLE || rc == E_BUSY);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct cursor in = cursor_of(bytes_of(data, size));
	struct pair_channel ch = {.guest = {.n = 2, .bytes = {0, 1}}, .host = {.n = 1}};
	struct pair_window w;
	uint8_t which;
	pair_window_open(&w, 271828, (struct instant){0});
	for (int i = 0; i < 8 && cursor_u8(&in, &which); i++) {
		if (which & 1)
			host(&in, &ch, &w);
		else
			guest(&in, &ch);
	}
	return 0;
}
