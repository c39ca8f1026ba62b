/* Identify messages, alone and merged, and the signed records in them. What was kept of a message
 * must survive being encoded and read again. */
#include "p2p/identify_priv.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(struct identify *id)
{
	struct buf out = BUF_INIT(1 << 20);
	struct identify again = {0}, update = {0};
	struct peer_record record;
	struct peer_id nobody = {0};

	INVARIANT(id->listen.n <= IDENTIFY_ADDRS_MAX && id->protocols_n <= IDENTIFY_PROTOCOLS_MAX);
	INVARIANT(identify_check(id, &nobody, NULL) <= 0);
	identify_encode(id, &out);
	INVARIANT(!out.failed);
	if (out.n <= IDENTIFY_MESSAGE_MAX) {
		INVARIANT(identify_add_message(&again, buf_view(&out), NULL) == 0);
		INVARIANT(again.protocols_n == id->protocols_n && again.listen.n == id->listen.n);
		INVARIANT(again.public_key_n == id->public_key_n && again.record.n == id->record.n);
		INVARIANT(strcmp(again.agent_version, id->agent_version) == 0);
		INVARIANT(identify_add_message(&update, buf_view(&out), NULL) == 0);
		identify_apply_push(&again, &update);
		INVARIANT(again.protocols_n == id->protocols_n);
	}
	if (peer_record_open(buf_view(&id->record), &record, NULL) == 0) {
		INVARIANT(record.peer.n > 0);
		peer_record_free(&record);
	}
	identify_free(&again);
	identify_free(&update);
	buf_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct identify id = {0};
	size_t half = size / 2;

	if (identify_add_message(&id, bytes_of(data, size), NULL) == 0)
		check(&id);
	if (half <= IDENTIFY_MESSAGE_MAX &&
	    identify_add_message(&id, bytes_of(data, half), NULL) == 0)
		check(&id);
	identify_free(&id);
	struct peer_record record;

	if (peer_record_open(bytes_of(data, size), &record, NULL) == 0)
		peer_record_free(&record);
	return 0;
}
