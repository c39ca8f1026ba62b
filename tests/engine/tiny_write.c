/* tiny_write FOLDER: writes the generated models as files, for other tools and as fuzzing seeds. */
#include "tiny.h"

#include <stdio.h>

/* As small as each format allows. */
static const struct tiny_spec seeds[] = {
    {"seed-f32-yarn", GGML_F32, 4, 8, 1, 8, 2, 1, 0, 0, TINY_YARN, true, false, NULL},
    {"seed-f16-biases", GGML_F16, 4, 8, 2, 8, 2, 2, 6, 2, TINY_LINEAR, false, true, NULL},
    {"seed-bf16-factors", GGML_BF16, 4, 8, 1, 12, 2, 1, 0, 0, TINY_FACTORS, true, false, NULL},
    {"seed-q8_0", GGML_Q8_0, 4, 32, 1, 32, 2, 1, 0, 0, TINY_PLAIN, true, false, NULL},
    {"seed-q4_0", GGML_Q4_0, 4, 32, 1, 32, 2, 1, 0, 0, TINY_PLAIN, false, false, NULL},
    {"seed-q5_1", GGML_Q5_1, 4, 32, 1, 32, 2, 1, 0, 0, TINY_PLAIN, false, false, NULL},
};

static int write_model(const char *folder, const struct tiny_spec *spec)
{
	char path[4096];
	struct buf file;
	snprintf(path, sizeof path, "%s/%s.gguf", folder, spec->name);
	FILE *f = fopen(path, "wb");
	if (!f) {
		perror(path);
		return 1;
	}
	tiny_model(spec, &file);
	size_t wrote = fwrite(file.p, 1, file.n, f);
	int rc = fclose(f) != 0 || wrote != file.n;
	buf_free(&file);
	return rc;
}

int main(int argc, char **argv)
{
	int rc = argc != 2;
	if (rc)
		fprintf(stderr, "usage: tiny_write FOLDER\n");
	for (size_t i = 0; !rc && i < sizeof seeds / sizeof seeds[0]; i++)
		rc = write_model(argv[1], &seeds[i]);
	for (size_t i = 0; !rc && i < tiny_spec_count; i++)
		rc = write_model(argv[1], &tiny_specs[i]);
	return rc;
}
