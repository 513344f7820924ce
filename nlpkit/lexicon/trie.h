/* A trie in one hash table: (node, symbol) leads to a child. Node 0 is the root, so 0 also means "none". */
#ifndef NLPKIT_LEXICON_TRIE_H
#define NLPKIT_LEXICON_TRIE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "model.h"

typedef struct {
    uint64_t key; /* node << 32 | symbol; symbols start at 1, so no key is 0 */
    uint32_t child;
} lx_slot;

typedef struct {
    lx_slot *slots;
    size_t mask;
    uint32_t num_nodes; /* nodes are 1..num_nodes */
} lx_trie;

static inline size_t lx_hash(uint64_t key) {
    key ^= key >> 32;
    key *= 0x9E3779B97F4A7C15u;
    return (size_t)(key ^ (key >> 29));
}

static inline int lx_trie_init(lx_trie *trie) {
    trie->mask = 1023;
    trie->num_nodes = 0;
    trie->slots = calloc(trie->mask + 1, sizeof *trie->slots);
    return trie->slots ? LX_OK : LX_NO_MEMORY;
}

static inline void lx_trie_free(lx_trie *trie) {
    free(trie->slots);
    trie->slots = NULL;
}

static inline lx_slot *lx_trie_slot(const lx_trie *trie, uint64_t key) {
    size_t i = lx_hash(key) & trie->mask;
    while (trie->slots[i].key && trie->slots[i].key != key) i = (i + 1) & trie->mask;
    return &trie->slots[i];
}

static inline uint32_t lx_trie_child(const lx_trie *trie, uint32_t node, uint32_t symbol) {
    return lx_trie_slot(trie, (uint64_t)node << 32 | symbol)->child;
}

static inline int lx_trie_grow(lx_trie *trie) {
    lx_trie bigger = {NULL, trie->mask * 2 + 1, trie->num_nodes};
    bigger.slots = calloc(bigger.mask + 1, sizeof *bigger.slots);
    if (!bigger.slots) return LX_NO_MEMORY;
    for (size_t i = 0; i <= trie->mask; i++)
        if (trie->slots[i].key) *lx_trie_slot(&bigger, trie->slots[i].key) = trie->slots[i];
    free(trie->slots);
    *trie = bigger;
    return LX_OK;
}

/* The child, made when it is not there; 0 when memory or node numbers ran out. */
static inline uint32_t lx_trie_add(lx_trie *trie, uint32_t node, uint32_t symbol) {
    uint64_t key = (uint64_t)node << 32 | symbol;
    lx_slot *slot = lx_trie_slot(trie, key);
    if (slot->key) return slot->child;
    if (trie->num_nodes == UINT32_MAX) return 0;
    if ((size_t)trie->num_nodes * 2 > trie->mask) {
        if (lx_trie_grow(trie) != LX_OK) return 0;
        slot = lx_trie_slot(trie, key);
    }
    slot->key = key;
    slot->child = ++trie->num_nodes;
    return slot->child;
}

#endif
