/* Token masks: see constraint.h. */
#include "engine/constraint_priv.h"

#include "engine/tokenizer.h"

#include <stdlib.h>

#define MASKS_BYTES_MAX ((size_t)32 << 20)

/* One byte of some token, in depth-first order. */
struct trie_node {
	uint8_t byte;
	uint16_t depth; /* bytes up to and with this one */
	int32_t token;  /* the first that ends here, or TOKEN_NONE */
	uint32_t skip;  /* the first node that is not below this one */
};

struct token_trie {
	const struct tokenizer *tokenizer;
	size_t n_vocab;
	struct trie_node *nodes;
	size_t n_nodes;
	int32_t *twin; /* by id: the next token with the same bytes */
	struct grammar_alphabet alphabet;
	size_t depth_max;
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

static void fill_trie(struct token_trie *t, const struct sorted_token *tokens, size_t n)
{
	uint32_t open[TOKENIZER_TOKEN_TEXT_MAX + 1]; /* the node at each depth of the last token */
	struct bytes last = {0};
	for (size_t i = 0; i < n; i++) {
		struct bytes piece = tokens[i].piece;
		size_t same = common_prefix(last, piece);
		for (size_t d = same; d < last.n; d++)
			t->nodes[open[d]].skip = (uint32_t)t->n_nodes;
		for (size_t d = same; d < piece.n; d++) {
			open[d] = (uint32_t)t->n_nodes;
			t->nodes[t->n_nodes++] = (struct trie_node){
			    .byte = piece.p[d], .depth = (uint16_t)(d + 1), .token = TOKEN_NONE};
		}
		struct trie_node *end = &t->nodes[open[piece.n - 1]];
		t->twin[tokens[i].id] = end->token;
		end->token = tokens[i].id;
		t->depth_max = piece.n > t->depth_max ? piece.n : t->depth_max;
		if (piece.n == 1 && !tokenizer_is_control(t->tokenizer, tokens[i].id))
			t->alphabet.has[piece.p[0]] = true;
		last = piece;
	}
	for (size_t d = 0; d < last.n; d++)
		t->nodes[open[d]].skip = (uint32_t)t->n_nodes;
}

static int build_trie(struct token_trie *t, struct err *err)
{
	struct sorted_token *tokens = calloc(t->n_vocab + 1, sizeof *tokens);
	size_t n = 0, bytes = 0;
	if (!tokens)
		return err_set(err, E_MEMORY, "no memory for the vocabulary's tree");
	for (int32_t id = 0; (size_t)id < t->n_vocab; id++) {
		struct bytes piece = tokenizer_piece(t->tokenizer, id);
		t->twin[id] = TOKEN_NONE;
		if (!usable(t->tokenizer, id) || piece.n > TOKENIZER_TOKEN_TEXT_MAX)
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
	t->twin = calloc(t->n_vocab + 1, sizeof *t->twin);
	int rc = t->twin ? build_trie(t, err)
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
	free(t->twin);
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

static void set_bits(const struct constraint *c, uint32_t *mask, int32_t token)
{
	for (; token != TOKEN_NONE; token = c->trie->twin[token])
		if (!tokenizer_is_control(c->trie->tokenizer, token) || offered(c, token))
			mask[token >> 5] |= 1u << (token & 31);
}

static void fill_mask(struct constraint *c, uint32_t *mask)
{
	const struct trie_node *nodes = c->trie->nodes;
	c->path[0] = c->at;
	for (size_t i = 0; i < c->trie->n_nodes;) {
		const struct trie_node *n = &nodes[i];
		uint32_t to = automaton_move(&c->a, c->path[n->depth - 1], n->byte);
		if (to == CONFIG_DEAD) {
			i = n->skip;
			continue;
		}
		c->path[n->depth] = to;
		if (n->token != TOKEN_NONE)
			set_bits(c, mask, n->token);
		i++;
	}
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
