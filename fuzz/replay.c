/* Runs a fuzz target once over every file of the folders and files named on the command line: the
 * seed corpora as regression tests, in any build. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define INPUT_MAX (16u << 20)

static int replay_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	if (!f) {
		perror(path);
		return -1;
	}
	uint8_t *data = malloc(INPUT_MAX);
	size_t n = data ? fread(data, 1, INPUT_MAX, f) : 0;
	fclose(f);
	if (!data)
		return -1;
	/* An exact-size copy, so that AddressSanitizer sees a read past the end. */
	uint8_t *exact = malloc(n ? n : 1);
	if (exact) {
		memcpy(exact, data, n);
		LLVMFuzzerTestOneInput(exact, n);
	}
	free(exact);
	free(data);
	return 1;
}

static int replay_path(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0) {
		perror(path);
		return -1;
	}
	if (!S_ISDIR(st.st_mode))
		return replay_file(path);
	DIR *dir = opendir(path);
	if (!dir)
		return -1;
	int total = 0;
	struct dirent *entry;
	while (total >= 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		char child[4096];
		snprintf(child, sizeof child, "%s/%s", path, entry->d_name);
		int n = replay_file(child);
		total = n < 0 ? n : total + n;
	}
	closedir(dir);
	return total;
}

int main(int argc, char **argv)
{
	int total = 0;
	for (int i = 1; i < argc; i++) {
		int n = replay_path(argv[i]);
		if (n < 0)
			return 1;
		total += n;
	}
	if (total == 0) {
		fprintf(stderr, "no corpus files: nothing was tested\n");
		return 1;
	}
	printf("%d inputs\n", total);
	return 0;
}
