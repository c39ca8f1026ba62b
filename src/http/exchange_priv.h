/* One request and its answer: what server.c (the connection) and exchange.c (what handlers call)
 * share. Lives on the stack of the connection's fiber. */
#ifndef HTTP_EXCHANGE_PRIV_H
#define HTTP_EXCHANGE_PRIV_H

#include "http/reader_priv.h"
#include "http/server.h"

/* A connection being served. */
struct http_server {
	struct http_reader in;
	struct http_parser parser;
	struct http_head head;
	struct buf out; /* head of the answer being built; memory is kept between requests */
	const struct http_service *service;
	void *arg;
	int64_t date_s; /* of `date`, Unix seconds */
	char date[HTTP_DATE_MAX];
	struct scope *idle; /* the scope in which it waits for a request, while it does */
	struct http_server *next_idle, **prev_idle;
};

enum http_answer {
	HTTP_ANSWER_NONE,   /* not begun */
	HTTP_ANSWER_HELD,   /* begun, the head waits in `out` */
	HTTP_ANSWER_BODY,   /* the head went out */
	HTTP_ANSWER_DONE,   /* complete */
	HTTP_ANSWER_BROKEN, /* a write failed */
};

#define HTTP_RESPONSE_HEAD_MAX (40u << 10) /* one that was read (HTTP_HEAD_MAX), and some more */
#define HTTP_WRITE_PIECE       (64u << 10)
/* What a handler left of a request's body is read and dropped up to this size, so that the
 * connection lives on; beyond, it is closed. */
#define HTTP_SKIP_MAX (64u << 10)

struct http_exchange {
	struct http_server *server;
	struct scope scope; /* the handler runs in it; a hang-up cancels it */
	struct buf headers; /* set by the handler before the answer */
	int header_rc;
	enum http_answer answer;
	bool chunked, to_close, no_body; /* the answer's framing */
	bool watching, hung_up;
	struct timer watch_timer; /* until the watch begins */
	struct sem turn;    /* of the writers: the handler, and the watch that asks who is there */
	struct bytes pulse; /* set by the handler */
	bool asked;         /* 100 Continue went out, or was not needed */
	bool close;         /* the connection ends after this exchange */
	bool dated;         /* the handler gave the Date */
	bool switched;      /* to another protocol: nothing of HTTP follows */
	struct duration patience; /* see http_exchange_patience; 0: the service's limits */
	int fail_status;          /* what a failed read of the body is answered with */
	uint64_t left;            /* bytes still owed of an answer of known length */
	uint64_t received;
	struct duration waited; /* for the body's bytes so far */
};

/* A deadline of the service or its default. */
struct duration http_limit(struct duration configured, int64_t default_ms);

/* An error answer, with a status other than that of why->code when `status` is not 0. */
int http_answer_error(
    struct http_exchange *x, int status, const struct err *why, struct err *err) WARN_UNUSED;

#endif
