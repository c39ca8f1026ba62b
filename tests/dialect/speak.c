/* A server's two halves without a server: reads a request's body in the named dialect, answers a
 * fixed script in it, and says what it understood. For tests of clients with answers that a small
 * model does not give: thoughts, calls of tools.
 *
 *   dialect_speak NAME <body >answer
 *
 * The answer begins with a line of JSON, {"status","type","request"}; its body follows. When the
 * request has tools and does not end with their results, they are called, else text is the answer.
 */
#include "dialect/anthropic.h"
#include "dialect/ollama.h"
#include "dialect/openai.h"
#include "dialect/responses.h"

#include "codec_help.h"

#define ROOM (64u << 20)

static const struct dialect *const dialects[] = {
    &openai_chat, &openai_responses, &anthropic_messages, &ollama_chat, &ollama_generate};

static const struct inference_logprob likely[] = {
    {{(const uint8_t *)"It", 2}, -0.25, NULL, 0}, {{(const uint8_t *)"\xc3", 1}, -1.5, NULL, 0}};
static const struct inference_logprob first[] = {
    {{(const uint8_t *)"It", 2}, -0.25, likely, sizeof likely / sizeof *likely}};

struct speaking {
	struct dialect_writer *w;
	struct inference_result *result;
	struct buf out;
	bool stream;
};

static void say(struct speaking *s, const struct inference_event *e)
{
	s->w->now_us += 10000;
	assert_int_equal(inference_collect(s->result, e, NULL), 0);
	if (s->stream)
		s->w->dialect->event(s->w, e, &s->out);
}

static void say_text(struct speaking *s, enum inference_event_kind kind, const char *text)
{
	say(s, &(struct inference_event){.kind = kind, .text = bytes_str(text)});
}

static void call_tools(struct speaking *s, const char *tool)
{
	static const char *const pieces[] = {
	    "{\"city\": \"Z\xc3\xbc", "rich\"}", "{\"city\":\"Bern\"}"};

	say_text(s, INFERENCE_TEXT, "I ask. \xf0\x9f\x98\x80");
	say(s, &(struct inference_event){
		   .kind = INFERENCE_TOOL_CALL, .tool_id = "call_a", .tool_name = tool});
	for (unsigned i = 0; i < 2; i++)
		say(s, &(struct inference_event){
			   .kind = INFERENCE_TOOL_CALL, .text = bytes_str(pieces[i])});
	say(s, &(struct inference_event){.kind = INFERENCE_TOOL_CALL,
		   .tool_index = 1,
		   .tool_id = "call_b",
		   .tool_name = tool,
		   .text = bytes_str(pieces[2])});
	say(s,
	    &(struct inference_event){.kind = INFERENCE_CHOICE_END, .finish = FINISH_TOOL_CALLS});
}

static void answer(struct speaking *s, const struct inference_request *req)
{
	struct inference_event it = {
	    .kind = INFERENCE_TEXT, .text = bytes_str("It is 21\xc2\xb0 in ")};

	if (req->logprobs) {
		it.logprobs = first;
		it.n_logprobs = 1;
	}
	say(s, &it);
	say_text(s, INFERENCE_TEXT, "Z\xc3\xbcrich.");
	say(s, &(struct inference_event){.kind = INFERENCE_CHOICE_END, .finish = FINISH_STOP});
}

static void speak(struct speaking *s, const struct inference_request *req)
{
	const char *last = req->n_messages > 0 ? req->messages[req->n_messages - 1].role : "user";

	say(s, &(struct inference_event){.kind = INFERENCE_STARTED});
	if (strcmp(req->reasoning_effort, "none") != 0 && req->reasoning_effort[0])
		say_text(s, INFERENCE_REASONING, "Let me think \xe2\x80\xa6");
	if (req->n_tools > 0 && strcmp(last, "tool") != 0)
		call_tools(s, req->tools[0].name);
	else
		answer(s, req);
	say(s, &(struct inference_event){.kind = INFERENCE_FINISHED, .usage = {20, 10, 5, 3}});
	if (!s->stream)
		s->w->dialect->whole(s->w, s->result, &s->out);
}

static void print(int status, const char *type, struct bytes request, struct bytes body)
{
	struct buf head = BUF_INIT(ROOM);

	buf_printf(&head, "{\"status\":%d,\"type\":\"%s\",\"request\":", status, type);
	json_put_text(&head, request);
	buf_str(&head, "}\n");
	fwrite(head.p, 1, head.n, stdout);
	fwrite(body.p, 1, body.n, stdout);
	buf_free(&head);
}

static void serve(const struct dialect *d, struct bytes body)
{
	void *mem = talloc_new(NULL);
	struct inference_request *req = NULL;
	struct buf dump = BUF_INIT(ROOM);
	struct speaking s = {.out = BUF_INIT(ROOM)};
	struct err err = {0};
	int rc = d->parse(mem, body, &req, &err);

	if (rc != 0) {
		d->error(&err, &s.out);
		print(err_info(rc)->http_status, "application/json", bytes_of("", 0),
		    buf_view(&s.out));
	} else {
		dump_request(&dump, req);
		s.w = new_writer(mem, d, req);
		s.result = inference_result_new(mem, 1, ROOM);
		s.stream = req->stream;
		speak(&s, req);
		print(200, req->stream ? d->stream_type : "application/json", buf_view(&dump),
		    buf_view(&s.out));
	}
	buf_free(&dump);
	buf_free(&s.out);
	talloc_free(mem);
}

int main(int argc, char **argv)
{
	struct buf body = BUF_INIT(ROOM);
	char piece[4096];
	size_t n;

	while ((n = fread(piece, 1, sizeof piece, stdin)) > 0)
		buf_put(&body, piece, n);
	for (size_t i = 0; argc == 2 && i < sizeof dialects / sizeof *dialects; i++)
		if (strcmp(argv[1], dialects[i]->name) == 0) {
			serve(dialects[i], buf_view(&body));
			buf_free(&body);
			return 0;
		}
	buf_free(&body);
	fprintf(stderr, "usage: dialect_speak openai.chat|openai.responses|anthropic.messages|"
			"ollama.chat|ollama.generate\n");
	return 2;
}
