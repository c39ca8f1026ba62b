/* The account of one connection with the host's resources: what it holds of them, what is refused
 * to it, and who gives way for it. Functions that get no account (NULL, or one that is closed)
 * allow everything and count nothing: sessions that have no peer. */
#ifndef P2P_ACCOUNTS_PRIV_H
#define P2P_ACCOUNTS_PRIV_H

#include "p2p/resources_priv.h"

#include <stddef.h>

struct ystream;

struct account {
	struct resources *resources; /* NULL: closed */
	struct res_peer *peer;
	bool place;           /* one of RES_CONNS is taken */
	bool carried;         /* by another connection of ours, which pays for the bytes */
	uint32_t streams;     /* inbound ones that are counted */
	struct res_list open; /* all of them, by when bytes moved last */
	uint64_t memory;
	struct res_idle idle;    /* a stranger's, inbound, without streams */
	struct res_idle of_peer; /* in peer->accounts */
};

/* Takes a place when `inbound`. E_LIMIT, said which: then it is closed. */
int account_open(struct account *a, struct resources *r, struct res_peer *peer, bool inbound,
    bool carried, struct err *err) WARN_UNUSED;
/* Gives back whatever is left. Repeats do nothing. */
void account_close(struct account *a);
/* The place alone: the connection is about to end. */
void account_give_place(struct account *a);
/* After its peer's class has changed: what is a stranger's can give way. */
void account_settle(struct account *a);

/* A stream begins or ends. Inbound ones may be refused: E_LIMIT, said why. */
int account_stream_begin(struct account *a, struct ystream *ys, struct err *err) WARN_UNUSED;
void account_stream_end(struct account *a, struct ystream *ys);
/* Ends them all, whoever holds them. */
void account_streams_end(struct account *a);
/* Bytes came or went on it. */
void account_stream_moved(struct account *a, struct ystream *ys);

/* A buffer of `from` bytes is to have `to`. False when it may not grow. */
bool account_resize(struct account *a, size_t from, size_t to) WARN_UNUSED;
/* The same for one that shrinks. */
void account_shrink(struct account *a, size_t from, size_t to);

/* For `n` bytes that were moved: how long to wait before the next. */
struct duration account_pay(struct account *a, enum res_direction way, uint64_t n);

/* Whose inbound stream is idle for longest, for at least `least`, of the strangers that `may` give
 * way (the first few are asked); or NULL. */
struct account *account_idlest(
    struct resources *r, struct duration least, bool (*may)(const struct account *a));

#endif
