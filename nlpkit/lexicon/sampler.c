/* A chain: one run of the Gibbs sampler over an index. */
#include "sampler.h"

#include <stdlib.h>
#include <string.h>

#include "model.h"

/* Random numbers: xoshiro256** of Blackman and Vigna, seeded by splitmix64. */

static uint64_t rotate(uint64_t x, int by) { return x << by | x >> (64 - by); }

static uint64_t next_random(uint64_t s[4]) {
    uint64_t result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

static double next_uniform(uint64_t s[4]) { return (double)(next_random(s) >> 11) * 0x1p-53; }

static void seed_random(uint64_t s[4], uint64_t seed) {
    for (int i = 0; i < 4; i++) {
        uint64_t z = seed += 0x9E3779B97F4A7C15u;
        z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
        z = (z ^ z >> 27) * 0x94D049BB133111EBu;
        s[i] = z ^ z >> 31;
    }
}

void lx_chain_free(lx_chain *chain) {
    free(chain->counts);
    free(chain->ends);
    free(chain->order);
    free(chain->end_factors);
    free(chain->begin_factors);
    memset(chain, 0, sizeof *chain);
}

int lx_chain_init(lx_chain *chain, const lx_index *index, uint64_t seed) {
    size_t kinds = (size_t)index->max_symbol + 1;
    memset(chain, 0, sizeof *chain);
    chain->index = index;
    seed_random(chain->random, seed);
    chain->counts = lx_new_array(index->num_nodes + 1, sizeof *chain->counts);
    chain->ends = lx_new_array(index->num_symbols, 1);
    chain->order = lx_new_array(index->num_windows, sizeof *chain->order);
    chain->end_factors = lx_new_array(kinds, sizeof *chain->end_factors);
    chain->begin_factors = lx_new_array(kinds, sizeof *chain->begin_factors);
    if (!chain->counts || !chain->ends || !chain->order || !chain->end_factors || !chain->begin_factors) {
        lx_chain_free(chain);
        return LX_NO_MEMORY;
    }
    for (size_t i = 0; i < index->num_windows; i++) chain->order[i] = index->windows[i];
    for (size_t c = 0; c < kinds; c++) chain->end_factors[c] = chain->begin_factors[c] = 1.0;
    return LX_OK;
}

static void shuffle(lx_chain *chain) {
    for (size_t i = chain->index->num_windows; i > 1; i--) {
        size_t j = (size_t)(next_uniform(chain->random) * (double)i);
        size_t window = chain->order[i - 1];
        chain->order[i - 1] = chain->order[j];
        chain->order[j] = window;
    }
}

static void add_words(lx_chain *chain, size_t start, size_t length) {
    const uint32_t *ids = chain->index->ids;
    for (size_t p = start, i = start; i < start + length; i++) {
        if (!chain->ends[i]) continue;
        if (chain->counts[ids[p * LX_MAX_WORD + i - p]]++ == 0) chain->num_types++;
        chain->num_tokens++;
        p = i + 1;
    }
}

static void remove_words(lx_chain *chain, size_t start, size_t length) {
    const uint32_t *ids = chain->index->ids;
    for (size_t p = start, i = start; i < start + length; i++) {
        if (!chain->ends[i]) continue;
        if (--chain->counts[ids[p * LX_MAX_WORD + i - p]] == 0) chain->num_types--;
        chain->num_tokens--;
        p = i + 1;
    }
}

/* Fills weights[i][k]: the weight of all ways to cut the first i symbols that end in a word of k, and
 * weights[i][0], their sum. Rows are comparable within themselves only, since sums are scaled
 * when they leave the range of a double. */
static void sum_forward(const lx_chain *chain, size_t start, size_t length,
                        double weights[][LX_MAX_WORD + 1]) {
    const lx_index *index = chain->index;
    double new_mass = LX_STRENGTH + LX_DISCOUNT * (double)chain->num_types;
    double per_word = 1.0 / (LX_STRENGTH + (double)chain->num_tokens);
    double sums[LX_WINDOW + 1];
    sums[0] = 1.0;
    for (size_t i = 1; i <= length; i++) {
        double cut = per_word, total = 0.0;
        if (i < length)
            cut *= chain->end_factors[index->text[start + i - 1]] *
                   chain->begin_factors[index->text[start + i]];
        for (size_t k = 1; k <= LX_MAX_WORD; k++) {
            uint32_t word = k <= i ? index->ids[(start + i - k) * LX_MAX_WORD + k - 1] : 0;
            double mass = 0.0;
            if (word) {
                uint32_t count = chain->counts[word];
                mass = new_mass * (double)index->base[word] + (count ? count - LX_DISCOUNT : 0.0);
                mass *= cut * sums[i - k];
            }
            weights[i][k] = mass;
            total += mass;
        }
        weights[i][0] = sums[i] = total;
        if (total < 1e-100 || total > 1e100)
            for (size_t k = 0; k < LX_MAX_WORD && k <= i; k++) sums[i - k] /= total;
    }
}

/* Draws a segmentation, from the last word to the first. */
static void draw_backward(lx_chain *chain, size_t start, size_t length,
                          double weights[][LX_MAX_WORD + 1]) {
    memset(chain->ends + start, 0, length);
    for (size_t i = length; i > 0;) {
        double left = next_uniform(chain->random) * weights[i][0];
        size_t chosen = 1; /* a word of one symbol always has weight */
        for (size_t k = 1; k <= LX_MAX_WORD && left >= 0.0; k++) {
            if (weights[i][k] > 0.0) chosen = k;
            left -= weights[i][k];
        }
        chain->ends[start + i - 1] = 1;
        i -= chosen;
    }
}

/* Counts how often each symbol begins and ends a word, and sets the factors of a cut from that. */
static int set_edges(lx_chain *chain) {
    const lx_index *index = chain->index;
    size_t kinds = (size_t)index->max_symbol + 1, symbols = 0;
    uint64_t *occurrences = lx_new_array(kinds * 3, sizeof *occurrences);
    if (!occurrences) return LX_NO_MEMORY;
    uint64_t *begins = occurrences + kinds, *ends = begins + kinds;
    int fresh = 1; /* a word begins here */
    for (size_t p = 0; p < index->num_symbols; p++) {
        uint32_t c = index->text[p];
        if (c) {
            symbols++;
            occurrences[c]++;
            begins[c] += (uint64_t)fresh;
            ends[c] += chain->ends[p];
        }
        fresh = c == 0 || chain->ends[p];
    }
    double rate = symbols ? (double)chain->num_tokens / (double)symbols : 1.0;
    for (size_t c = 1; c < kinds; c++) {
        chain->end_factors[c] = lx_edge_factor((double)ends[c], (double)occurrences[c], rate);
        chain->begin_factors[c] = lx_edge_factor((double)begins[c], (double)occurrences[c], rate);
    }
    free(occurrences);
    return LX_OK;
}

int lx_chain_sweep(lx_chain *chain) {
    const lx_index *index = chain->index;
    double weights[LX_WINDOW + 1][LX_MAX_WORD + 1];
    shuffle(chain);
    for (size_t w = 0; w < index->num_windows; w++) {
        size_t start = chain->order[w], length = 0;
        while (length < LX_WINDOW && start + length < index->num_symbols && index->text[start + length])
            length++;
        if (chain->num_sweeps) remove_words(chain, start, length);
        sum_forward(chain, start, length, weights);
        draw_backward(chain, start, length, weights);
        add_words(chain, start, length);
    }
    chain->num_sweeps++;
    return set_edges(chain);
}
