/* Everything that clients of the Ollama dialect post; the first byte says where. */
#include "dialect/ollama.h"

#include "codec_fuzz.h"

static void check_embed(void *mem, struct bytes in, bool old)
{
	struct embedding_request *req, *back;
	struct buf out = BUF_INIT(FUZZ_ROOM);
	struct err err = {0};
	const char *path;
	int rc = (old ? &ollama_embeddings : &ollama_embed)->parse(mem, in, &req, &err);

	if (parsed(rc, &err)) {
		hold(ollama_upstream.embed_request(req, &path, &out, NULL) == 0);
		hold(ollama_embed.parse(mem, buf_view(&out), &back, NULL) == 0);
		hold(back->n_inputs == req->n_inputs);
		for (size_t i = 0; i < req->n_inputs; i++)
			hold(bytes_equal(back->inputs[i], req->inputs[i]));
	}
	buf_free(&out);
}

static void check_prompt(void *mem, struct bytes in, bool chat)
{
	const struct dialect *d = chat ? &ollama_chat : &ollama_generate;
	struct inference_request *req;
	struct err err = {0};

	if (!parsed(d->parse(mem, in, &req, &err), &err))
		return;
	(void)ollama_is_load(req);
	/* a prompt for the template is asked for as a conversation */
	check_rounds(req->kind == INFERENCE_CHAT ? &ollama_chat : &ollama_generate,
	    &ollama_upstream, mem, req);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	void *mem = talloc_new(NULL);
	char model[MODEL_ID_MAX];
	struct err err = {0};

	if (size > 0) {
		struct bytes in = bytes_of(data + 1, size - 1);

		switch (data[0]) {
		case 'c':
		case 'g':
			check_prompt(mem, in, data[0] == 'c');
			break;
		case 'e':
		case 'o':
			check_embed(mem, in, data[0] == 'o');
			break;
		default:
			(void)parsed(ollama_show_parse(in, model, &err), &err);
		}
	}
	talloc_free(mem);
	return 0;
}
