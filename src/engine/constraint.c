/* Token masks: see constraint.h. */
#include "engine/constraint_priv.h"

#include "engine/tokenizer.h"

#include <stdlib.h>

#define MASKS_BYTES_MAX ((size_t)32 << 20)

#define NOT_PLAIN 255

/* One byte of some token, in depth-first order. */
struct trie_node {
	uint8_t byte;
	uint8_t height; /* of what is below, all of it plain (see is_plain); or NOT_PLAIN */
	uint16_t depth; /* bytes up to and with this one */
	/* Of trie.ranked: the tokens that end here stand from here to the next node's first, those
	 * below follow up to the first of … */
	uint32_t first;
	uint32_t skip; /* … the first node that is not below this one */
};

struct token_trie {
	const struct tokenizer *tokenizer;
	size_t n_vocab;
	struct trie_node *nodes; /* one more than n_nodes, which ends the last */
	size_t n_nodes;
	int32_t *ranked; /* all ids but those of control tokens, by their bytes */
	size_t n_ranked;
	struct grammar_alphabet alphabet;
	size_t depth_max;
	uint8_t plain_max; /* the height of the highest plain branch */
};

struct constraint {
	struct automaton a;
	const struct token_trie *trie;
	const int32_t *visible;
	size_t n_visible;
	uint32_t at;    /* the present configuration */
	uint32_t *path; /* configurations by depth, while walking the trie */
	/* Masks by configuration. */
	uint32_t **masks;
	size_t n_masks; /* of the array */
	size_t mask_bytes;
};

/* ---- the vocabulary ------------------------------------------------------------------------ */

static bool usable(const struct tokenizer *t, int32_t id)
{
	return !tokenizer_is_end_of_generation(t, id) && tokenizer_piece(t, id).n > 0 &&
	       id != tokenizer_unknown(t) && id != tokenizer_bos(t);
}

struct sorted_token {
	struct bytes piece;
	int32_t id;
};

static int order_tokens(const void *x, const void *y)
{
	const struct sorted_token *p = x, *q = y;
	size_t n = p->piece.n < q->piece.n ? p->piece.n : q->piece.n;
	int c = memcmp(p->piece.p, q->piece.p, n);
	if (c == 0)
		c = (p->piece.n > q->piece.n) - (p->piece.n < q->piece.n);
	return c ? c : (p->id > q->id) - (p->id < q->id);
}

static size_t common_prefix(struct bytes a, struct bytes b)
{
	size_t n = 0;
	while (n < a.n && n < b.n && a.p[n] == b.p[n])
		n++;
	return n;
}

/* Bytes that strings are made of: most configurations treat them all alike. */
static bool is_plain(uint8_t byte)
{
	return byte >= 0x20 && byte < 0x7f && byte != '"' && byte != '\\';
}

#define PLAIN_RUN_MAX 64 /* longer branches are walked */

static void add_nodes(struct token_trie *t, struct bytes piece, size_t same, uint32_t *open)
{
	for (size_t d = same; d < piece.n; d++) {
		open[d] = (uint32_t)t->n_nodes;
		t->nodes[t->n_nodes++] = (struct trie_node){
		    .byte = piece.p[d], .depth = (uint16_t)(d + 1), .first = (uint32_t)t->n_ranked};
	}
	for (size_t d = piece.n, below = 0; d-- > 0; below++) {
		struct trie_node *n = &t->nodes[open[d]];
		if (!is_plain(n->byte) || below >= PLAIN_RUN_MAX)
			below = NOT_PLAIN - 1; /* and so for all above it */
		if (n->height < below || below >= PLAIN_RUN_MAX)
			n->height = below < PLAIN_RUN_MAX ? (uint8_t)below : NOT_PLAIN;
		if (n->height != NOT_PLAIN && n->height > t->plain_max)
			t->plain_max = n->height;
	}
}

static void fill_trie(struct token_trie *t, const struct sorted_token *tokens, size_t n)
{
	uint32_t open[TOKENIZER_TOKEN_TEXT_MAX + 1]; /* the node at each depth of the last token */
	struct bytes last = {0};
	for (size_t i = 0; i < n; i++) {
		struct bytes piece = tokens[i].piece;
		size_t same = common_prefix(last, piece);
		for (size_t d = same; d < last.n; d++)
			t->nodes[open[d]].skip = (uint32_t)t->n_nodes;
		add_nodes(t, piece, same, open);
		t->ranked[t->n_ranked++] = tokens[i].id;
		t->depth_max = piece.n > t->depth_max ? piece.n : t->depth_max;
		if (piece.n == 1)
			t->alphabet.has[piece.p[0]] = true;
		last = piece;
	}
	for (size_t d = 0; d < last.n; d++)
		t->nodes[open[d]].skip = (uint32_t)t->n_nodes;
	t->nodes[t->n_nodes] = (struct trie_node){.first = (uint32_t)t->n_ranked};
}

static int build_trie(struct token_trie *t, struct err *err)
{
	struct sorted_token *tokens = calloc(t->n_vocab + 1, sizeof *tokens);
	size_t n = 0, bytes = 0;
	if (!tokens)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	for (int32_t id = 0; (size_t)id < t->n_vocab; id++) {
		struct bytes piece = tokenizer_piece(t->tokenizer, id);
		if (!usable(t->tokenizer, id) || tokenizer_is_control(t->tokenizer, id) ||
		    piece.n > TOKENIZER_TOKEN_TEXT_MAX)
			continue;
		tokens[n++] = (struct sorted_token){piece, id};
		bytes += piece.n;
	}
	qsort(tokens, n, sizeof *tokens, order_tokens);
	t->nodes = calloc(bytes + 1, sizeof *t->nodes);
	if (t->nodes)
		fill_trie(t, tokens, n);
	free(tokens);
	if (!t->nodes)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	struct trie_node *fitting = realloc(t->nodes, (t->n_nodes + 1) * sizeof *fitting);
	t->nodes = fitting ? fitting : t->nodes;
	return 0;
}

int token_trie_new(const struct tokenizer *tokenizer, struct token_trie **out, struct err *err)
{
	struct token_trie *t = calloc(1, sizeof *t);
	if (!t)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	t->tokenizer = tokenizer;
	t->n_vocab = tokenizer_n_vocab(tokenizer);
	t->ranked = calloc(t->n_vocab + 1, sizeof *t->ranked);
	int rc = t->ranked ? build_trie(t, err)
			   : err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	if (rc)
		token_trie_free(t);
	else
		*out = t;
	return rc;
}

void token_trie_free(struct token_trie *t)
{
	if (!t)
		return;
	free(t->nodes);
	free(t->ranked);
	free(t);
}

const struct grammar_alphabet *token_trie_alphabet(const struct token_trie *t)
{
	return &t->alphabet;
}

/* ---- the walk ------------------------------------------------------------------------------ */

int constraint_new(const struct grammar *grammar, const struct token_trie *trie,
    const int32_t *visible, size_t n_visible, struct constraint **out, struct err *err)
{
	if (n_visible > CONSTRAINT_VISIBLE_MAX)
		return err_set(
		    err, E_LIMIT, "more than %d visible control tokens", CONSTRAINT_VISIBLE_MAX);
	struct constraint *c = calloc(1, sizeof *c);
	if (!c)
		return err_set(err, E_MEMORY, "no memory for the grammar");
	c->trie = trie;
	c->visible = visible;
	c->n_visible = n_visible;
	c->path = calloc(trie->depth_max + 1, sizeof *c->path);
	int rc = automaton_init(&c->a, grammar, err);
	if (rc == 0) {
		c->at = automaton_start(&c->a);
		if (!c->path || c->a.failed || c->at == CONFIG_DEAD)
			rc = err_set(err, E_MEMORY, "no memory for the grammar");
	}
	if (rc)
		constraint_free(c);
	else
		*out = c;
	return rc;
}

static void forget_masks(struct constraint *c)
{
	for (size_t i = 0; i < c->n_masks; i++)
		free(c->masks[i]);
	free(c->masks);
	c->masks = NULL;
	c->n_masks = 0;
	c->mask_bytes = 0;
}

void constraint_free(struct constraint *c)
{
	if (!c)
		return;
	forget_masks(c);
	automaton_free(&c->a);
	free(c->path);
	free(c);
}

bool constraint_may_end(const struct constraint *c)
{
	return automaton_may_end(&c->a, c->at);
}

bool constraint_must_end(const struct constraint *c)
{
	return automaton_must_end(&c->a, c->at);
}

static bool offered(const struct constraint *c, int32_t id)
{
	const struct tokenizer *t = c->trie->tokenizer;
	if (id < 0 || (size_t)id >= c->trie->n_vocab || !usable(t, id))
		return false;
	if (!tokenizer_is_control(t, id))
		return true;
	for (size_t i = 0; i < c->n_visible; i++)
		if (c->visible[i] == id)
			return true;
	return false;
}

static uint32_t walk(struct constraint *c, struct bytes text)
{
	uint32_t at = c->at;
	for (size_t i = 0; i < text.n && at != CONFIG_DEAD; i++)
		at = automaton_move(&c->a, at, text.p[i]);
	return at;
}

bool constraint_allows(struct constraint *c, int32_t id)
{
	return offered(c, id) && walk(c, tokenizer_piece(c->trie->tokenizer, id)) != CONFIG_DEAD;
}

int constraint_accept_bytes(struct constraint *c, struct bytes text, struct err *err)
{
	uint32_t to = walk(c, text);
	if (c->a.failed)
		return err_set(err, E_MEMORY, "no memory for the grammar");
	if (to == CONFIG_DEAD)
		return err_set(err, E_INVALID, "the text leaves the grammar");
	c->at = to;
	if (!automaton_is_full(&c->a))
		return 0;
	forget_masks(c);
	c->at = automaton_compact(&c->a, c->at, err);
	return c->at == CONFIG_DEAD ? err_set(err, E_MEMORY, "no memory for the grammar") : 0;
}

int constraint_accept(struct constraint *c, int32_t id, struct err *err)
{
	if (!offered(c, id))
		return err_set(err, E_INVALID, "the grammar does not allow token %d", id);
	return constraint_accept_bytes(c, tokenizer_piece(c->trie->tokenizer, id), err);
}

/* ---- masks --------------------------------------------------------------------------------- */

static void set_bits(uint32_t *mask, const int32_t *ids, size_t n)
{
	for (size_t i = 0; i < n; i++)
		mask[ids[i] >> 5] |= 1u << (ids[i] & 31);
}

/* How many plain bytes, whichever they are, a configuration takes for certain (at most `most`):
 * branches no higher than that are allowed as a whole. */
static uint8_t plain_run(struct automaton *a, uint32_t config, uint8_t most)
{
	for (uint8_t run = 0; run < most; run++) {
		uint32_t next = automaton_move(a, config, ' ');
		for (unsigned byte = 0x21; byte < 0x7f; byte++)
			if (is_plain((uint8_t)byte) &&
			    automaton_move(a, config, (uint8_t)byte) != next)
				return run;
		if (next == CONFIG_DEAD)
			return run;
		if (next == config)
			break;
		config = next;
	}
	return most;
}

/* Remembers the answers of plain_run for a few configurations. */
struct plain_memo {
	uint32_t config[8];
	uint8_t run[8];
	bool known[8];
};

static uint8_t recall_run(struct plain_memo *m, struct automaton *a, uint32_t config, uint8_t most)
{
	size_t i = config % 8;
	if (!m->known[i] || m->config[i] != config) {
		m->run[i] = plain_run(a, config, most);
		m->config[i] = config;
		m->known[i] = true;
	}
	return m->run[i];
}

static void fill_mask(struct constraint *c, uint32_t *mask)
{
	const struct token_trie *t = c->trie;
	struct plain_memo memo = {.known = {false}};
	c->path[0] = c->at;
	for (size_t i = 0; i < t->n_nodes;) {
		const struct trie_node *n = &t->nodes[i];
		uint32_t to = automaton_move(&c->a, c->path[n->depth - 1], n->byte);
		if (to == CONFIG_DEAD) {
			i = n->skip;
			continue;
		}
		if (n->height != NOT_PLAIN &&
		    n->height <= recall_run(&memo, &c->a, to, t->plain_max)) {
			set_bits(mask, t->ranked + n->first, t->nodes[n->skip].first - n->first);
			i = n->skip;
			continue;
		}
		c->path[n->depth] = to;
		set_bits(mask, t->ranked + n->first, n[1].first - n->first);
		i++;
	}
	for (size_t i = 0; i < c->n_visible; i++)
		if (constraint_allows(c, c->visible[i]))
			set_bits(mask, &c->visible[i], 1);
}

static bool more_masks(struct constraint *c)
{
	if (c->at < c->n_masks)
		return true;
	size_t n = c->n_masks ? c->n_masks : 64;
	while (n <= c->at)
		n *= 2;
	uint32_t **bigger = realloc(c->masks, n * sizeof *bigger);
	if (!bigger)
		return false;
	memset(bigger + c->n_masks, 0, (n - c->n_masks) * sizeof *bigger);
	c->masks = bigger;
	c->n_masks = n;
	return true;
}

const uint32_t *constraint_mask(struct constraint *c)
{
	size_t bytes = (c->trie->n_vocab + 31) / 32 * sizeof(uint32_t);
	if (c->mask_bytes > MASKS_BYTES_MAX)
		forget_masks(c);
	if (!more_masks(c))
		return NULL;
	if (c->masks[c->at])
		return c->masks[c->at];
	uint32_t *mask = calloc(1, bytes);
	if (!mask)
		return NULL;
	fill_mask(c, mask);
	if (c->a.failed) {
		free(mask);
		return NULL;
	}
	c->masks[c->at] = mask;
	c->mask_bytes += bytes;
	return mask;
}
