/* The engine's process: maps the model file, locks itself in, serves. */
#include "provider/engine_main.h"

#include "provider/embedded_model.h"
#include "provider/engine_sandbox.h"
#include "provider/gguf_backend.h"
#include "rt/world_uv.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIPE_FD 3

struct engine_process {
	struct world *world;
	struct gguf_backend_options opt;
	struct err
	    map_error; /* why the file cannot be mapped: told to the node, not to stderr alone */
	int status;
};

static int map_file(const char *path, struct bytes *out, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, errno, "%s", path);
	struct stat st;
	int rc = 0;
	if (fstat(fd, &st) != 0)
		rc = err_errno(err, errno, "%s", path);
	else if (!S_ISREG(st.st_mode))
		rc = err_set(err, E_FORMAT, "%s: not a file", path);
	else if (st.st_size == 0)
		rc = err_set(err, E_FORMAT, "%s: empty", path);
	if (rc == 0) {
		void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
		if (p == MAP_FAILED)
			rc = err_errno(err, errno, "%s: cannot map", path);
		else
			*out = bytes_of(p, (size_t)st.st_size);
	}
	close(fd);
	return rc;
}

static int find_model(struct engine_process *p, struct err *err)
{
	if (strcmp(p->opt.path, EMBEDDED_MODEL) != 0)
		return map_file(p->opt.path, &p->opt.file, err);
	p->opt.file = embedded_model();
	p->opt.path = EMBEDDED_MODEL_ID;
	return 0;
}

static int unmapped_ready(void *arg, struct model_entry *out, struct err *err)
{
	(void)out;
	struct engine_process *p = arg;
	return err_set(err, p->map_error.code, "%s", err_text(&p->map_error));
}

static int unmapped_infer(void *arg, const struct inference_request *req, inference_emit_fn emit,
    void *emit_arg, struct err *err)
{
	(void)req;
	(void)emit;
	(void)emit_arg;
	return unmapped_ready(arg, NULL, err);
}

static void serve(struct engine_process *p, struct stream *s)
{
	struct engine_backend backend = {
	    .ready = unmapped_ready, .infer = unmapped_infer, .arg = p};
	struct gguf_backend *gguf = NULL;
	struct err err = {0};
	if (p->map_error.code == 0) {
		if (gguf_backend_new(&p->opt, &gguf, &err) != 0) {
			fprintf(stderr, "%s\n", err_text(&err));
			stream_close(s);
			p->status = 1;
			return;
		}
		backend = gguf_backend_interface(gguf);
	}
	engine_serve(p->world, s, &backend, &err);
	gguf_backend_free(gguf);
}

static void write_log(void *arg, enum log_level level, const char *line, size_t n)
{
	(void)arg;
	(void)level;
	fprintf(stderr, "%.*s\n", (int)n, line);
}

static int64_t wall_clock(void *arg)
{
	return world_wall_ms(arg);
}

static void main_fiber(void *arg)
{
	struct engine_process *p = arg;
	struct err err = {0};
	struct stream *s;
	if (world_uv_stream(p->world, PIPE_FD, "node", &s, &err) != 0) {
		fprintf(stderr, "gate engine: %s\n", err_text(&err));
		p->status = 1;
		return;
	}
	serve(p, s);
}

static int parse(int argc, char **argv, struct engine_process *p, struct err *err)
{
	static const struct option options[] = {
	    {"model", required_argument, NULL, 'm'},
	    {"kernels", required_argument, NULL, 'k'},
	    {"threads", required_argument, NULL, 't'},
	    {"ctx", required_argument, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	int rc = 0, c;
	while (rc == 0 && (c = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (c == 'm')
			p->opt.path = optarg;
		else if (c == 'k')
			rc = engine_kernel_choice_parse(optarg, &p->opt.engine.kernels, err);
		else if (c == 't')
			p->opt.engine.threads = (unsigned)strtoul(optarg, NULL, 10);
		else if (c == 'c')
			p->opt.n_ctx = (uint32_t)strtoul(optarg, NULL, 10);
		else
			rc = err_set(err, E_INVALID, "unknown option");
	}
	if (rc == 0 && !p->opt.path)
		rc = err_set(err, E_INVALID, "--model is missing");
	return rc;
}

int engine_main(int argc, char **argv)
{
	struct engine_process p = {.status = 0};
	struct err err = {0};
	struct stat st;
	int rc = parse(argc, argv, &p, &err);
	if (rc == 0 && (fstat(PIPE_FD, &st) != 0 || !S_ISSOCK(st.st_mode)))
		rc = err_set(&err, E_INVALID, "this is started by a node, not by hand");
	if (rc) {
		fprintf(stderr, "gate engine: %s\n", err_text(&err));
		return 2;
	}
	/* A terminal or a supervisor signals the whole group; the node decides, and its end is
	 * ours. */
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	p.map_error.code = find_model(&p, &p.map_error);
	rc = world_uv_new(&p.world, &err);
	if (rc == 0)
		rc = engine_sandbox(&err);
	if (rc) {
		fprintf(stderr, "gate engine: %s\n", err_text(&err));
		return 1;
	}
	p.opt.world = p.world;
	struct log *log = log_new("", LOG_INFO, LOG_TEXT, write_log, NULL, wall_clock, p.world);
	rc = rt_start(p.world->rt, "engine", log, main_fiber, &p, &err);
	if (rc == 0)
		rt_run(p.world->rt);
	world_uv_free(p.world);
	log_free(log);
	return rc ? 1 : p.status;
}
