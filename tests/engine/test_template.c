/* Chat templates built like those of well-known model families, in our own words, and what a
 * conversation must become. */
#include "engine/template.h"

#include "engine/tokenizer.h"
#include "text_test.h"

#include <stdlib.h>

static const char CHATML[] =
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\\n' + "
    "m['content'] + '<|im_end|>' + '\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/* A default system text, and tools where given. */
static const char QWEN[] =
    "{%- if tools %}\n"
    "    {{- '<|im_start|>system\\n' }}\n"
    "    {%- if messages[0].role == 'system' %}\n"
    "        {{- messages[0].content }}\n"
    "    {%- else %}\n"
    "        {{- 'Be useful.' }}\n"
    "    {%- endif %}\n"
    "    {{- \"\\n\\n# Tools\\n<tools>\" }}\n"
    "    {%- for tool in tools %}\n"
    "        {{- \"\\n\" }}\n"
    "        {{- tool | tojson }}\n"
    "    {%- endfor %}\n"
    "    {{- \"\\n</tools><|im_end|>\\n\" }}\n"
    "{%- elif messages[0].role != 'system' %}\n"
    "    {{- '<|im_start|>system\\nBe useful.<|im_end|>\\n' }}\n"
    "{%- endif %}\n"
    "{%- for message in messages %}\n"
    "    {%- if message.role == 'assistant' and '</think>' in message.content %}\n"
    "        {%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}\n"
    "    {%- else %}\n"
    "        {%- set content = message.content %}\n"
    "    {%- endif %}\n"
    "    {%- if not (tools and loop.first and message.role == 'system') %}\n"
    "        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}\n"
    "    {%- endif %}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|im_start|>assistant\\n' }}\n"
    "{%- endif %}\n";

/* The system text goes into the first user turn; roles must alternate. */
static const char LLAMA2[] =
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}"
    "{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Roles must take turns: user, assistant, user') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}"
    "{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}"
    "{% endif %}{% endfor %}";

/* A date, content trimmed, one header a turn. */
static const char LLAMA3[] =
    "{{- bos_token }}\n"
    "{%- if not date_string is defined %}\n"
    "    {%- if strftime_now is defined %}\n"
    "        {%- set date_string = strftime_now('%d %b %Y') %}\n"
    "    {%- else %}\n"
    "        {%- set date_string = 'unknown' %}\n"
    "    {%- endif %}\n"
    "{%- endif %}\n"
    "{{- '<|start_header_id|>system<|end_header_id|>\\n\\nToday: ' + date_string + '<|eot_id|>' "
    "}}\n"
    "{%- for message in messages %}\n"
    "    {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' + "
    "message['content'] | trim + '<|eot_id|>' }}\n"
    "{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n"
    "    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n"
    "{%- endif %}\n";

/* Another name for the assistant, no system role. */
static const char GEMMA[] =
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('No system role') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'assistant') %}"
    "{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\\n' + message['content'] | trim + '<end_of_turn>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\\n'}}{% endif %}";

/* A line for each tag: blanks and newlines around blocks must vanish. */
static const char ZEPHYR[] = "{% for message in messages %}\n"
			     "{% if message['role'] == 'user' %}\n"
			     "{{ '<|user|>\\n' + message['content'] + eos_token }}\n"
			     "{% elif message['role'] == 'system' %}\n"
			     "{{ '<|system|>\\n' + message['content'] + eos_token }}\n"
			     "{% elif message['role'] == 'assistant' %}\n"
			     "{{ '<|assistant|>\\n'  + message['content'] + eos_token }}\n"
			     "{% endif %}\n"
			     "{% if loop.last and add_generation_prompt %}\n"
			     "{{ '<|assistant|>' }}\n"
			     "{% endif %}\n"
			     "{% endfor %}\n";

static const struct chat_message TALK[] = {
    {{(const uint8_t *)"system", 6}, {(const uint8_t *)"Be brief.", 9}},
    {{(const uint8_t *)"user", 4}, {(const uint8_t *)" Hi! ", 5}},
    {{(const uint8_t *)"assistant", 9}, {(const uint8_t *)"<think>?</think>\n\nHello.", 24}},
    {{(const uint8_t *)"user", 4}, {(const uint8_t *)"Bye", 3}},
};

static struct chat_options plain_options(void)
{
	return (struct chat_options){.add_generation_prompt = true,
	    .bos = bytes_str("<s>"),
	    .eos = bytes_str("</s>"),
	    .now_s = 1700000000};
}

static void check(const char *source, size_t from, size_t n, const char *want)
{
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	struct err err = {0};
	bool fell_back;
	assert_int_equal(chat_template_new(bytes_str(source), &t, &err), 0);
	assert_string_equal(chat_template_warning(t), "");
	int rc = chat_template_render(t, TALK + from, n, &options, &out, &fell_back, &err);
	if (rc)
		print_error("%s\n", err.text);
	assert_int_equal(rc, 0);
	assert_false(fell_back);
	assert_string_equal(buf_cstr(&out), want);
	chat_template_free(t);
	buf_free(&out);
}

static void families_get_their_text(void **state)
{
	(void)state;
	check(CHATML, 1, 1, "<|im_start|>user\n Hi! <|im_end|>\n<|im_start|>assistant\n");
	check(QWEN, 1, 3,
	    "<|im_start|>system\nBe useful.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n"
	    "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n"
	    "<|im_start|>assistant\n");
	check(QWEN, 0, 2,
	    "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n Hi! <|im_end|>\n"
	    "<|im_start|>assistant\n");
	check(LLAMA2, 0, 4,
	    "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\n Hi! [/INST] <think>?</think>\n\nHello. </s>"
	    "<s>[INST] Bye [/INST]");
	check(LLAMA3, 1, 1,
	    "<s><|start_header_id|>system<|end_header_id|>\n\nToday: 14 Nov 2023<|eot_id|>"
	    "<|start_header_id|>user<|end_header_id|>\n\nHi!<|eot_id|>"
	    "<|start_header_id|>assistant<|end_header_id|>\n\n");
	check(GEMMA, 1, 2,
	    "<s><start_of_turn>user\nHi!<end_of_turn>\n<start_of_turn>model\n<think>?</think>\n\n"
	    "Hello.<end_of_turn>\n<start_of_turn>model\n");
	check(ZEPHYR, 0, 2, "<|system|>\nBe brief.</s>\n<|user|>\n Hi! </s>\n<|assistant|>\n");
}

static void a_template_may_refuse(void **state)
{
	(void)state;
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	struct err err = {0};
	bool fell_back = true;
	assert_int_equal(chat_template_new(bytes_str(GEMMA), &t, NULL), 0);
	assert_int_equal(
	    chat_template_render(t, TALK, 4, &options, &out, &fell_back, &err), E_INVALID);
	assert_string_equal(err.text, "No system role");
	assert_false(fell_back);
	assert_int_equal(out.n, 0);
	assert_int_equal(chat_template_render(t, TALK, 0, &options, &out, NULL, &err), E_INVALID);
	chat_template_free(t);
	buf_free(&out);
}

static void chatml_stands_in(void **state)
{
	(void)state;
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	bool fell_back = false;
	assert_int_equal(chat_template_new(bytes_str("{{ 1 | frobnicate }}"), &t, NULL), 0);
	assert_int_equal(chat_template_render(t, TALK + 1, 1, &options, &out, &fell_back, NULL), 0);
	assert_true(fell_back);
	assert_string_equal(
	    buf_cstr(&out), "<|im_start|>user\n Hi! <|im_end|>\n<|im_start|>assistant\n");
	chat_template_free(t);
	buf_free(&out);
}

static void check_file(const char *source, const char *warning)
{
	struct vocab_writer w;
	struct chat_template *t;
	struct gguf *g;
	vocab_writer_init(&w);
	if (source)
		vocab_put_str(&w, "tokenizer.chat_template", source);
	struct buf file = vocab_writer_finish(&w);
	assert_int_equal(gguf_open_memory(buf_view(&file), &g, NULL), 0);
	assert_int_equal(chat_template_of_file(g, &t, NULL), 0);
	if (*warning)
		assert_non_null(strstr(chat_template_warning(t), warning));
	else
		assert_string_equal(chat_template_warning(t), "");
	chat_template_free(t);
	gguf_close(g);
	buf_free(&file);
}

static void files_without_a_template_get_chatml(void **state)
{
	(void)state;
	check_file(NULL, "no chat template");
	check_file("{% if %}", "line 1");
	check_file(CHATML, "");
}

static void json_messages_and_tools(void **state)
{
	(void)state;
	json_t *messages = json_loads("[{\"role\":\"user\",\"content\":\"2+2?\",\"name\":\"x\"}]",
	    JSON_REJECT_DUPLICATES, NULL);
	json_t *extra =
	    json_loads("{\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"add\"}}]}",
		JSON_REJECT_DUPLICATES, NULL);
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	options.extra = extra;
	assert_int_equal(chat_template_new(bytes_str(QWEN), &t, NULL), 0);
	assert_int_equal(chat_template_render_json(t, messages, &options, &out, NULL, NULL), 0);
	assert_string_equal(buf_cstr(&out),
	    "<|im_start|>system\nBe useful.\n\n# Tools\n<tools>\n"
	    "{\"type\": \"function\", \"function\": {\"name\": \"add\"}}\n</tools><|im_end|>\n"
	    "<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n");
	json_t *bad = json_loads("[{\"content\":\"x\"}]", JSON_REJECT_DUPLICATES, NULL);
	assert_int_equal(chat_template_render_json(t, bad, &options, &out, NULL, NULL), E_INVALID);
	json_decref(bad);
	json_decref(messages);
	json_decref(extra);
	chat_template_free(t);
	buf_free(&out);
}

static void content_parts_reach_chatml(void **state)
{
	(void)state;
	json_t *messages =
	    json_loads("[{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},"
		       "{\"type\":\"image\"},{\"type\":\"text\",\"text\":\"b\"}]},"
		       "{\"role\":\"assistant\",\"content\":null}]",
		JSON_REJECT_DUPLICATES, NULL);
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	bool fell_back;
	assert_int_equal(chat_template_new(bytes_str("{{ nope() }}"), &t, NULL), 0);
	assert_int_equal(
	    chat_template_render_json(t, messages, &options, &out, &fell_back, NULL), 0);
	assert_true(fell_back);
	assert_string_equal(buf_cstr(&out),
	    "<|im_start|>user\nab<|im_end|>\n"
	    "<|im_start|>assistant\n<|im_end|>\n<|im_start|>assistant\n");
	json_decref(messages);
	chat_template_free(t);
	buf_free(&out);
}

static void ill_formed_content_is_mended(void **state)
{
	(void)state;
	const struct chat_message m = {bytes_str("user"), bytes_of("a\xff\0b", 4)};
	struct chat_template *t;
	struct chat_options options = plain_options();
	struct buf out = BUF_INIT(10000);
	assert_int_equal(chat_template_new(bytes_str("{{ messages[0].content }}"), &t, NULL), 0);
	assert_int_equal(chat_template_render(t, &m, 1, &options, &out, NULL, NULL), 0);
	assert_true(bytes_equal(buf_view(&out), bytes_of("a\xef\xbf\xbd\0b", 6)));
	chat_template_free(t);
	buf_free(&out);
}

static void options_come_from_the_tokenizer(void **state)
{
	(void)state;
	struct tiny_vocab v = tiny_spm();
	struct tokenizer *t;
	assert_int_equal(tokenizer_new(v.file, &t, NULL), 0);
	struct chat_options o = chat_options_for(t, 5);
	assert_true(bytes_equal(o.bos, bytes_str("<s>")));
	assert_true(bytes_equal(o.eos, bytes_str("</s>")));
	assert_true(o.add_generation_prompt);
	tokenizer_free(t);
	tiny_vocab_free(&v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(families_get_their_text),
	    cmocka_unit_test(a_template_may_refuse),
	    cmocka_unit_test(chatml_stands_in),
	    cmocka_unit_test(files_without_a_template_get_chatml),
	    cmocka_unit_test(json_messages_and_tools),
	    cmocka_unit_test(content_parts_reach_chatml),
	    cmocka_unit_test(ill_formed_content_is_mended),
	    cmocka_unit_test(options_come_from_the_tokenizer),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
