/* Finds the words of a text by Gibbs sampling of the model in model.h.
 *
 * Build an index of the text once, then run any number of chains over it, each from its own seed; the
 * index is only read, so chains may run on threads of their own. Chains that start anew settle on
 * different words where the text leaves a choice, and the mean of their counts is worth more than a
 * longer chain's.
 */
#ifndef NLPKIT_LEXICON_SAMPLER_H
#define NLPKIT_LEXICON_SAMPLER_H

#include <stddef.h>
#include <stdint.h>

#include "model.h"

#define LX_MAX_WORD 5   /* symbols of a sampled word */
#define LX_WINDOW 60    /* a longer run is sampled in windows of this many symbols */
#define LX_MIN_COUNT 2  /* least count of a word longer than LX_FREE_LENGTH */

/* Every string that may be a word, and where it stands.
 * Memory: 28 bytes per symbol of text, and 60 to 110 per different string of which some 20 stay. */
typedef struct {
    size_t num_symbols;  /* symbols and breaks of the text */
    uint32_t max_symbol; /* symbols are 1..max_symbol, a break is 0 */
    size_t num_nodes;
    uint32_t *text;
    uint32_t *ids;     /* [num_symbols][LX_MAX_WORD]: node of the string that starts here, 0 for none */
    uint32_t *parents; /* [num_nodes + 1]: node of the string without its last symbol */
    uint32_t *symbols; /* [num_nodes + 1]: its last symbol */
    float *base;       /* [num_nodes + 1] */
    size_t *windows;   /* where each window starts */
    size_t num_windows;
} lx_index;

typedef struct {
    const lx_index *index;
    uint64_t random[4];
    size_t num_sweeps;
    size_t num_tokens;
    size_t num_types;
    uint32_t *counts; /* [num_nodes + 1]: tokens of each string in the present segmentation */
    uint8_t *ends;    /* [num_symbols]: 1 where a word ends after this symbol */
    size_t *order;
    double *end_factors;   /* [max_symbol + 1] */
    double *begin_factors; /* [max_symbol + 1] */
} lx_chain;

/* Each returns LX_OK, LX_NO_MEMORY or LX_TOO_LARGE (a symbol above LX_MAX_SYMBOL, too many strings);
 * after a failure there is nothing to free. */
int lx_index_init(lx_index *index, const uint32_t *text, size_t num_symbols);
int lx_chain_init(lx_chain *chain, const lx_index *index, uint64_t seed);
int lx_chain_sweep(lx_chain *chain); /* samples every window once, in a new random order */

void lx_index_free(lx_index *index);
void lx_chain_free(lx_chain *chain);

#endif
