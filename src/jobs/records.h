/* Request records: for each request who asked, in which dialect, for which model, which candidates
 * there were and how they scored, what was tried, when what happened, how many tokens it took, what
 * it cost and how it ended. Prompts are never kept: their SHA-256 is.
 *
 * Records delay nobody: they are kept in memory, and a fiber writes what has ended to the store, a
 * batch at a time. A crash loses those of the last RECORDS_FLUSH_MS and of the write under way; a
 * store that fails or does not keep up loses records, and counts them.
 *
 * A record is begun, told what happens, and ended:
 *
 *   struct record *r = records_begin(book, &origin, id, "openai", model);
 *   record_prompt(r, req);
 *   record_candidates(r, decisions);
 *   unsigned a = record_attempt(r, label, provider, model);
 *   record_event(r); …                       each event of the answer: first and last count
 *   record_attempt_end(r, a, rc, err_text(&err));
 *   record_usage(r, &usage);
 *   records_end(book, r, rc, err_text(&err));
 *
 * All of these take NULL for a record (no memory, no book) and do nothing then. Loop thread; only
 * what is marked parks. */
#ifndef JOBS_RECORDS_H
#define JOBS_RECORDS_H

#include "provider/catalog.h"
#include "store/store.h"

struct records; /* the book */
struct record;  /* one that is open */

#define RECORD_ATTEMPTS_MAX   10
#define RECORD_CANDIDATES_MAX (64u << 10) /* bytes of JSON; longer ones are left out */
#define RECORD_TEXT_MAX       128         /* bytes of an error's text, with its NUL */
#define RECORD_NAME_MAX       96          /* of a source, an owner, a target */
#define RECORD_PROMPT_MAX     (1u << 20)  /* bytes of a prompt that are hashed */
#define RECORDS_KEPT          1000        /* ended ones in memory, at least as many as there are */
#define RECORDS_FLUSH_MS      500
#define RECORDS_BATCH         1024
#define RECORDS_PENDING_MAX   8192 /* ended and not yet written; more are lost */
#define RECORDS_PRUNE_S       60
#define RECORDS_PRUNE_BATCH   5000

struct records_options {
	struct world *world;
	struct store *store; /* NULL: in memory alone; else opened with records_schema */
	uint64_t keep_count; /* in the store; 0: none is written */
	int64_t keep_s;      /* how long */
};

extern const struct store_schema records_schema;

/* [parks] E_MEMORY, or the store's errors. */
int records_new(
    const struct records_options *opt, struct records **out, struct err *err) WARN_UNUSED;
/* [parks] Writes what has ended. No record may be open. */
void records_close(struct records *book);

/* ---- one record ---------------------------------------------------------------------------- */

/* How the asker came: what `name` is. */
enum record_source {
	RECORD_COMMAND, /* a command on the control socket; no name */
	RECORD_ADDRESS, /* a client without a key: its address */
	RECORD_KEY,     /* an API key: its name */
	RECORD_PEER     /* a peer: its id */
};

/* Texts are copied. `owner` says who may read the record, in access's words; "" nobody but this
 * node's owner. */
struct record_origin {
	enum record_source source;
	const char *name, *owner;
};

/* Begins one, now. `model` is as asked for. */
struct record *records_begin(struct records *book, const struct record_origin *origin,
    const char *id, const char *dialect, const char *model);
/* Keeps the hash of the messages or the prompt (of their first RECORD_PROMPT_MAX bytes). */
void record_prompt(struct record *r, const struct inference_request *req);
/* JSON text of all candidates with the terms of their scores: objects separated by commas, without
 * the brackets of a list. Copied; the last one stays. */
void record_candidates(struct record *r, struct bytes json);
/* A provider is asked: the first one ends the time in the queue. Which it is, for its end; more
 * than RECORD_ATTEMPTS_MAX are not told apart any more. */
unsigned record_attempt(
    struct record *r, const char *target, const char *provider, const char *model);
/* `code` 0 or an E_ code, with its text. */
void record_attempt_end(struct record *r, unsigned attempt, int code, const char *text);
void record_event(struct record *r);
void record_usage(struct record *r, const struct inference_usage *usage);
void record_cost(struct record *r, int64_t msat);
/* Ends it; the target is that of the last attempt that went well. The record is the book's. */
void records_end(struct records *book, struct record *r, int code, const char *text);

/* ---- reading ------------------------------------------------------------------------------- */

struct record_tried {
	char target[RECORD_NAME_MAX];   /* the node … */
	char provider[RECORD_NAME_MAX]; /* … and which of its own was asked, as it calls it */
	int64_t began_us, ended_us;     /* since the request was received; −1 not yet */
	int code;
	char text[RECORD_TEXT_MAX];
};

struct request_record {
	uint64_t seq; /* in the order of ending; 0: still open */
	char id[64];
	enum record_source source;
	char source_name[RECORD_NAME_MAX], owner[RECORD_NAME_MAX];
	char dialect[24];
	char model[MODEL_ID_MAX], served_model[MODEL_ID_MAX];
	char prompt_sha256[65]; /* "" not known */
	char target[RECORD_NAME_MAX];
	struct record_tried *tried; /* n_tried of them; never outlive the record */
	unsigned n_tried;
	char *candidates;    /* JSON, as told; NULL: none. Never outlives the record */
	int64_t received_ms; /* since the Unix epoch */
	/* Microseconds since then; −1: never. */
	int64_t started_us, first_us, last_us, ended_us;
	int64_t tokens_in, tokens_out; /* −1: unknown */
	int64_t cost_msat;
	int code; /* 0 or an E_ code */
	char text[RECORD_TEXT_MAX];
};

/* Must not park; an error ends the call that it is handed to. */
typedef int (*record_fn)(void *arg, const struct request_record *r, struct err *err);

/* [parks] The newest `limit` ones, newest first: those that are open, then those that ended. */
int records_list(
    struct records *book, size_t limit, record_fn fn, void *arg, struct err *err) WARN_UNUSED;
/* [parks] The latest with this id for which fn does not answer E_NOT_FOUND; ids are the clients' to
 * choose, so that several may have one. E_NOT_FOUND. */
int records_get(
    struct records *book, const char *id, record_fn fn, void *arg, struct err *err) WARN_UNUSED;
/* The last that has ended. */
uint64_t records_seq(const struct records *book);
/* [parks] Waits until some have ended after *seq, hands them over and sets *seq to the last. Who is
 * so slow that they are gone from memory misses them. */
int records_follow(
    struct records *book, uint64_t *seq, record_fn fn, void *arg, struct err *err) WARN_UNUSED;

struct records_stats {
	size_t open, pending;
	uint64_t ended, written, lost;
};
void records_stats(const struct records *book, struct records_stats *out);

/* As JSON for commands and clients; see docs/api.md. The caller's. NULL without memory. */
struct json_t;
struct json_t *record_json(const struct request_record *r);
const char *record_source_name(enum record_source source);

#endif
