/* kernel.h - exact n-gram statistics of UTF-8 text. Plain C11: no Python, no I/O, no globals, no threads.
 *
 * A symbol is a number that stands for one counted thing: a character, or a unit (a run of Latin letters and
 * digits, counted whole). 0 is a break: whatever is not counted, and the ends of the text.
 * The caller gives the memory and cuts the work into shares for its threads; a function touches only its arguments.
 */
#ifndef NLPKIT_KERNEL_H
#define NLPKIT_KERNEL_H
#include <stddef.h>
#include <stdint.h>

enum { NG_NUM_CODE_POINTS = 0x110000, NG_MAX_UNIT = 64, NG_MAX_WORD = 64, NG_MAX_DEPTH = 9, NG_MERGED_AT_ONCE = 8 };
enum { NG_BREAK = 0, NG_CHARACTER = 1, NG_UNIT_PART = 2 }; /* classes of code points; U+0000 and \n are always breaks */
enum { NG_ENOMEM = -1 };                                   /* every function that can fail returns it */
#define NG_NONE UINT32_MAX

typedef unsigned __int128 ng_wide __attribute__((aligned(8))); /* keys of more than 64 bits, also in mapped files */

/* ---- intern.c: byte strings to dense numbers, with a count each ---- */
typedef struct {
    uint8_t *blob;      /* the strings, end to end; string i is blob[ends[i - 1] .. ends[i]) */
    size_t blob_size;
    uint64_t *ends, *hashes, *counts;
    size_t num, room;
    uint32_t *slots;    /* open addressing: number + 1, 0 is empty */
    size_t num_slots;   /* a power of two, or 0 */
} ng_intern;
int64_t ng_intern_add(ng_intern *table, const uint8_t *bytes, size_t size, uint64_t count);
int64_t ng_intern_find(const ng_intern *table, const uint8_t *bytes, size_t size); /* -1: absent */
void ng_intern_free(ng_intern *table);

/* ---- decode.c: bytes to symbols ---- */
typedef struct {
    uint32_t *map;          /* per code point: its symbol, 0 for a break, NG_NONE for a part of a unit */
    uint64_t *counts;       /* per code point, while counting */
    ng_intern units;
    uint32_t *unit_symbols; /* per unit once frozen; NULL before: unit k is symbol NG_NUM_CODE_POINTS + k */
    uint32_t largest;       /* symbol, once frozen */
} ng_alphabet;
typedef struct { uint64_t code_points, broken, first_broken; } ng_decoded; /* first_broken: byte, UINT64_MAX: none */

ng_alphabet *ng_alphabet_new(const uint8_t *classes);
void ng_alphabet_free(ng_alphabet *alphabet);
int ng_alphabet_freeze(ng_alphabet *alphabet, const uint32_t *point_symbols, const uint32_t *unit_symbols);
size_t ng_boundary(const uint8_t *data, size_t size, size_t at);
int64_t ng_decode(ng_alphabet *alphabet, const uint8_t *data, size_t size, size_t from, size_t to, uint32_t *symbols,
                  uint32_t *offsets, ng_decoded *seen);
int64_t ng_decode_ahead(ng_alphabet *alphabet, const uint8_t *data, size_t size, size_t from, size_t most,
                        uint32_t *symbols, uint32_t *offsets, uint32_t base);
uint64_t ng_count_code_points(const uint8_t *data, size_t size, size_t from, size_t to);
void ng_code_points_at(const uint8_t *data, size_t size, size_t from, const uint64_t *bytes, size_t num, uint64_t *points);

/* ---- grams.c: keys, sorted and counted ----
 * The key of a position holds the depth - 1 symbols after it, most significant first, zero from the first break on.
 * Keys lie in buckets, one for each first symbol; a bucket is sorted, its equal keys counted once.
 */
typedef struct {
    const uint64_t *starts; /* per bucket (symbol), with one more at the end of the last */
    const uint64_t *sizes;  /* distinct keys of each bucket */
    const void *keys;       /* uint64_t or ng_wide */
    const uint32_t *counts; /* beside the keys; a key may stand twice where its count passes 32 bits */
    uint64_t num_buckets, num_keys;
    int bits, depth, wide;
} ng_run;
typedef struct { uint32_t *symbols; uint64_t *counts, *right; size_t num, room; } ng_gram_list; /* of one order */
typedef struct { const uint64_t *table; uint32_t table_size; int shift; } ng_xlogx; /* c ln c in units of 2^-shift */

void ng_histogram(const uint32_t *symbols, size_t num, const uint32_t *point_symbols, const uint32_t *unit_symbols,
                  uint64_t *histogram);
void ng_scatter(const uint32_t *symbols, size_t owned, size_t num, const uint32_t *point_symbols,
                const uint32_t *unit_symbols, int bits, int depth, int wide, uint64_t *cursors, void *keys);
int ng_sort(void *keys, uint32_t *counts, uint64_t *starts, uint64_t *sizes, uint32_t from, uint32_t to,
            int bits, int depth, int wide);
int ng_grams(const ng_run *run, uint32_t from, uint32_t to, int order, uint64_t min_count, const uint8_t *rare,
             const ng_xlogx *xlogx, ng_gram_list *lists);
int ng_merge(const ng_run *runs, size_t num_runs, uint32_t from, uint32_t to, uint64_t *sizes, void *keys,
             uint32_t *counts, uint64_t room);
uint64_t ng_count_gram(const ng_run *run, const uint32_t *symbols, size_t num);
int ng_remap(const ng_run *run, const uint32_t *new_symbols, int new_bits, int new_wide, void *keys);

/* ---- trie.c: words as paths of symbols ---- */
typedef struct { uint64_t edge; uint32_t node, word; } ng_edge; /* edge: node << 32 | symbol; node 0: empty */
typedef struct {
    ng_edge *edges;
    size_t mask, num_edges;
    uint64_t *filter;       /* bits of the edges, to miss cheaply */
    ng_edge *first;         /* by symbol: the first step */
    uint32_t num_symbols, num_nodes;
    size_t num_words;
} ng_trie;
ng_trie *ng_trie_new(uint32_t num_symbols, const uint32_t *symbols, const uint64_t *ends, size_t num_words);
void ng_trie_free(ng_trie *trie);
uint32_t ng_trie_find(const ng_trie *trie, const uint32_t *symbols, size_t num); /* word, or NG_NONE */
void ng_lefts(const ng_run *run, uint32_t from, uint32_t to, const ng_trie *trie, const uint8_t *rare,
              const ng_xlogx *xlogx, uint64_t *left, uint64_t *seen);

/* ---- match.c: passes over the text with a trie ---- */
typedef struct { ng_alphabet *alphabet; const uint8_t *data; size_t size; } ng_text;
int ng_cut(ng_text text, size_t from, size_t to, const ng_trie *kept, int max_order, uint64_t *word_counts,
           uint64_t *symbol_counts, ng_intern *longer);
typedef struct {
    const uint8_t *wanted;     /* per word: 1: count it, 2: count its neighbours too */
    uint64_t *counts;          /* per word */
    uint64_t *places;          /* per word: its first `num_places` occurrences, as byte offsets; UINT64_MAX: none */
    int num_places;
    uint64_t base;             /* added to the offsets of places */
    uint64_t *neighbours;      /* word << 33 | side << 32 | symbol, one for each occurrence and side (0 left) */
    size_t num_neighbours, room;
} ng_matches;
int ng_match(ng_text text, size_t from, size_t to, const ng_trie *words, ng_matches *matches);
void ng_connect(const ng_trie *words, const uint32_t *symbols, size_t num, uint8_t *ends);
int ng_mark(ng_text text, const ng_trie *words, uint8_t *marks);

static inline uint64_t ng_hash_edge(uint64_t edge) {
    uint64_t hash = edge * UINT64_C(0x9E3779B97F4A7C15);
    hash ^= hash >> 29;
    hash *= UINT64_C(0xBF58476D1CE4E5B9);
    return hash ^ hash >> 32;
}

static inline const ng_edge *ng_step(const ng_trie *trie, uint32_t node, uint32_t symbol) {
    uint64_t edge = (uint64_t)node << 32 | symbol, hash = ng_hash_edge(edge);
    size_t bit = hash >> 3 & (trie->mask << 3 | 7);
    if (!(trie->filter[bit >> 6] >> (bit & 63) & 1)) return NULL;
    for (size_t slot = hash & trie->mask;; slot = (slot + 1) & trie->mask) {
        const ng_edge *found = trie->edges + slot;
        if (!found->node) return NULL;
        if (found->edge == edge) return found;
    }
}
#endif
