/* The word model that the sampler fits and the decoder reads: a unigram Pitman-Yor process.
 *
 * A word w of n symbols has weight
 *     (max(0, c(w) - d) + (s + d*T) * base(w)) / (s + N)
 * with c its token count, T the number of word types, N the number of tokens, d the discount and s the
 * strength. base(w) is a share for its length times the product of its symbols' relative frequencies.
 * A cut between symbols a and b multiplies by the geometric mean of the odds that a word ends after a
 * and that a word begins with b, both against the odds of a cut anywhere.
 *
 * The sampler uses this as it is. Its counts are a mean over segmentations that disagree, which makes the
 * decoder fond of long words; it multiplies each word by exp(LX_DECODER_BIAS) against that. The decoder
 * sees words and counts only, so all it uses follows from those and these constants.
 */
#ifndef NLPKIT_LEXICON_MODEL_H
#define NLPKIT_LEXICON_MODEL_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#define LX_DISCOUNT 0.8
#define LX_STRENGTH 500.0
#define LX_DECODER_BIAS 2.0 /* natural log; words then have 1.7 symbols in the mean, as Chinese words do */
#define LX_FREE_LENGTH 3 /* any string this short may be a word, however rare */
#define LX_SYMBOL_PRIOR 0.5
#define LX_EDGE_PRIOR 5.0 /* pseudo-counts that pull a rare symbol's odds to the average */

#define LX_MAX_SYMBOL ((uint32_t)1 << 24)

enum { LX_OK = 0, LX_NO_MEMORY = -1, LX_TOO_LARGE = -2 };

/* Share of the base measure that goes to words of this many symbols. */
static inline double lx_length_share(size_t length) {
    static const double shares[] = {0.0, 0.02, 0.55, 0.20, 0.12, 0.03};
    return shares[length < 5 ? length : 5];
}

/* Relative frequency of a symbol that was seen `count` times among `total`, of `num_symbols` kinds. */
static inline double lx_symbol_rate(double count, double total, size_t num_symbols) {
    double prior = LX_SYMBOL_PRIOR * (double)(num_symbols > 0 ? num_symbols : 1);
    return (count + LX_SYMBOL_PRIOR) / (total + prior);
}

/* Square root of the odds of `edges` in `occurrences` against the odds of `rate`: a cut has two sides,
 * and each gives half of the evidence. */
static inline double lx_edge_factor(double edges, double occurrences, double rate) {
    double share = (edges + LX_EDGE_PRIOR * rate) / (occurrences + LX_EDGE_PRIOR);
    double floor = 1e-6;
    if (rate >= 1.0 - floor) return 1.0; /* every word is one symbol: the edges say nothing */
    return sqrt(share / (1.0 - share + floor) / (rate / (1.0 - rate)));
}

/* calloc that never answers NULL for an empty array. */
static inline void *lx_new_array(size_t count, size_t size) { return calloc(count ? count : 1, size); }

#endif
