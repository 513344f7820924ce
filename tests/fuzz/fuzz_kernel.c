/* fuzz_kernel.c - the whole kernel over two small texts, every result held against a naive count (libFuzzer).
 *
 * The first bytes of an input choose the form of the keys, the order, the least counts and the size of the shares;
 * the rest is the text. Only a few code points count, so that grams repeat.
 */
#include "../../nlpkit/ngram/kernel.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_BYTES = 200, MOST_SYMBOLS = MOST_BYTES + 2, MOST_NAMES = MOST_BYTES + 2, MOST_GRAMS = 8 * MOST_BYTES, SHIFT = 20 };
enum { HEAD = 8, BROKEN = -1 };

#define CHECK(holds) \
    do { \
        if (!(holds)) { \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); \
            abort(); \
        } \
    } while (0)

static const uint32_t COUNTED[] = {'A', 'B', 'C', 0x4E00, 0x4E01, 0x7684, 0x20000, 0x10FFFF};
static const uint32_t PARTS[] = {'a', 'b', '7', 0xE9, 0x1FFF};
enum { NUM_COUNTED = sizeof COUNTED / sizeof *COUNTED, NUM_PARTS = sizeof PARTS / sizeof *PARTS };

static uint8_t classes[NG_NUM_CODE_POINTS];
static uint32_t map[NG_NUM_CODE_POINTS], point_symbols[NG_NUM_CODE_POINTS];
static uint64_t point_counts[NG_NUM_CODE_POINTS], table[16];
static const ng_xlogx XLOGX = {table, 16, SHIFT};

typedef struct { const uint8_t *data; size_t size; uint32_t symbols[MOST_SYMBOLS]; size_t starts[MOST_SYMBOLS], num; } text;
typedef struct { const uint8_t *bytes; size_t size; uint64_t count; } name;
static text texts[2];
static name names[MOST_NAMES]; /* of the naive symbols: 1 .. num_names - 1, in the order of first sight */
static size_t num_names;
static uint32_t dense_of[MOST_NAMES]; /* naive symbol to the kernel's */
static uint32_t size_of_alphabet, num_characters;
static uint64_t symbol_totals[MOST_NAMES];

typedef struct gram { uint32_t symbols[NG_MAX_DEPTH + 1]; int order; uint32_t word; uint64_t count; struct gram *next; } gram;
static gram grams[MOST_GRAMS], *chains[1024];
static size_t num_grams;

/* ---- naive reading ---- */

/* One code point, or BROKEN, and its bytes: by the table of well-formed sequences of the Unicode standard. */
static size_t naive_point(const uint8_t *p, size_t left, int64_t *point) {
    static const struct { uint8_t first, last, low, high, more; } ROWS[] = {
        {0xC2, 0xDF, 0x80, 0xBF, 1}, {0xE0, 0xE0, 0xA0, 0xBF, 2}, {0xE1, 0xEC, 0x80, 0xBF, 2},
        {0xED, 0xED, 0x80, 0x9F, 2}, {0xEE, 0xEF, 0x80, 0xBF, 2}, {0xF0, 0xF0, 0x90, 0xBF, 3},
        {0xF1, 0xF3, 0x80, 0xBF, 3}, {0xF4, 0xF4, 0x80, 0x8F, 3}};
    *point = BROKEN;
    if (*p < 0x80) return *point = *p, 1;
    for (size_t row = 0; row < sizeof ROWS / sizeof *ROWS; ++row) {
        if (*p < ROWS[row].first || *p > ROWS[row].last) continue;
        uint32_t value = *p & (0x3F >> ROWS[row].more);
        for (size_t i = 1; i <= ROWS[row].more; ++i) {
            int low = i == 1 ? ROWS[row].low : 0x80, high = i == 1 ? ROWS[row].high : 0xBF;
            if (i >= left || p[i] < low || p[i] > high) return i;
            value = value << 6 | (p[i] & 0x3F);
        }
        *point = value;
        return ROWS[row].more + 1u;
    }
    return 1;
}

static uint32_t name_number(const uint8_t *bytes, size_t size) {
    for (size_t i = 1; i < num_names; ++i)
        if (names[i].size == size && !memcmp(names[i].bytes, bytes, size)) return names[i].count++, (uint32_t)i;
    names[num_names] = (name){bytes, size, 1};
    return (uint32_t)num_names++;
}

/* Symbols of bytes, breaks in a row as one 0; returns how many. */
static size_t naive_symbols(const uint8_t *data, size_t size, uint32_t *symbols, size_t *starts,
                            uint32_t (*number)(const uint8_t *, size_t)) {
    size_t num = 0, at = 0, length;
    while (at < size) {
        int64_t point;
        size_t end = at + naive_point(data + at, size - at, &point);
        int kind = point == BROKEN ? NG_BREAK : classes[point];
        if (kind == NG_UNIT_PART)
            for (length = 1; end < size; ++length) {
                size_t next = end + naive_point(data + end, size - end, &point);
                if (point == BROKEN || classes[point] != NG_UNIT_PART) break;
                end = next;
            }
        else length = 1;
        uint32_t symbol = kind == NG_BREAK || length > NG_MAX_UNIT ? 0 : number(data + at, end - at);
        if (symbol || !num || symbols[num - 1]) {
            if (starts) starts[num] = at;
            symbols[num++] = symbol;
        }
        at = end;
    }
    return num;
}

static int is_unit(size_t number) {
    int64_t point;
    naive_point(names[number].bytes, names[number].size, &point);
    return classes[point] == NG_UNIT_PART;
}

/* ---- the alphabet ---- */
static void new_alphabet(ng_alphabet *alphabet) {
    for (int i = 0; i < NUM_COUNTED; ++i) map[COUNTED[i]] = COUNTED[i], point_counts[COUNTED[i]] = 0;
    *alphabet = (ng_alphabet){.map = map, .counts = point_counts};
}

/* As ng_alphabet_freeze, but without a walk over all code points. */
static void freeze(ng_alphabet *alphabet, const uint32_t *unit_symbols) {
    for (int i = 0; i < NUM_COUNTED; ++i) map[COUNTED[i]] = point_symbols[COUNTED[i]];
    alphabet->unit_symbols = malloc((alphabet->units.num + 1) * sizeof *unit_symbols);
    memcpy(alphabet->unit_symbols, unit_symbols, alphabet->units.num * sizeof *unit_symbols);
    alphabet->largest = size_of_alphabet;
}

static void number_symbols(const ng_alphabet *alphabet, uint64_t min_unit_count, uint32_t *unit_symbols) {
    size_of_alphabet = 0;
    memset(dense_of, 0, sizeof dense_of);
    for (int i = 0; i < NUM_COUNTED; ++i)
        point_symbols[COUNTED[i]] = point_counts[COUNTED[i]] ? ++size_of_alphabet : 0;
    num_characters = size_of_alphabet;
    for (size_t unit = 0; unit < alphabet->units.num; ++unit)
        unit_symbols[unit] = alphabet->units.counts[unit] >= min_unit_count ? ++size_of_alphabet : 0;
    size_t units_seen = 0;
    for (size_t i = 1; i < num_names; ++i) {
        int64_t point;
        if (is_unit(i)) {
            int64_t unit = ng_intern_find(&alphabet->units, names[i].bytes, names[i].size);
            CHECK(unit >= 0 && alphabet->units.counts[unit] == names[i].count);
            dense_of[i] = unit_symbols[unit];
            ++units_seen;
        } else {
            naive_point(names[i].bytes, names[i].size, &point);
            CHECK(point_counts[point] == names[i].count);
            dense_of[i] = point_symbols[point];
        }
        symbol_totals[dense_of[i]] = names[i].count;
    }
    CHECK(units_seen == alphabet->units.num);
}

/* ---- shares ---- */
typedef struct { int text; size_t from, to; } share;
static share shares[MOST_BYTES + 2];
static size_t num_shares;

static void cut_shares(size_t share_bytes) {
    num_shares = 0;
    for (int t = 0; t < 2; ++t)
        for (size_t at = 0; at < texts[t].size;) {
            size_t end = ng_boundary(texts[t].data, texts[t].size, at + share_bytes);
            CHECK(end > at && end <= texts[t].size);
            shares[num_shares++] = (share){t, at, end};
            at = end;
        }
}

/* Decode the shares of one text one by one: together they are the naive symbols. */
static void check_decoding(ng_alphabet *alphabet, int t, int counting) {
    uint32_t symbols[MOST_SYMBOLS], offsets[MOST_SYMBOLS], together[MOST_SYMBOLS];
    size_t places[MOST_SYMBOLS], num = 0;
    ng_decoded seen = {0, 0, UINT64_MAX};
    uint64_t points_before = 0;
    for (size_t i = 0; i < num_shares; ++i) {
        if (shares[i].text != t) continue;
        size_t from = shares[i].from, to = shares[i].to;
        int64_t got = ng_decode(alphabet, texts[t].data, texts[t].size, from, to, symbols, offsets, counting ? &seen : NULL);
        CHECK(got >= 0 && (size_t)got <= to - from);
        if (counting) CHECK(seen.code_points - points_before == ng_count_code_points(texts[t].data, texts[t].size, from, to));
        points_before = seen.code_points;
        for (int64_t s = 0; s < got; ++s) {
            if (!symbols[s] && num && !together[num - 1]) continue;
            places[num] = from + offsets[s];
            together[num++] = symbols[s];
        }
    }
    uint64_t points = 0, broken = 0, first = UINT64_MAX;
    for (size_t at = 0; at < texts[t].size; ++points) {
        int64_t point;
        size_t size = naive_point(texts[t].data + at, texts[t].size - at, &point);
        if (point == BROKEN && !broken++) first = at;
        at += size;
    }
    if (counting) CHECK(seen.code_points == points && seen.broken == broken && seen.first_broken == first);
    size_t expected = 0;
    for (size_t i = 0; i < texts[t].num; ++i) {
        uint32_t symbol = texts[t].symbols[i];
        if (!counting) symbol = dense_of[symbol];
        if (!counting && !symbol && expected && !together[expected - 1]) continue;
        CHECK(expected < num && places[expected] == texts[t].starts[i]);
        if (!counting) CHECK(together[expected] == symbol);
        else CHECK(!together[expected] == !symbol);
        ++expected;
    }
    CHECK(expected == num);
}

/* ---- grams ---- */
static gram **chain_of(const uint32_t *symbols, size_t order) {
    uint32_t hash = 0;
    for (size_t i = 0; i < order; ++i) hash = (hash ^ symbols[i]) * 2246822519u;
    return chains + (hash >> 22);
}

static gram *find_gram(const uint32_t *symbols, size_t order) {
    gram *found = *chain_of(symbols, order);
    while (found && ((size_t)found->order != order || memcmp(found->symbols, symbols, order * sizeof *symbols))) found = found->next;
    return found;
}

static void list_grams(int most) {
    num_grams = 0;
    memset(chains, 0, sizeof chains);
    for (int t = 0; t < 2; ++t)
        for (size_t i = 0; i < texts[t].num; ++i)
            for (size_t order = 1; order <= (size_t)most && i + order <= texts[t].num && texts[t].symbols[i + order - 1]; ++order) {
                gram *found = find_gram(texts[t].symbols + i, order), **chain = chain_of(texts[t].symbols + i, order);
                if (!found) {
                    found = *chain = memcpy(grams + num_grams++, &(gram){.order = (int)order, .next = *chain}, sizeof *found);
                    memcpy(found->symbols, texts[t].symbols + i, order * sizeof *found->symbols);
                }
                found->count++;
            }
}

static uint64_t times_log(uint64_t count) {
    return count < 16 ? table[count] : (uint64_t)(ldexp((double)count * log((double)count), SHIFT) + 0.5);
}

/* The sum of c ln c beside a gram; side 0: before, 1: after. */
static uint64_t naive_side(const gram *of, int side, const uint8_t *rare) {
    uint64_t sum = 0, seen = 0;
    uint32_t longer[NG_MAX_DEPTH + 2];
    memcpy(longer + !side, of->symbols, (size_t)of->order * sizeof *longer);
    for (uint32_t symbol = 1; symbol <= size_of_alphabet; ++symbol) {
        if (rare[symbol]) continue;
        longer[side ? of->order : 0] = symbol;
        const gram *found = find_gram(longer, (size_t)of->order + 1);
        uint64_t count = found ? found->count : 0;
        sum += count ? times_log(count) : 0;
        seen += count;
    }
    return sum + times_log(of->count - seen);
}

typedef struct { uint64_t *starts, *sizes; void *keys; uint32_t *counts; ng_run run; } counted;

static void free_counted(counted *c) {
    free(c->starts);
    free(c->sizes);
    free(c->keys);
    free(c->counts);
}

static counted new_counted(uint64_t num, int bits, int depth, int wide) {
    size_t buckets = size_of_alphabet + 1u;
    counted c = {calloc(buckets + 1, 8), calloc(buckets, 8), malloc((num + 1) * (wide ? 16 : 8)), malloc((num + 1) * 4), {0}};
    c.run = (ng_run){c.starts, c.sizes, c.keys, c.counts, buckets, num, bits, depth, wide};
    return c;
}

/* Count one text by its shares, from the symbols of a census (points and units given) or from dense ones. */
static counted count_text(ng_alphabet *alphabet, int t, int bits, int depth, int wide, const uint32_t *points,
                          const uint32_t *units) {
    static uint32_t symbols[MOST_BYTES + 2][MOST_SYMBOLS];
    size_t owned[MOST_BYTES + 2], num[MOST_BYTES + 2];
    uint64_t histogram[MOST_NAMES] = {0}, cursors[MOST_NAMES], sum = 0;
    for (size_t i = 0; i < num_shares; ++i) {
        if (shares[i].text != t) continue;
        int64_t got = ng_decode(alphabet, texts[t].data, texts[t].size, shares[i].from, shares[i].to, symbols[i], NULL, NULL);
        CHECK(got >= 0);
        owned[i] = num[i] = (size_t)got;
        if (!got || !symbols[i][got - 1]) got = 0;
        else got = ng_decode_ahead(alphabet, texts[t].data, texts[t].size, shares[i].to, 8, symbols[i] + num[i], NULL, 0);
        CHECK(got >= 0 && got <= 8);
        num[i] += (size_t)got;
        ng_histogram(symbols[i], owned[i], points, units, histogram);
    }
    histogram[0] = 0;
    for (size_t s = 0; s <= size_of_alphabet; ++s) sum += histogram[s];
    counted c = new_counted(sum, bits, depth, wide);
    for (size_t s = 0; s <= size_of_alphabet; ++s) c.starts[s + 1] = c.starts[s] + histogram[s], cursors[s] = c.starts[s];
    for (size_t i = 0; i < num_shares; ++i)
        if (shares[i].text == t)
            ng_scatter(symbols[i], owned[i], num[i], points, units, bits, depth, wide, cursors, c.keys);
    for (size_t s = 0; s <= size_of_alphabet; ++s) CHECK(cursors[s] == c.starts[s + 1]);
    uint32_t half = size_of_alphabet / 2;
    CHECK(!ng_sort(c.keys, c.counts, c.starts, c.sizes, 0, half, bits, depth, wide));
    CHECK(!ng_sort(c.keys, c.counts, c.starts, c.sizes, half, size_of_alphabet + 1, bits, depth, wide));
    return c;
}

static counted merge(const counted *parts, int bits, int depth, int wide) {
    counted c = new_counted(parts[0].run.num_keys + parts[1].run.num_keys, bits, depth, wide);
    ng_run runs[2] = {parts[0].run, parts[1].run};
    CHECK(!ng_merge(runs, 2, 0, size_of_alphabet + 1, c.sizes, c.keys, c.counts, c.run.num_keys));
    for (size_t s = 0; s <= size_of_alphabet; ++s) c.starts[s + 1] = c.starts[s] + c.sizes[s];
    c.run.num_keys = c.starts[size_of_alphabet + 1];
    return c;
}

static void check_grams(const ng_run *run, int most, uint64_t min_count, const uint8_t *rare) {
    size_t expected[NG_MAX_DEPTH + 1] = {0};
    ng_gram_list lists[NG_MAX_DEPTH + 1] = {{0}};
    for (size_t i = 0; i < num_grams; ++i) expected[grams[i].order] += grams[i].order <= most && grams[i].count >= min_count;
    uint32_t half = size_of_alphabet / 2;
    CHECK(!ng_grams(run, 0, half, most, min_count, rare, &XLOGX, lists));
    CHECK(!ng_grams(run, half, size_of_alphabet + 1, most, min_count, rare, &XLOGX, lists));
    for (int order = 0; order <= NG_MAX_DEPTH; ++order) {
        CHECK(lists[order].num == expected[order]);
        for (size_t i = 0; i < lists[order].num; ++i) {
            const gram *found = find_gram(lists[order].symbols + i * (size_t)order, (size_t)order);
            CHECK(found && found->count == lists[order].counts[i]);
            if (order < run->depth) CHECK(lists[order].right[i] == naive_side(found, 1, rare));
        }
        free(lists[order].symbols);
        free(lists[order].counts);
        free(lists[order].right);
    }
}

static void check_counting(const ng_run *run, const uint32_t *renumbered) {
    for (size_t i = 0; i < num_grams; ++i) {
        if (grams[i].order > run->depth) continue;
        uint32_t symbols[NG_MAX_DEPTH];
        for (int j = 0; j < grams[i].order; ++j) symbols[j] = renumbered ? renumbered[grams[i].symbols[j]] : grams[i].symbols[j];
        CHECK(ng_count_gram(run, symbols, (size_t)grams[i].order) == grams[i].count);
    }
}

/* Keys of the doubled symbols, once more as wide as they need be. */
static void check_remap(const counted *c) {
    uint32_t doubled[MOST_NAMES];
    int bits = c->run.bits + 1, wide = bits * (c->run.depth - 1) > 64;
    if (bits * (c->run.depth - 1) > 128) return;
    for (uint32_t s = 0; s <= size_of_alphabet; ++s) doubled[s] = 2 * s;
    uint64_t *starts = calloc(2 * (size_t)size_of_alphabet + 2, 8), *sizes = calloc(2 * (size_t)size_of_alphabet + 2, 8);
    void *keys = malloc((c->run.num_keys + 1) * 16);
    for (uint32_t s = 0; s <= size_of_alphabet; ++s) starts[2 * s] = c->starts[s], sizes[2 * s] = c->sizes[s];
    CHECK(!ng_remap(&c->run, doubled, bits, wide, keys));
    ng_run run = {starts, sizes, keys, c->counts, 2 * (uint64_t)size_of_alphabet + 1, c->run.num_keys, bits, c->run.depth, wide};
    check_counting(&run, doubled);
    free(starts);
    free(sizes);
    free(keys);
}

/* ---- passes over the text ---- */
static uint32_t word_symbols[MOST_GRAMS * 8];
static uint64_t word_ends[MOST_GRAMS];
static const gram *word_grams[MOST_GRAMS];
static size_t num_words;

/* Some of the grams, by a hash of their symbols. */
static void choose_words(int shortest, int longest, uint32_t seed) {
    num_words = 0;
    uint64_t end = 0;
    for (size_t i = 0; i < num_grams; ++i) {
        uint32_t hash = seed * 2654435761u + 1;
        for (int j = 0; j < grams[i].order; ++j) hash = (hash ^ grams[i].symbols[j]) * 2246822519u;
        grams[i].word = NG_NONE;
        if (grams[i].order < shortest || grams[i].order > longest || (seed & 3 ? hash >> 28 < (seed >> 2 & 15) : 0)) continue;
        memcpy(word_symbols + end, grams[i].symbols, (size_t)grams[i].order * 4);
        word_ends[num_words] = end += (uint64_t)grams[i].order;
        grams[i].word = (uint32_t)num_words;
        word_grams[num_words++] = grams + i;
    }
}

static uint32_t find_word(const uint32_t *symbols, size_t num) {
    const gram *found = num <= NG_MAX_DEPTH ? find_gram(symbols, num) : NULL;
    return found ? found->word : NG_NONE;
}

static void check_lefts(const ng_run *run, const ng_trie *trie, const uint8_t *rare) {
    uint64_t *left = calloc(num_words + 1, 8), *seen = calloc(num_words + 1, 8);
    ng_lefts(run, 0, size_of_alphabet + 1, trie, rare, &XLOGX, left, seen);
    for (size_t w = 0; w < num_words; ++w)
        if (word_grams[w]->order < run->depth)
            CHECK(left[w] + times_log(word_grams[w]->count - seen[w]) == naive_side(word_grams[w], 0, rare));
    free(left);
    free(seen);
}

static void check_piece(const uint32_t *piece, size_t length, int max_order, uint64_t *words, uint64_t *symbols,
                        const ng_intern *longer, uint64_t *num_longer) {
    if (length == 1) {
        symbols[*piece]--;
    } else if (length <= (size_t)max_order) {
        uint32_t word = find_word(piece, length);
        if (word != NG_NONE) words[word]--;
    } else if (length <= NG_MAX_WORD) {
        for (size_t i = 0; i + (size_t)max_order <= length; ++i)
            if (find_word(piece + i, (size_t)max_order) == NG_NONE) return;
        int64_t found = ng_intern_find(longer, (const uint8_t *)piece, length * 4);
        CHECK(found >= 0);
        longer->counts[found]--;
        ++*num_longer;
    }
}

/* Cut between two symbols unless an occurrence of a kept gram covers both. */
static void check_cutting(ng_alphabet *alphabet, const ng_trie *trie, int max_order) {
    uint64_t *words = calloc(num_words + 1, 8), symbols[MOST_NAMES] = {0}, num_longer = 0;
    ng_intern longer = {0};
    for (size_t i = 0; i < num_shares; ++i) {
        ng_text t = {alphabet, texts[shares[i].text].data, texts[shares[i].text].size};
        CHECK(!ng_cut(t, shares[i].from, shares[i].to, trie, max_order, words, symbols, &longer));
    }
    for (int t = 0; t < 2; ++t) {
        uint8_t joined[MOST_SYMBOLS] = {0}; /* joined[i]: no cut before symbol i */
        for (size_t i = 0; i < texts[t].num; ++i)
            for (size_t order = 2; order <= (size_t)max_order && i + order <= texts[t].num; ++order)
                if (find_word(texts[t].symbols + i, order) != NG_NONE) memset(joined + i + 1, 1, order - 1);
        for (size_t i = 0, end; i < texts[t].num; i = end) {
            for (end = i + 1; end < texts[t].num && joined[end]; ++end) {}
            if (texts[t].symbols[i])
                check_piece(texts[t].symbols + i, end - i, max_order, words, symbols, &longer, &num_longer);
        }
    }
    for (size_t w = 0; w < num_words; ++w) CHECK(!words[w]);
    for (size_t s = 0; s <= size_of_alphabet; ++s) CHECK(!symbols[s]);
    for (size_t i = 0; i < longer.num; ++i) CHECK(!longer.counts[i]);
    ng_intern_free(&longer);
    free(words);
}

static void check_matching(ng_alphabet *alphabet, const ng_trie *trie, uint32_t seed) {
    enum { PLACES = 2 };
    uint8_t *wanted = malloc(num_words + 1);
    uint64_t *counts = calloc(num_words + 1, 8), *places = malloc((num_words + 1) * PLACES * 8), expected = 0, base = 5;
    for (size_t w = 0; w < num_words; ++w) wanted[w] = (uint8_t)((w + seed) % 3);
    memset(places, 0xFF, num_words * PLACES * 8);
    ng_matches matches = {.wanted = wanted, .counts = counts, .places = places, .num_places = PLACES, .base = base};
    for (size_t i = 0; i < num_shares; ++i) {
        ng_text t = {alphabet, texts[shares[i].text].data, texts[shares[i].text].size};
        matches.base = base + (shares[i].text ? texts[0].size : 0);
        CHECK(!ng_match(t, shares[i].from, shares[i].to, trie, &matches));
    }
    for (size_t w = 0; w < num_words; ++w) {
        size_t order = (size_t)word_grams[w]->order, found = 0;
        CHECK(counts[w] == (wanted[w] ? word_grams[w]->count : 0));
        for (int t = 0; t < 2; ++t)
            for (size_t i = 0; i + order <= texts[t].num; ++i) {
                if (memcmp(texts[t].symbols + i, word_grams[w]->symbols, order * 4)) continue;
                uint64_t place = base + (t ? texts[0].size : 0) + texts[t].starts[i];
                if (found < PLACES) CHECK(places[w * PLACES + found] == place);
                ++found;
                if (wanted[w] != 2) continue;
                uint32_t beside[2] = {i ? texts[t].symbols[i - 1] : 0, i + order < texts[t].num ? texts[t].symbols[i + order] : 0};
                for (uint64_t side = 0; side < 2; ++side) { /* strike out one such neighbour */
                    uint64_t sought = (uint64_t)w << 33 | side << 32 | beside[side];
                    size_t n = 0;
                    while (n < matches.num_neighbours && matches.neighbours[n] != sought) ++n;
                    CHECK(n < matches.num_neighbours);
                    matches.neighbours[n] = UINT64_MAX;
                    ++expected;
                }
            }
        for (; found < PLACES; ++found) CHECK(places[w * PLACES + found] == UINT64_MAX);
    }
    CHECK(expected == matches.num_neighbours);
    free(matches.neighbours);
    free(wanted);
    free(counts);
    free(places);
}

static uint32_t known_number(const uint8_t *bytes, size_t size) {
    for (size_t i = 1; i < num_names; ++i)
        if (names[i].size == size && !memcmp(names[i].bytes, bytes, size)) return dense_of[i];
    return 0;
}

static void check_marking(ng_alphabet *alphabet, const ng_trie *trie) {
    uint8_t *marks = calloc(num_words + 1, 1), *expected = calloc(num_words + 1, 1);
    uint32_t symbols[MOST_SYMBOLS];
    const text *dictionary = texts + 1;
    CHECK(!ng_mark((ng_text){alphabet, dictionary->data, dictionary->size}, trie, marks));
    for (size_t at = 0, end, stop; at < dictionary->size; at = end + 1) {
        for (end = at; end < dictionary->size && dictionary->data[end] != '\n'; ++end) {}
        for (stop = at; stop < end && !strchr(" \t\r", dictionary->data[stop] ? dictionary->data[stop] : 'x'); ++stop) {}
        if (stop - at > 4 * NG_MAX_WORD) continue;
        uint32_t word = find_word(symbols, naive_symbols(dictionary->data + at, stop - at, symbols, NULL, known_number));
        if (word != NG_NONE) expected[word] = 1;
    }
    CHECK(!memcmp(marks, expected, num_words));
    free(marks);
    free(expected);
}

static void check_code_points_at(void) {
    uint64_t bytes[MOST_BYTES + 1], points[MOST_BYTES + 1];
    size_t num = 0;
    for (size_t at = 0; at < texts[0].size; ++num) {
        int64_t point;
        bytes[num] = at;
        at += naive_point(texts[0].data + at, texts[0].size - at, &point);
    }
    ng_code_points_at(texts[0].data, texts[0].size, 0, bytes, num, points);
    for (size_t i = 0; i < num; ++i) CHECK(points[i] == i);
}

/* The alphabet as callers make it; slow, so not for every input. */
static void check_whole_alphabet(const uint32_t *unit_symbols) {
    ng_alphabet *alphabet = ng_alphabet_new(classes);
    const text *of = texts; /* the first text's units have the same numbers here */
    uint32_t symbols[MOST_SYMBOLS];
    ng_decoded seen = {0, 0, UINT64_MAX};
    CHECK(alphabet && ng_decode(alphabet, of->data, of->size, 0, of->size, symbols, NULL, &seen) >= 0);
    CHECK(!ng_alphabet_freeze(alphabet, point_symbols, unit_symbols));
    CHECK(alphabet->largest <= size_of_alphabet);
    CHECK(ng_decode(alphabet, of->data, of->size, 0, of->size, symbols, NULL, NULL) == (int64_t)of->num);
    CHECK(!memcmp(symbols, of->symbols, of->num * 4));
    ng_alphabet_free(alphabet);
}

static void run_all(const uint8_t *head, size_t share_bytes) {
    int depth = 2 + head[0] % 8, wide = head[0] >> 3 & 1, order = depth - 1;
    uint64_t min_count = 1 + head[1] % 3, min_unit_count = 1 + (head[1] >> 2) % 3;
    ng_alphabet alphabet;
    uint32_t unit_symbols[MOST_NAMES];
    new_alphabet(&alphabet);
    cut_shares(share_bytes);
    num_names = 1;
    for (int t = 0; t < 2; ++t)
        texts[t].num = naive_symbols(texts[t].data, texts[t].size, texts[t].symbols, texts[t].starts, name_number);
    for (int t = 0; t < 2; ++t) check_decoding(&alphabet, t, 1);
    number_symbols(&alphabet, min_unit_count, unit_symbols);

    int bits = 1;
    while ((size_of_alphabet >> bits)) ++bits;
    int most_bits = (wide ? 128 : 64) / (depth - 1);
    if (bits > most_bits) wide = 1, most_bits = 128 / (depth - 1);
    if (most_bits > 32) most_bits = 32;
    bits += head[2] % (most_bits - bits + 1);
    counted parts[2], twins[2];
    for (int t = 0; t < 2; ++t)
        parts[t] = count_text(&alphabet, t, bits, depth, wide, point_symbols, unit_symbols);
    freeze(&alphabet, unit_symbols);
    for (int t = 0; t < 2; ++t) {
        check_decoding(&alphabet, t, 0);
        twins[t] = count_text(&alphabet, t, bits, depth, wide, NULL, NULL);
        CHECK(twins[t].run.num_keys == parts[t].run.num_keys);
        CHECK(!memcmp(twins[t].sizes, parts[t].sizes, (size_of_alphabet + 1) * 8));
        size_t num = 0, last; /* breaks in a row are one again, now that rare units are breaks */
        for (size_t i = 0; i < texts[t].num; ++i) {
            last = dense_of[texts[t].symbols[i]];
            if (!last && num && !texts[t].symbols[num - 1]) continue;
            texts[t].starts[num] = texts[t].starts[i];
            texts[t].symbols[num++] = (uint32_t)last;
        }
        texts[t].num = num;
    }
    uint8_t rare[MOST_NAMES] = {0};
    for (uint32_t s = num_characters + 1; s <= size_of_alphabet; ++s) rare[s] = symbol_totals[s] < min_count;
    counted whole = merge(parts, bits, depth, wide);
    list_grams(depth);
    check_grams(&whole.run, order, min_count, rare);
    check_grams(&whole.run, depth, 1, rare);
    check_counting(&whole.run, NULL);
    check_remap(&whole);

    choose_words(1, order, head[3]);
    ng_trie *trie = ng_trie_new(size_of_alphabet, word_symbols, word_ends, num_words);
    CHECK(trie);
    for (size_t i = 0; i < num_grams; ++i)
        CHECK(ng_trie_find(trie, grams[i].symbols, (size_t)grams[i].order) == find_word(grams[i].symbols, (size_t)grams[i].order));
    check_lefts(&whole.run, trie, rare);
    cut_shares(share_bytes < 40 ? share_bytes + 25 : share_bytes); /* a pass takes a large buffer for each share */
    check_matching(&alphabet, trie, head[3]);
    check_marking(&alphabet, trie);
    ng_trie_free(trie);
    choose_words(2, order, head[4]);
    trie = ng_trie_new(size_of_alphabet, word_symbols, word_ends, num_words);
    CHECK(trie);
    check_cutting(&alphabet, trie, order);
    ng_trie_free(trie);
    check_code_points_at();
    if (head[5] == 7) check_whole_alphabet(unit_symbols);
    for (int t = 0; t < 2; ++t) free_counted(parts + t), free_counted(twins + t);
    free_counted(&whole);
    free(alphabet.unit_symbols);
    ng_intern_free(&alphabet.units);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static int ready;
    if (!ready++) {
        for (int i = 0; i < NUM_COUNTED; ++i) classes[COUNTED[i]] = NG_CHARACTER;
        for (int i = 0; i < NUM_PARTS; ++i) classes[PARTS[i]] = NG_UNIT_PART, map[PARTS[i]] = NG_NONE;
        for (int c = 2; c < 16; ++c) table[c] = (uint64_t)(ldexp(c * log(c), SHIFT) + 0.5);
    }
    if (size < HEAD || size > HEAD + MOST_BYTES) return -1;
    size_t share_bytes = data[6] ? data[6] : MOST_BYTES, rest = size - HEAD, middle = rest * data[7] / 255;
    /* Copies of their own, so that a read past the end is seen. */
    uint8_t *first = malloc(middle ? middle : 1), *second = malloc(rest > middle ? rest - middle : 1);
    memcpy(first, data + HEAD, middle);
    memcpy(second, data + HEAD + middle, rest - middle);
    texts[0].data = first, texts[0].size = middle;
    texts[1].data = second, texts[1].size = rest - middle;
    run_all(data, share_bytes);
    free(first);
    free(second);
    return 0;
}
