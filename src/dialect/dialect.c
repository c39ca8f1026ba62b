/* Making writers and readers: the same for every dialect. */
#include "dialect/dialect.h"

#include <talloc.h>

int dialect_writer_new(void *mem, const struct dialect *d, const struct dialect_answer *a,
    struct dialect_writer **out, struct err *err)
{
	struct dialect_writer *w = talloc_zero(mem, struct dialect_writer);
	int rc;

	if (!w)
		return err_set(err, E_MEMORY, "no memory for an answer");
	w->dialect = d;
	w->answer = a;
	w->now_us = a->began_us;
	rc = d->begin ? d->begin(w, err) : 0;
	if (rc != 0) {
		talloc_free(w);
		return rc;
	}
	*out = w;
	return 0;
}

int upstream_reader_new(void *mem, const struct upstream *u, const struct inference_request *req,
    inference_emit_fn emit, void *arg, struct upstream_reader **out, struct err *err)
{
	struct upstream_reader *r = talloc_zero(mem, struct upstream_reader);

	if (!r)
		return err_set(err, E_MEMORY, "no memory for an answer");
	r->upstream = u;
	r->emit = emit;
	r->arg = arg;
	r->req = req;
	*out = r;
	return 0;
}
