#include "decoder.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model.h"

void lx_decoder_free(lx_decoder *decoder) {
    lx_trie_free(&decoder->trie);
    free(decoder->counts);
    free(decoder->listed);
    free(decoder->rates);
    free(decoder->end_factors);
    free(decoder->begin_factors);
    memset(decoder, 0, sizeof *decoder);
}

/* Puts the words into the trie; decoder->counts has room for a node per symbol. */
static int add_words(lx_decoder *decoder, const uint32_t *symbols, const uint32_t *lengths,
                     const double *counts, size_t num_words) {
    double tokens = 0.0, types = 0.0;
    for (size_t w = 0, at = 0; w < num_words; at += lengths[w++]) {
        uint32_t node = 0;
        for (size_t i = 0; i < lengths[w]; i++) {
            node = lx_trie_add(&decoder->trie, node, symbols[at + i]);
            if (!node) return LX_NO_MEMORY;
        }
        if (decoder->counts[node] == 0.0 && counts[w] > 0.0) types += 1.0;
        decoder->counts[node] += counts[w];
        decoder->listed[node] = 1;
        tokens += counts[w];
    }
    decoder->new_mass = LX_STRENGTH + LX_DISCOUNT * types;
    decoder->per_word = exp(LX_DECODER_BIAS) / (LX_STRENGTH + tokens);
    return LX_OK;
}

/* Symbol rates and the factors of a cut, from how often each symbol stands in, begins and ends a word. */
static int set_symbols(lx_decoder *decoder, const uint32_t *symbols, const uint32_t *lengths,
                       const double *counts, size_t num_words) {
    size_t kinds = (size_t)decoder->max_symbol + 1, held = 0;
    double total = 0.0, tokens = 0.0;
    double *occurrences = lx_new_array(kinds, sizeof *occurrences);
    if (!occurrences) return LX_NO_MEMORY;
    double *begins = decoder->begin_factors, *ends = decoder->end_factors;
    for (size_t w = 0, at = 0; w < num_words; at += lengths[w++]) {
        for (size_t i = 0; i < lengths[w]; i++) {
            uint32_t c = symbols[at + i];
            if (decoder->rates[c] == 0.0) held++; /* rates marks, until it is set, what was seen */
            decoder->rates[c] = 1.0;
            occurrences[c] += counts[w];
        }
        total += counts[w] * lengths[w];
        tokens += counts[w];
        begins[symbols[at]] += counts[w];
        ends[symbols[at + lengths[w] - 1]] += counts[w];
    }
    double rate = total > 0.0 ? tokens / total : 1.0;
    for (size_t c = 0; c < kinds; c++) {
        decoder->rates[c] = lx_symbol_rate(occurrences[c], total, held);
        begins[c] = lx_edge_factor(begins[c], occurrences[c], rate);
        ends[c] = lx_edge_factor(ends[c], occurrences[c], rate);
    }
    decoder->unseen_rate = lx_symbol_rate(0.0, total, held);
    free(occurrences);
    return LX_OK;
}

int lx_decoder_init(lx_decoder *decoder, const uint32_t *symbols, const uint32_t *lengths,
                    const double *counts, size_t num_words) {
    size_t num_symbols = 0;
    memset(decoder, 0, sizeof *decoder);
    decoder->longest = LX_FREE_LENGTH;
    for (size_t w = 0; w < num_words; w++) {
        if (lengths[w] == 0 || lengths[w] > LX_LONGEST) return LX_TOO_LARGE;
        if (lengths[w] > decoder->longest) decoder->longest = lengths[w];
        for (size_t i = 0; i < lengths[w]; i++)
            if (symbols[num_symbols + i] > decoder->max_symbol)
                decoder->max_symbol = symbols[num_symbols + i];
        num_symbols += lengths[w];
    }
    if (decoder->max_symbol > LX_MAX_SYMBOL || num_symbols >= UINT32_MAX) return LX_TOO_LARGE;
    size_t kinds = (size_t)decoder->max_symbol + 1;
    decoder->counts = lx_new_array(num_symbols + 1, sizeof *decoder->counts);
    decoder->listed = lx_new_array(num_symbols + 1, 1);
    decoder->rates = lx_new_array(kinds, sizeof *decoder->rates);
    decoder->end_factors = lx_new_array(kinds, sizeof *decoder->end_factors);
    decoder->begin_factors = lx_new_array(kinds, sizeof *decoder->begin_factors);
    int status = lx_trie_init(&decoder->trie);
    if (!decoder->counts || !decoder->listed || !decoder->rates || !decoder->end_factors ||
        !decoder->begin_factors)
        status = LX_NO_MEMORY;
    if (status == LX_OK) status = add_words(decoder, symbols, lengths, counts, num_words);
    if (status == LX_OK) status = set_symbols(decoder, symbols, lengths, counts, num_words);
    if (status != LX_OK) lx_decoder_free(decoder);
    return status;
}

/* Room for one window. A row belongs to a place between symbols; its entry k - 1 to the word of k
 * symbols that ends there. */
typedef struct {
    double *shares;   /* [LX_CUT_WINDOW + 1][longest]: given a cut here, that this word comes before it */
    double *sums;     /* [LX_CUT_WINDOW + 1]: weight of all ways to cut so far, scaled */
    double *passes;   /* [LX_CUT_WINDOW + 1]: probability of a cut here */
    double *best;     /* [LX_CUT_WINDOW + 1]: most words expected right so far */
    uint8_t *lengths; /* [LX_CUT_WINDOW + 1]: last word of that */
} workspace;

static double symbol_rate(const lx_decoder *decoder, uint32_t symbol) {
    return symbol <= decoder->max_symbol ? decoder->rates[symbol] : decoder->unseen_rate;
}

/* Writes the weight of every word of the window into the row of its end. */
static void weigh_words(const lx_decoder *decoder, const uint32_t *text, size_t n, double *weights) {
    size_t longest = decoder->longest;
    memset(weights, 0, (n + 1) * longest * sizeof *weights);
    for (size_t i = 0; i < n; i++) {
        uint32_t node = 0;
        int walking = 1;
        double product = decoder->per_word;
        double base = decoder->new_mass;
        if (i > 0 && text[i - 1] <= decoder->max_symbol)
            product *= decoder->end_factors[text[i - 1]];
        if (i > 0 && text[i] <= decoder->max_symbol) product *= decoder->begin_factors[text[i]];
        for (size_t k = 1; k <= longest && i + k <= n; k++) {
            uint32_t symbol = text[i + k - 1];
            if (walking) node = lx_trie_child(&decoder->trie, node, symbol);
            walking = walking && node;
            if (!walking && k > LX_FREE_LENGTH) break;
            base *= symbol_rate(decoder, symbol);
            if (k > LX_FREE_LENGTH && !decoder->listed[node]) continue;
            double count = walking ? decoder->counts[node] : 0.0;
            double seen = count > LX_DISCOUNT ? count - LX_DISCOUNT : 0.0;
            weights[(i + k) * longest + k - 1] = product * (seen + base * lx_length_share(k));
        }
    }
}

/* Turns weights into shares: each row then sums to 1. */
static void sum_forward(size_t n, size_t longest, double *rows, double *sums) {
    sums[0] = 1.0;
    for (size_t i = 1; i <= n; i++) {
        double *row = rows + i * longest, total = 0.0;
        size_t most = longest < i ? longest : i;
        for (size_t k = 1; k <= most; k++) total += row[k - 1] *= sums[i - k];
        for (size_t k = 1; k <= most; k++) row[k - 1] /= total;
        sums[i] = total;
        if (total < 1e-100 || total > 1e100)
            for (size_t k = 0; k <= most; k++) sums[i - k] /= total;
    }
}

/* Cuts a window that is a whole run or the rest of one; `ends` is all 0. */
static void cut_window(const lx_decoder *decoder, const uint32_t *text, size_t n, workspace *work,
                       uint8_t *ends) {
    size_t longest = decoder->longest;
    weigh_words(decoder, text, n, work->shares);
    sum_forward(n, longest, work->shares, work->sums);
    memset(work->passes, 0, (n + 1) * sizeof *work->passes);
    work->passes[n] = 1.0;
    for (size_t i = n; i > 0; i--)
        for (size_t k = 1; k <= longest && k <= i; k++)
            work->passes[i - k] += work->passes[i] * work->shares[i * longest + k - 1];
    work->best[0] = 0.0;
    for (size_t i = 1; i <= n; i++) {
        work->best[i] = -1.0;
        for (size_t k = 1; k <= longest && k <= i; k++) {
            double share = work->shares[i * longest + k - 1];
            double value = work->best[i - k] + work->passes[i] * share;
            if (share == 0.0 || value <= work->best[i]) continue; /* of equals the shortest */
            work->best[i] = value;
            work->lengths[i] = (uint8_t)k;
        }
    }
    for (size_t i = n; i > 0; i -= work->lengths[i]) ends[i - 1] = 1;
}

/* Cuts one run. Of a window that is not the last, the words near its end are cut again. */
static void cut_run(const lx_decoder *decoder, const uint32_t *text, size_t n, workspace *work,
                    uint8_t *ends) {
    while (n > LX_CUT_WINDOW) {
        cut_window(decoder, text, LX_CUT_WINDOW, work, ends);
        size_t keep = LX_CUT_WINDOW - LX_CUT_OVERLAP;
        while (!ends[keep - 1]) keep--; /* words are shorter than the window, so one ends before */
        memset(ends + keep, 0, LX_CUT_WINDOW - keep);
        text += keep;
        ends += keep;
        n -= keep;
    }
    cut_window(decoder, text, n, work, ends);
}

int lx_decoder_cut(const lx_decoder *decoder, const uint32_t *text, size_t num_symbols, uint8_t *ends) {
    size_t rows = LX_CUT_WINDOW + 1;
    double *room = malloc(rows * (decoder->longest + 3) * sizeof *room);
    uint8_t *lengths = malloc(rows);
    if (!room || !lengths) {
        free(room);
        free(lengths);
        return LX_NO_MEMORY;
    }
    double *rest = room + rows * decoder->longest;
    workspace work = {room, rest, rest + rows, rest + 2 * rows, lengths};
    memset(ends, 0, num_symbols);
    for (size_t p = 0; p < num_symbols; p++) {
        size_t start = p;
        while (p < num_symbols && text[p]) p++;
        if (p > start) cut_run(decoder, text + start, p - start, &work, ends + start);
    }
    free(room);
    free(lengths);
    return LX_OK;
}
