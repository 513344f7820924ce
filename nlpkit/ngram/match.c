#include "kernel.h"
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 18, AROUND = NG_MAX_WORD + NG_MAX_DEPTH, BACK = 4 * (NG_MAX_UNIT + 1) };

/* A stretch of the text as symbols, with some before and after it: [0, lo) before, [lo, hi) owned, [hi, num) after. */
typedef struct {
    uint32_t *symbols, *offsets; /* offsets: bytes after `base` */
    size_t lo, hi, num, base;
} stretch;

static int new_stretch(stretch *piece) {
    size_t room = PIECE + 65536 + 2 * AROUND * BACK;
    piece->symbols = malloc(room * sizeof *piece->symbols);
    piece->offsets = malloc(room * sizeof *piece->offsets);
    return piece->symbols && piece->offsets ? 0 : NG_ENOMEM;
}

static void free_stretch(stretch *piece) {
    free(piece->symbols);
    free(piece->offsets);
}

/* Where to start reading so that the symbols before `from` are known, back to a break or enough of them. */
static size_t look_back(ng_text text, size_t from, int most) {
    if (from == 0 || text.data[from - 1] == '\n') return from;
    size_t back = (size_t)most * BACK, start = from > back ? from - back : 0;
    while (start < from && start && (text.data[start] & 0xC0) == 0x80) ++start;
    return start;
}

/* Read data[from, to) with up to `before` symbols before it and `after` behind. */
static int read_stretch(ng_text text, size_t from, size_t to, int before, int after, stretch *piece) {
    size_t start = look_back(text, from, before);
    piece->base = start;
    int64_t lo = ng_decode(text.alphabet, text.data, text.size, start, from, piece->symbols, piece->offsets, NULL);
    if (lo < 0) return NG_ENOMEM;
    int64_t own = ng_decode(text.alphabet, text.data, text.size, from, to, piece->symbols + lo, piece->offsets + lo, NULL);
    if (own < 0) return NG_ENOMEM;
    for (int64_t i = lo; i < lo + own; ++i) piece->offsets[i] += (uint32_t)(from - start);
    piece->lo = (size_t)lo;
    piece->hi = piece->num = (size_t)(lo + own);
    if (own && !piece->symbols[piece->hi - 1]) return 0;
    int64_t more = ng_decode_ahead(text.alphabet, text.data, text.size, to, (size_t)after, piece->symbols + piece->num,
                                   piece->offsets + piece->num, (uint32_t)(to - start));
    if (more < 0) return NG_ENOMEM;
    piece->num += (size_t)more;
    return 0;
}

/* The next piece of data[*at, to), ending at a boundary. */
static size_t next_piece(ng_text text, size_t at, size_t to) {
    if (to - at <= PIECE) return to;
    size_t end = ng_boundary(text.data, text.size, at + PIECE);
    return end < to ? end : to;
}

/* ---- longest connection ---- */
typedef struct {
    const ng_trie *kept;
    int max_order;
    uint64_t *word_counts, *symbol_counts;
    ng_intern *longer;
} cutter;

/* How many symbols from here on the longest word covers, up to a break or `most` symbols; 1 if there is none. */
static size_t reach(const ng_trie *words, const uint32_t *symbols, size_t most) {
    size_t best = 1;
    const ng_edge *edge = words->first + symbols[0];
    for (size_t i = 1; i < most && edge->node && symbols[i]; ++i) {
        edge = ng_step(words, edge->node, symbols[i]);
        if (!edge) break;
        if (edge->word != NG_NONE) best = i + 1;
    }
    return best;
}

/* Count a piece, if it can be a word: backtracking comes before counting, which leaves the same words. */
static int count_piece(const cutter *cut, const uint32_t *piece, size_t length) {
    if (length == 1) {
        cut->symbol_counts[piece[0]]++;
        return 0;
    }
    if (length <= (size_t)cut->max_order) {
        uint32_t word = ng_trie_find(cut->kept, piece, length);
        if (word != NG_NONE) cut->word_counts[word]++;
        return 0;
    }
    if (length > NG_MAX_WORD) return 0;
    for (size_t i = 0; i + (size_t)cut->max_order <= length; ++i)
        if (ng_trie_find(cut->kept, piece + i, (size_t)cut->max_order) == NG_NONE) return 0;
    return ng_intern_add(cut->longer, (const uint8_t *)piece, length * sizeof *piece, 1) < 0 ? NG_ENOMEM : 0;
}

static int cut_stretch(const cutter *cut, const stretch *piece) {
    size_t start = 0, covered = 0; /* the open piece is [start, i), kept grams cover up to `covered` */
    for (size_t i = 0; i <= piece->num; ++i) {
        uint32_t symbol = i < piece->num ? piece->symbols[i] : 0;
        if (i >= covered || !symbol) {
            if (i > start && start >= piece->lo && start < piece->hi && count_piece(cut, piece->symbols + start, i - start))
                return NG_ENOMEM;
            start = symbol ? i : i + 1;
            if (i >= piece->hi) return 0;
        }
        if (!symbol) continue;
        size_t left = piece->num - i, most = (size_t)cut->max_order;
        size_t end = i + reach(cut->kept, piece->symbols + i, left < most ? left : most);
        if (end > covered) covered = end;
    }
    return 0;
}

/* Cut data[from, to) only where no kept gram covers both sides, and count the pieces.
 *
 * word_counts: pieces that are themselves kept; symbol_counts: pieces of one symbol; longer: pieces of max_order + 1
 * .. NG_MAX_WORD symbols all of whose windows of max_order are kept. A piece belongs to where it starts.
 */
int ng_cut(ng_text text, size_t from, size_t to, const ng_trie *kept, int max_order, uint64_t *word_counts,
           uint64_t *symbol_counts, ng_intern *longer) {
    cutter cut = {kept, max_order, word_counts, symbol_counts, longer};
    stretch piece;
    int failed = new_stretch(&piece);
    for (size_t at = from, end; !failed && at < to; at = end) {
        end = next_piece(text, at, to);
        failed = read_stretch(text, at, end, AROUND, AROUND, &piece) || cut_stretch(&cut, &piece);
    }
    free_stretch(&piece);
    return failed ? NG_ENOMEM : 0;
}

/* Mark where the text may be cut: after symbols where no word covers both sides. Symbols above the trie's are any others. */
void ng_connect(const ng_trie *words, const uint32_t *symbols, size_t num, uint8_t *ends) {
    size_t covered = 0;
    for (size_t i = 0; i < num; ++i) {
        size_t end = i + 1;
        if (symbols[i] && symbols[i] <= words->num_symbols) end = i + reach(words, symbols + i, num - i);
        if (end > covered) covered = end;
        ends[i] = covered == i + 1;
    }
}

/* ---- occurrences ---- */
static int add_neighbour(ng_matches *matches, uint32_t word, int side, uint32_t symbol) {
    if (matches->num_neighbours == matches->room) {
        size_t room = matches->room ? matches->room * 2 : 4096;
        uint64_t *bigger = realloc(matches->neighbours, room * sizeof *bigger);
        if (!bigger) return NG_ENOMEM;
        matches->neighbours = bigger;
        matches->room = room;
    }
    matches->neighbours[matches->num_neighbours++] = (uint64_t)word << 33 | (uint64_t)side << 32 | symbol;
    return 0;
}

static int note_occurrence(ng_matches *matches, const stretch *piece, size_t start, size_t end, uint32_t word) {
    uint64_t *places = matches->places + (size_t)word * (size_t)matches->num_places;
    if (matches->num_places && places[matches->num_places - 1] == UINT64_MAX) {
        int i = 0;
        while (places[i] != UINT64_MAX) ++i;
        places[i] = matches->base + piece->base + piece->offsets[start];
    }
    if (!matches->wanted[word]) return 0;
    matches->counts[word]++;
    if (matches->wanted[word] == 1) return 0;
    return add_neighbour(matches, word, 0, start ? piece->symbols[start - 1] : 0) ||
           add_neighbour(matches, word, 1, end < piece->num ? piece->symbols[end] : 0);
}

static int match_stretch(const ng_trie *words, const stretch *piece, ng_matches *matches) {
    for (size_t i = piece->lo; i < piece->hi; ++i) {
        if (!piece->symbols[i]) continue;
        const ng_edge *edge = words->first + piece->symbols[i];
        for (size_t j = i + 1; edge && edge->node; ++j) {
            if (edge->word != NG_NONE && note_occurrence(matches, piece, i, j, edge->word)) return NG_ENOMEM;
            if (j == piece->num || !piece->symbols[j]) break;
            edge = ng_step(words, edge->node, piece->symbols[j]);
        }
    }
    return 0;
}

/* Find every occurrence of every word that starts in data[from, to), overlapping ones too. */
int ng_match(ng_text text, size_t from, size_t to, const ng_trie *words, ng_matches *matches) {
    stretch piece;
    int failed = new_stretch(&piece);
    for (size_t at = from, end; !failed && at < to; at = end) {
        end = next_piece(text, at, to);
        failed = read_stretch(text, at, end, 1, AROUND, &piece) || match_stretch(words, &piece, matches);
    }
    free_stretch(&piece);
    return failed ? NG_ENOMEM : 0;
}

/* Mark the words that the text, a dictionary, lists: each line up to its first blank. */
int ng_mark(ng_text text, const ng_trie *words, uint8_t *marks) {
    uint32_t symbols[4 * NG_MAX_WORD];
    for (size_t at = 0, end; at < text.size; at = end + 1) {
        const uint8_t *line = memchr(text.data + at, '\n', text.size - at);
        end = line ? (size_t)(line - text.data) : text.size;
        size_t stop = at;
        while (stop < end && text.data[stop] != ' ' && text.data[stop] != '\t' && text.data[stop] != '\r') ++stop;
        if (stop == at || stop - at > sizeof symbols / sizeof *symbols) continue;
        int64_t num = ng_decode(text.alphabet, text.data, stop, at, stop, symbols, NULL, NULL);
        if (num < 0) return NG_ENOMEM;
        uint32_t word = ng_trie_find(words, symbols, (size_t)num);
        if (word != NG_NONE) marks[word] = 1;
    }
    return 0;
}
