/* Chat templates are untrusted: whatever the source, parsing and rendering end within their bounds.
 * The input is a template; it renders a fixed conversation with tools. What comes out is valid
 * UTF-8 when the template was. */
#include "base/encode.h"
#include "engine/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char GLOBALS[] =
    "{\"messages\":[{\"role\":\"system\",\"content\":\"Be brief.\"},"
    "{\"role\":\"user\",\"content\":\" h\\u00e9llo \\ud83e\\udd99 \"},"
    "{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[{\"id\":\"a\",\"function\":"
    "{\"name\":\"f\",\"arguments\":{\"x\":1}}}]},"
    "{\"role\":\"tool\",\"content\":\"[1, 2.5]\"},"
    "{\"role\":\"user\",\"content\":[{\"type\":\"text\",\"text\":\"a\"},{\"type\":\"image\"}]}],"
    "\"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],"
    "\"bos_token\":\"<s>\",\"eos_token\":\"</s>\",\"add_generation_prompt\":true,"
    "\"n\":null,\"i\":7,\"f\":2.5,\"l\":[3,1,2]}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static json_t *globals;
	struct jinja_program *p;
	struct buf out = BUF_INIT(JINJA_OUTPUT_MAX);
	if (!globals)
		globals = json_loads(GLOBALS, JSON_REJECT_DUPLICATES, NULL);
	INVARIANT(globals);
	struct bytes source = bytes_of(data, size);
	if (jinja_parse(source, &p, NULL))
		return 0;
	int rc = jinja_render(p, globals, 1700000000, &out, NULL);
	INVARIANT(rc == 0 || out.n == 0);
	if (utf8_valid_prefix(source) == size)
		INVARIANT(utf8_valid_prefix(buf_view(&out)) == out.n);
	jinja_free(p);
	buf_free(&out);
	return 0;
}
