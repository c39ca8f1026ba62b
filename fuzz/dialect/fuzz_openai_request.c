/* Chat completion requests: an accepted one, written and read again, is the same. */
#include "dialect/openai.h"

#include <stdlib.h>
#include <talloc.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_again(void *mem, const struct inference_request *req)
{
	struct buf once = BUF_INIT(64u << 20), twice = BUF_INIT(64u << 20);
	struct inference_request *back;

	if (openai_request_write(req, &once, NULL) != 0 ||
	    openai_request_parse(mem, buf_view(&once), &back, NULL) != 0 ||
	    openai_request_write(back, &twice, NULL) != 0 ||
	    !bytes_equal(buf_view(&once), buf_view(&twice)))
		abort();
	buf_free(&once);
	buf_free(&twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *mem = talloc_new(NULL);
	struct inference_request *req;
	struct err err = {0};
	int rc = openai_request_parse(mem, bytes_of(data, size), &req, &err);

	if (rc == 0)
		check_again(mem, req);
	else if (err.code != rc || err.text[0] == 0 || err_info(rc)->http_status != 400)
		abort();
	talloc_free(mem);
	return 0;
}
