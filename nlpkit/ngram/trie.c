#include "kernel.h"
#include <stdlib.h>
#include <string.h>

/* The edge from `node` by `symbol`, made if there is none; the table has room. */
static ng_edge *make_step(ng_trie *trie, uint32_t node, uint32_t symbol) {
    uint64_t edge = (uint64_t)node << 32 | symbol, hash = ng_hash_edge(edge);
    size_t slot = hash & trie->mask, bit = hash >> 3 & (trie->mask << 3 | 7);
    for (; trie->edges[slot].node; slot = (slot + 1) & trie->mask)
        if (trie->edges[slot].edge == edge) return trie->edges + slot;
    trie->edges[slot] = (ng_edge){edge, trie->num_nodes++, NG_NONE};
    trie->filter[bit >> 6] |= UINT64_C(1) << (bit & 63);
    trie->num_edges++;
    return trie->edges + slot;
}

static ng_edge *first_step(ng_trie *trie, uint32_t symbol) {
    ng_edge *first = trie->first + symbol;
    if (!first->node) *first = (ng_edge){symbol, trie->num_nodes++, NG_NONE};
    return first;
}

static int grow_edges(ng_trie *trie, size_t num_slots) {
    ng_edge *old = trie->edges;
    size_t old_slots = old ? trie->mask + 1 : 0;
    ng_edge *edges = calloc(num_slots, sizeof *edges);
    uint64_t *filter = calloc(num_slots / 8 + 1, sizeof *filter); /* eight bits a slot */
    if (!edges || !filter) {
        free(edges);
        free(filter);
        return NG_ENOMEM;
    }
    free(trie->filter);
    trie->edges = edges;
    trie->filter = filter;
    trie->mask = num_slots - 1;
    for (size_t i = 0; i < old_slots; ++i) {
        if (!old[i].node) continue;
        uint64_t hash = ng_hash_edge(old[i].edge);
        size_t slot = hash & trie->mask, bit = hash >> 3 & (trie->mask << 3 | 7);
        while (edges[slot].node) slot = (slot + 1) & trie->mask;
        edges[slot] = old[i];
        filter[bit >> 6] |= UINT64_C(1) << (bit & 63);
    }
    free(old);
    return 0;
}

static int add_word(ng_trie *trie, const uint32_t *symbols, size_t num, uint32_t word) {
    ng_edge *edge = first_step(trie, symbols[0]);
    for (size_t i = 1; i < num; ++i) {
        uint32_t node = edge->node;
        if ((trie->num_edges + 1) * 3 > (trie->mask + 1) * 2 && grow_edges(trie, (trie->mask + 1) * 2)) return NG_ENOMEM;
        edge = make_step(trie, node, symbols[i]);
    }
    edge->word = word;
    return 0;
}

/* Word i is symbols[ends[i - 1] .. ends[i]), of symbols 1 .. num_symbols; an empty word is left out. */
ng_trie *ng_trie_new(uint32_t num_symbols, const uint32_t *symbols, const uint64_t *ends, size_t num_words) {
    ng_trie *trie = calloc(1, sizeof *trie);
    if (!trie) return NULL;
    trie->num_symbols = num_symbols;
    trie->num_words = num_words;
    trie->num_nodes = 1;
    trie->first = calloc((size_t)num_symbols + 1, sizeof *trie->first);
    size_t num_slots = 64;
    while (num_slots * 2 < num_words * 3) num_slots *= 2;
    if (!trie->first || grow_edges(trie, num_slots)) {
        ng_trie_free(trie);
        return NULL;
    }
    for (size_t word = 0; word < num_words; ++word) {
        uint64_t start = word ? ends[word - 1] : 0;
        if (ends[word] > start && add_word(trie, symbols + start, ends[word] - start, (uint32_t)word)) {
            ng_trie_free(trie);
            return NULL;
        }
    }
    return trie;
}

void ng_trie_free(ng_trie *trie) {
    if (!trie) return;
    free(trie->edges);
    free(trie->filter);
    free(trie->first);
    free(trie);
}

uint32_t ng_trie_find(const ng_trie *trie, const uint32_t *symbols, size_t num) {
    if (!num || !symbols[0] || symbols[0] > trie->num_symbols) return NG_NONE;
    const ng_edge *edge = trie->first + symbols[0];
    for (size_t i = 1; i < num && edge && edge->node; ++i) edge = ng_step(trie, edge->node, symbols[i]);
    return edge && edge->node ? edge->word : NG_NONE;
}
