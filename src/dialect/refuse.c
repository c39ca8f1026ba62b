/* What some upstreams cannot say: see refuse_priv.h. */
#include "dialect/refuse_priv.h"

int refuse_parameters(
    const struct inference_request *req, unsigned what, const char *who, struct err *err)
{
	const struct inference_sampling *s = &req->sampling;
	const struct {
		enum refusal which;
		bool asked;
		const char *param;
	} table[] = {
	    {REFUSE_CHOICES, req->choices > 1, "n"},
	    {REFUSE_BIASES, req->n_biases > 0, "logit_bias"},
	    {REFUSE_LOGPROBS, req->logprobs, "logprobs"},
	    {REFUSE_PENALTIES, s->frequency_penalty != 0, "frequency_penalty"},
	    {REFUSE_PENALTIES, s->presence_penalty != 0, "presence_penalty"},
	    {REFUSE_PENALTIES, s->has_repeat_penalty && s->repeat_penalty != 1, "repeat_penalty"},
	    {REFUSE_MIN_P, s->has_min_p && s->min_p > 0, "min_p"},
	    {REFUSE_SEED, s->has_seed, "seed"},
	    {REFUSE_ANY_JSON, req->format == FORMAT_JSON, "response_format"},
	    {REFUSE_COMPLETION, req->kind == INFERENCE_COMPLETION, "prompt"},
	    {REFUSE_FORCED_TOOLS,
		req->tool_choice == TOOL_CHOICE_REQUIRED || req->tool_choice == TOOL_CHOICE_NAMED,
		"tool_choice"},
	    {REFUSE_ONE_CALL, req->n_tools > 0 && req->no_parallel_tool_calls,
		"parallel_tool_calls"},
	    {REFUSE_ECHO, req->echo, "echo"},
	};

	for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
		if ((what & table[i].which) && table[i].asked)
			return err_set_param(
			    err, E_UNSUPPORTED, table[i].param, "%s has no such parameter", who);
	return 0;
}
