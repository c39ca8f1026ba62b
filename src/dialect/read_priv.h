/* Reading requests, for every dialect: members of a JSON object with their types and ranges, each
 * named in its error; messages and their parts, gathered piece by piece. null means absent
 * everywhere, as clients send it so. */
#ifndef DIALECT_READ_PRIV_H
#define DIALECT_READ_PRIV_H

#include "dialect/inference.h"
#include "dialect/json.h"

/* A request being read. What is copied becomes a talloc child of `mem`, which is the request. */
struct reading {
	void *mem;
	struct inference_request *req; /* NULL: the request is of another kind */
	size_t messages_cap;
	struct err *err;
};

/* Reads the document, which must be an object, and makes the request; both are for reading_end,
 * on failure too. */
int reading_begin(struct reading *r, void *mem, struct bytes body, json_t **root, struct err *err);
/* With `rc` 0 hands the request over, else frees it. Returns rc. */
int reading_end(struct reading *r, json_t *root, int rc, struct inference_request **out);
/* What the texts of a document can amount to when joined. */
size_t reading_text_limit(struct bytes body);

/* Where in the document an object stands: "messages[0].content[2]". NULL is the document. */
struct place {
	char name[ERR_PARAM_MAX];
};
struct place place_of(const struct place *parent, const char *key);
struct place place_at(const struct place *parent, const char *key, size_t i);

/* Sets the error, with the parameter's name: the member `key` of `at`, or `at` itself (NULL). */
int reading_fail(struct reading *r, int code, const struct place *at, const char *key,
    const char *why, ...) PRINTF_LIKE(5, 6);
int reading_no_memory(struct reading *r);

/* A member that is there and not null, or NULL. */
json_t *json_member(const json_t *object, const char *key);
struct bytes json_text(const json_t *string);

enum presence {
	OPTIONAL, /* absent leaves *out alone */
	REQUIRED
};

int reading_copy(struct reading *r, struct bytes from, struct bytes *to);
/* A string member, copied with a NUL. */
int reading_string(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, char **out);
int reading_text(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, struct bytes *out);
/* Any value as compact JSON text. */
int reading_json(struct reading *r, const json_t *v, struct bytes *out);
/* A JSON Schema: an object of at most INFERENCE_SCHEMA_MAX bytes as JSON text. */
int reading_schema(struct reading *r, const json_t *o, const struct place *at, const char *key,
    enum presence presence, struct bytes *out);
/* Leave *has (which may be NULL) and *out alone when the member is absent. */
int reading_number(struct reading *r, const json_t *o, const struct place *at, const char *key,
    double min, double max, bool *has, double *out);
int reading_integer(struct reading *r, const json_t *o, const struct place *at, const char *key,
    int64_t min, int64_t max, bool *has, int64_t *out);
int reading_flag(
    struct reading *r, const json_t *o, const struct place *at, const char *key, bool *out);
/* A member that must be an array when it is there; *out is NULL when it is not. */
int reading_array(struct reading *r, const json_t *o, const struct place *at, const char *key,
    size_t max, const json_t **out);

/* The members "model", and a tool's or a tool choice's "name": within their limits. */
int reading_model(struct reading *r, const json_t *o, const char *key, char out[MODEL_ID_MAX]);
int reading_tool_name(struct reading *r, const json_t *o, const struct place *at, char **out);
/* An array of strings, or one string, of at most INFERENCE_STOPS_MAX. */
int reading_stops(struct reading *r, const json_t *o, const struct place *at, const char *key);
/* Room for so many tools. */
int reading_new_tools(struct reading *r, size_t n);

/* Another message at the end of the request's; *out is good until the next one. */
int reading_add_message(struct reading *r, const char *role, struct inference_message **out);
#define READING_CALLS_MAX 1024 /* calls of one message */

/* Another call at the end of a message's; *out as above. */
int reading_add_call(
    struct reading *r, struct inference_message *m, struct inference_tool_call **out);

/* The content of a message, gathered. Zero-initialised; ended by gathered, on failure too. */
struct gathering {
	struct reading *r;
	const char *between; /* put between texts */
	struct buf text;
	struct inference_part *parts;
	size_t n, cap;
	bool any_text, other; /* other: there are parts other than text */
};
void gather_begin(struct gathering *g, struct reading *r, const char *between, size_t limit);
int gather_text(struct gathering *g, struct bytes text);
/* An image by its URL: prefix and rest are joined. `detail` may be NULL. */
int gather_image(struct gathering *g, struct bytes prefix, struct bytes rest, const char *detail);
/* Moves what was gathered into the message and frees the rest. With `rc` not 0: only frees.
 * Returns rc, or what went wrong. */
int gathered(struct gathering *g, struct inference_message *m, int rc);

/* "image/png" and the like for base64 text that begins like such a picture, else NULL. */
const char *image_type_of_base64(struct bytes text);

#endif
