#include "kernel.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PASSES = 16, LARGEST_CACHED = 1 << 16 };

typedef struct { uint32_t symbol; uint64_t count, right, seen; } open_gram;

static inline uint32_t dense(uint32_t symbol, const uint32_t *points, const uint32_t *units) {
    if (!points) return symbol;
    return symbol < NG_NUM_CODE_POINTS ? points[symbol] : units[symbol - NG_NUM_CODE_POINTS];
}

static inline uint64_t times_log(const ng_xlogx *xlogx, uint64_t count) {
    if (count < xlogx->table_size) return xlogx->table[count];
    return (uint64_t)(ldexp((double)count * log((double)count), xlogx->shift) + 0.5);
}

/* Room for one more gram of this order. */
static int grow_list(ng_gram_list *list, int order) {
    size_t room = list->room ? list->room * 2 : 1024;
    uint32_t *symbols = realloc(list->symbols, room * (size_t)order * sizeof *symbols);
    if (symbols) list->symbols = symbols;
    uint64_t *counts = realloc(list->counts, room * sizeof *counts);
    if (counts) list->counts = counts;
    uint64_t *right = realloc(list->right, room * sizeof *right);
    if (right) list->right = right;
    if (!symbols || !counts || !right) return NG_ENOMEM;
    list->room = room;
    return 0;
}

static int list_gram(const open_gram *open, int order, const ng_xlogx *xlogx, ng_gram_list *list) {
    if (list->num == list->room && grow_list(list, order)) return NG_ENOMEM;
    for (int i = 0; i < order; ++i) list->symbols[list->num * (size_t)order + (size_t)i] = open[i + 1].symbol;
    list->counts[list->num] = open[order].count;
    list->right[list->num++] = open[order].right + times_log(xlogx, open[order].count - open[order].seen);
    return 0;
}

/* Give the gram open[order] to its list, if it has one, and to the gram that it continues. */
static inline int close_gram(open_gram *open, int order, int most, uint64_t min_count, const uint8_t *rare,
                             const ng_xlogx *xlogx, ng_gram_list *lists) {
    uint64_t count = open[order].count;
    if (order > 1) {
        open[order - 1].count += count;
        if (!rare[open[order].symbol]) {
            open[order - 1].seen += count;
            open[order - 1].right += times_log(xlogx, count);
        }
    }
    return order <= most && count >= min_count ? list_gram(open, order, xlogx, lists + order) : 0;
}

#define KEY uint64_t
#define NAMED(name) name##_narrow
#include "keys.inc"
#define KEY ng_wide
#define NAMED(name) name##_wide
#include "keys.inc"

/* Count each dense symbol. `point_symbols` NULL: the symbols are dense already. */
void ng_histogram(const uint32_t *symbols, size_t num, const uint32_t *point_symbols, const uint32_t *unit_symbols,
                  uint64_t *histogram) {
    for (size_t i = 0; i < num; ++i) histogram[dense(symbols[i], point_symbols, unit_symbols)]++;
}

/* Put the keys of symbols[0, owned) into their buckets; those from `owned` to `num` are only looked at.
 * cursors[s] is where the next key of symbol s goes.
 */
void ng_scatter(const uint32_t *symbols, size_t owned, size_t num, const uint32_t *point_symbols,
                const uint32_t *unit_symbols, int bits, int depth, int wide, uint64_t *cursors, void *keys) {
    if (wide) scatter_wide(symbols, owned, num, point_symbols, unit_symbols, bits, depth, cursors, keys);
    else scatter_narrow(symbols, owned, num, point_symbols, unit_symbols, bits, depth, cursors, keys);
}

/* Sort the buckets [from, to), count equal keys once, and move the buckets together from starts[from] on.
 *
 * Other threads may sort other ranges at the same time: starts[to] is not touched.
 */
int ng_sort(void *keys, uint32_t *counts, uint64_t *starts, uint64_t *sizes, uint32_t from, uint32_t to,
            int bits, int depth, int wide) {
    int key_bits = bits * (depth - 1);
    return wide ? sort_wide(keys, counts, starts, sizes, from, to, key_bits)
                : sort_narrow(keys, counts, starts, sizes, from, to, key_bits);
}

/* List the grams of orders 1 .. order <= depth that occur min_count times, in the order of their symbols.
 *
 * lists[n] takes those of order n; its arrays are the caller's to free, also after a failure. `right` is the sum of
 * c ln c over the counts c of what follows, where the key tells (n < depth); breaks and rare symbols are one thing.
 */
int ng_grams(const ng_run *run, uint32_t from, uint32_t to, int order, uint64_t min_count, const uint8_t *rare,
             const ng_xlogx *xlogx, ng_gram_list *lists) {
    int failed = 0;
    for (uint32_t bucket = from; bucket < to && !failed; ++bucket)
        if (!run->sizes[bucket]) continue;
        else if (run->wide) failed = grams_of_bucket_wide(run, bucket, order, min_count, rare, xlogx, lists);
        else failed = grams_of_bucket_narrow(run, bucket, order, min_count, rare, xlogx, lists);
    return failed;
}

/* Add what stands before the words of the trie: left[w] the sum of c ln c, seen[w] the sum of c, rare ones left out. */
void ng_lefts(const ng_run *run, uint32_t from, uint32_t to, const ng_trie *trie, const uint8_t *rare,
              const ng_xlogx *xlogx, uint64_t *left, uint64_t *seen) {
    for (uint32_t bucket = from; bucket < to; ++bucket)
        if (!run->sizes[bucket]) continue;
        else if (run->wide) lefts_of_bucket_wide(run, bucket, trie, rare, xlogx, left, seen);
        else lefts_of_bucket_narrow(run, bucket, trie, rare, xlogx, left, seen);
}

/* Merge the buckets [from, to) of up to 8 runs of one form, end to end from keys[0] on; `room` entries at most. */
int ng_merge(const ng_run *runs, size_t num_runs, uint32_t from, uint32_t to, uint64_t *sizes, void *keys,
             uint32_t *counts, uint64_t room) {
    uint64_t used = 0;
    if (num_runs > NG_MERGED_AT_ONCE) return NG_ENOMEM;
    for (uint32_t bucket = from; bucket < to; ++bucket) {
        uint64_t most = 0;
        for (size_t r = 0; r < num_runs; ++r) most += runs[r].sizes[bucket];
        if (used + most > room) return NG_ENOMEM;
        sizes[bucket] = runs[0].wide ? merge_bucket_wide(runs, num_runs, bucket, (ng_wide *)keys + used, counts + used)
                                     : merge_bucket_narrow(runs, num_runs, bucket, (uint64_t *)keys + used, counts + used);
        used += sizes[bucket];
    }
    return 0;
}

/* Occurrences of a gram of at most `depth` symbols. */
uint64_t ng_count_gram(const ng_run *run, const uint32_t *symbols, size_t num) {
    return run->wide ? count_gram_wide(run, symbols, num) : count_gram_narrow(run, symbols, num);
}

/* Write the keys again with other symbols, in the same places; the new ones are in the same order as the old.
 * new_symbols: per bucket, 0 for the break. Fails on a key that has a symbol without a bucket.
 */
int ng_remap(const ng_run *run, const uint32_t *new_symbols, int new_bits, int new_wide, void *keys) {
    for (uint64_t i = 0; i < run->num_keys; ++i) {
        ng_wide old = run->wide ? ((const ng_wide *)run->keys)[i] : ((const uint64_t *)run->keys)[i], new = 0;
        for (int place = 1; place < run->depth; ++place) {
            uint32_t symbol = digit_wide(old, place, run->bits, run->depth);
            if (symbol >= run->num_buckets) return NG_ENOMEM;
            new = new << new_bits | new_symbols[symbol];
        }
        if (new_wide) ((ng_wide *)keys)[i] = new;
        else ((uint64_t *)keys)[i] = (uint64_t)new;
    }
    return 0;
}
