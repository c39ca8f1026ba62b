/* What a model writes is anybody's: a reply is taken apart alike wherever its pieces are cut, its
 * calls are JSON objects, and outside of calls not a byte is made up. The input is a byte of
 * options, one that says how long the pieces are, and the reply. */
#include "base/encode.h"
#include "engine/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct log {
	struct buf text;
	size_t plain; /* bytes of text and thoughts */
	int last;
};

static int note(void *arg, enum reply_part part, struct bytes text, struct bytes name)
{
	struct log *l = arg;
	if (part == REPLY_CALL) {
		json_t *v = json_loadb((const char *)text.p, text.n, JSON_REJECT_DUPLICATES, NULL);
		INVARIANT(json_is_object(v) && name.n > 0);
		json_decref(v);
	} else {
		INVARIANT(text.n > 0);
		l->plain += text.n;
	}
	if (part == REPLY_CALL || l->last != (int)part)
		buf_printf(&l->text, "[%d]", (int)part);
	l->last = part == REPLY_CALL ? -1 : (int)part;
	buf_bytes(&l->text, name);
	buf_bytes(&l->text, text);
	return 0;
}

static void take_apart(
    const struct reply_options *opt, struct bytes reply, size_t piece, struct log *log)
{
	struct reply_parser p;
	*log = (struct log){.text = BUF_INIT(1 << 22), .last = -1};
	reply_parser_init(&p, opt, note, log);
	for (size_t at = 0; at < reply.n; at += piece) {
		size_t n = reply.n - at < piece ? reply.n - at : piece;
		INVARIANT(reply_parser_push(&p, bytes_of(reply.p + at, n)) == 0);
	}
	INVARIANT(reply_parser_finish(&p) == 0);
	INVARIANT(log->plain <= reply.n);
	reply_parser_free(&p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct log whole, cut;
	if (size < 3 || utf8_valid_prefix(bytes_of(data + 2, size - 2)) != size - 2)
		return 0;
	struct reply_options opt = {.style = {.form = (enum tool_form)(data[0] % 6),
					.knows_tools = true,
					.thinks = data[0] & 32},
	    .calls = data[0] & 64,
	    .thinking = (data[0] & 160) == 160};
	struct bytes reply = bytes_of(data + 2, size - 2);
	take_apart(&opt, reply, reply.n, &whole);
	take_apart(&opt, reply, 1 + data[1] % 16, &cut);
	INVARIANT(bytes_equal(buf_view(&whole.text), buf_view(&cut.text)));
	buf_free(&whole.text);
	buf_free(&cut.text);
	return 0;
}
