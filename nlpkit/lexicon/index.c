/* The index of a text: every string that may be a word, and where it stands. */
#include "sampler.h"

#include <stdlib.h>
#include <string.h>

#include "model.h"
#include "trie.h"

void lx_index_free(lx_index *index) {
    free(index->text);
    free(index->ids);
    free(index->parents);
    free(index->symbols);
    free(index->base);
    free(index->windows);
    memset(index, 0, sizeof *index);
}

typedef struct {
    lx_trie trie;
    uint32_t *counts, *parents, *symbols; /* by node */
    size_t capacity;
} builder;

static void builder_free(builder *b) {
    lx_trie_free(&b->trie);
    free(b->counts);
    free(b->parents);
    free(b->symbols);
}

static int grow_array(uint32_t **array, size_t capacity) {
    uint32_t *grown = realloc(*array, capacity * sizeof **array);
    if (!grown) return LX_NO_MEMORY;
    *array = grown;
    return LX_OK;
}

static int builder_grow(builder *b) {
    size_t capacity = b->capacity * 2 + 1024;
    if (grow_array(&b->counts, capacity) || grow_array(&b->parents, capacity) ||
        grow_array(&b->symbols, capacity))
        return LX_NO_MEMORY;
    b->capacity = capacity;
    return LX_OK;
}

static int builder_init(builder *b) {
    memset(b, 0, sizeof *b);
    if (lx_trie_init(&b->trie) || builder_grow(b)) return LX_NO_MEMORY;
    b->counts[0] = b->parents[0] = b->symbols[0] = 0;
    return LX_OK;
}

/* Counts one more occurrence of the string `parent` + `symbol`; its node, or 0 when memory ran out. */
static uint32_t count_string(builder *b, uint32_t parent, uint32_t symbol) {
    uint32_t before = b->trie.num_nodes;
    uint32_t node = lx_trie_add(&b->trie, parent, symbol);
    if (node == 0 || (node >= b->capacity && builder_grow(b))) return 0;
    if (b->trie.num_nodes > before) {
        b->counts[node] = 0;
        b->parents[node] = parent;
        b->symbols[node] = symbol;
    }
    if (b->counts[node] < UINT32_MAX) b->counts[node]++;
    return node;
}

/* Finds the strings of `length` symbols. On entry nodes[p] is the string of length - 1 at p; on exit
 * the string of this length. A long string is looked at only when both of its parts are frequent. */
static int index_length(lx_index *index, builder *b, uint32_t *nodes, size_t length) {
    const uint32_t *text = index->text;
    size_t n = index->num_symbols;
    int rare = length > LX_FREE_LENGTH;
    for (size_t p = 0; p < n; p++) {
        uint32_t parent = length > 1 ? nodes[p] : 0;
        uint32_t suffix = length > 1 && p + 1 < n ? nodes[p + 1] : 0;
        int open = length == 1 ? text[p] != 0 : parent && suffix && p + length <= n;
        nodes[p] = 0;
        if (!open) continue;
        if (rare && (b->counts[parent] < LX_MIN_COUNT || b->counts[suffix] < LX_MIN_COUNT)) continue;
        nodes[p] = count_string(b, parent, text[p + length - 1]);
        if (!nodes[p]) return b->trie.num_nodes == UINT32_MAX ? LX_TOO_LARGE : LX_NO_MEMORY;
    }
    for (size_t p = 0; p < n; p++)
        if (nodes[p] && (!rare || b->counts[nodes[p]] >= LX_MIN_COUNT))
            index->ids[p * LX_MAX_WORD + length - 1] = nodes[p];
    return LX_OK;
}

/* Base measure of every node; a parent's number is always smaller than its child's. */
static int set_base(lx_index *index, const uint32_t *counts) {
    size_t nodes = index->num_nodes, kinds = 0;
    double total = 0.0;
    uint8_t *lengths = lx_new_array(nodes + 1, 1);
    double *rates = lx_new_array((size_t)index->max_symbol + 1, sizeof *rates);
    double *products = lx_new_array(nodes + 1, sizeof *products);
    int ok = lengths && rates && products;
    if (ok) {
        products[0] = 1.0;
        for (size_t w = 1; w <= nodes; w++)
            if (index->parents[w] == 0) kinds++, total += counts[w];
        for (size_t w = 1; w <= nodes; w++) {
            uint32_t parent = index->parents[w], symbol = index->symbols[w];
            if (parent == 0) rates[symbol] = lx_symbol_rate(counts[w], total, kinds);
            lengths[w] = (uint8_t)(lengths[parent] + 1);
            products[w] = products[parent] * rates[symbol];
            index->base[w] = (float)(products[w] * lx_length_share(lengths[w]));
        }
    }
    free(lengths);
    free(rates);
    free(products);
    return ok ? LX_OK : LX_NO_MEMORY;
}

/* Lists the window starts into `windows`, or only counts them when it is NULL. */
static size_t list_windows(const lx_index *index, size_t *windows) {
    size_t found = 0, since = 0;
    for (size_t p = 0; p < index->num_symbols; p++) {
        if (index->text[p] == 0) {
            since = 0;
            continue;
        }
        if (since == 0) {
            if (windows) windows[found] = p;
            found++;
        }
        since = (since + 1) % LX_WINDOW;
    }
    return found;
}

static int build(lx_index *index, builder *b, uint32_t *nodes) {
    int status = builder_init(b);
    for (size_t length = 1; length <= LX_MAX_WORD && status == LX_OK; length++)
        status = index_length(index, b, nodes, length);
    if (status != LX_OK) return status;
    index->num_nodes = b->trie.num_nodes;
    index->parents = b->parents;
    index->symbols = b->symbols;
    b->parents = b->symbols = NULL;
    lx_trie_free(&b->trie);
    index->base = lx_new_array(index->num_nodes + 1, sizeof *index->base);
    index->num_windows = list_windows(index, NULL);
    index->windows = lx_new_array(index->num_windows, sizeof *index->windows);
    if (!index->base || !index->windows) return LX_NO_MEMORY;
    list_windows(index, index->windows);
    return set_base(index, b->counts);
}

int lx_index_init(lx_index *index, const uint32_t *text, size_t num_symbols) {
    memset(index, 0, sizeof *index);
    for (size_t p = 0; p < num_symbols; p++)
        if (text[p] > index->max_symbol) index->max_symbol = text[p];
    if (index->max_symbol > LX_MAX_SYMBOL) return LX_TOO_LARGE;
    if (num_symbols > SIZE_MAX / sizeof(uint32_t) / LX_MAX_WORD) return LX_TOO_LARGE;
    index->num_symbols = num_symbols;
    index->text = lx_new_array(num_symbols, sizeof *index->text);
    index->ids = lx_new_array(num_symbols, LX_MAX_WORD * sizeof *index->ids);
    uint32_t *nodes = lx_new_array(num_symbols, sizeof *nodes);
    builder b = {0};
    int status = LX_NO_MEMORY;
    if (index->text && index->ids && nodes) {
        if (num_symbols) memcpy(index->text, text, num_symbols * sizeof *text);
        status = build(index, &b, nodes);
    }
    free(nodes);
    builder_free(&b);
    if (status != LX_OK) lx_index_free(index);
    return status;
}
