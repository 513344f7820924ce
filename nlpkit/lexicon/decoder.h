/* Cuts text into words with a lexicon: the segmentation with the most words expected to be right.
 *
 * The model is that of model.h. Each possible word has a probability given the whole run between two
 * breaks; the chosen segmentation has the largest sum of them. A word of the lexicon is possible
 * wherever it stands, and so is any string of up to LX_FREE_LENGTH symbols.
 */
#ifndef NLPKIT_LEXICON_DECODER_H
#define NLPKIT_LEXICON_DECODER_H

#include <stddef.h>
#include <stdint.h>

#include "trie.h"

#define LX_LONGEST 64      /* symbols of the longest word that a lexicon may hold */
#define LX_CUT_WINDOW 4096 /* a run up to this long is cut exactly; a longer one in overlapping windows */
#define LX_CUT_OVERLAP 256 /* what a window cuts this close to its end is cut again by the next one */

typedef struct {
    lx_trie trie;
    uint32_t max_symbol;
    size_t longest;
    double new_mass;       /* strength + discount * types */
    double per_word;       /* exp(bias) / (strength + tokens) */
    double unseen_rate;    /* rate of a symbol that the lexicon does not hold */
    double *counts;        /* [num_nodes + 1] */
    uint8_t *listed;       /* [num_nodes + 1]: the node is a word, not only the start of one */
    double *rates;         /* [max_symbol + 1] */
    double *end_factors;   /* [max_symbol + 1] */
    double *begin_factors; /* [max_symbol + 1] */
} lx_decoder;

/* Word i has lengths[i] symbols; `symbols` holds them one after another. The counts of a word that is
 * listed twice add up. Returns LX_OK, LX_NO_MEMORY or LX_TOO_LARGE. */
int lx_decoder_init(lx_decoder *decoder, const uint32_t *symbols, const uint32_t *lengths,
                    const double *counts, size_t num_words);
void lx_decoder_free(lx_decoder *decoder);

/* Sets ends[i] to 1 where a word ends after symbol i, else 0; a break (0) ends no word. The work is
 * linear in the text, the memory beyond the arrays is bounded. Returns LX_OK or LX_NO_MEMORY. */
int lx_decoder_cut(const lx_decoder *decoder, const uint32_t *text, size_t num_symbols, uint8_t *ends);

#endif
