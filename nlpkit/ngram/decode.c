#include "kernel.h"
#include <stdlib.h>
#include <string.h>

#define BROKEN UINT32_MAX

ng_alphabet *ng_alphabet_new(const uint8_t *classes) {
    ng_alphabet *alphabet = calloc(1, sizeof *alphabet);
    if (!alphabet) return NULL;
    alphabet->map = malloc(NG_NUM_CODE_POINTS * sizeof *alphabet->map);
    alphabet->counts = calloc(NG_NUM_CODE_POINTS, sizeof *alphabet->counts);
    if (!alphabet->map || !alphabet->counts) {
        ng_alphabet_free(alphabet);
        return NULL;
    }
    for (uint32_t point = 0; point < NG_NUM_CODE_POINTS; ++point)
        alphabet->map[point] = classes[point] == NG_UNIT_PART ? NG_NONE : classes[point] == NG_BREAK ? 0 : point;
    alphabet->map[0] = 0;    /* U+0000 would look like a break */
    alphabet->map['\n'] = 0; /* shares and passes start anew at a line */
    return alphabet;
}

void ng_alphabet_free(ng_alphabet *alphabet) {
    if (!alphabet) return;
    free(alphabet->map);
    free(alphabet->counts);
    free(alphabet->unit_symbols);
    ng_intern_free(&alphabet->units);
    free(alphabet);
}

/* From here on symbols are the given dense ones; a unit that is not in the table is a break. */
int ng_alphabet_freeze(ng_alphabet *alphabet, const uint32_t *point_symbols, const uint32_t *unit_symbols) {
    alphabet->unit_symbols = calloc(alphabet->units.num + 1, sizeof *unit_symbols);
    if (!alphabet->unit_symbols) return NG_ENOMEM;
    for (size_t unit = 0; unit < alphabet->units.num; ++unit)
        if ((alphabet->unit_symbols[unit] = unit_symbols[unit]) > alphabet->largest) alphabet->largest = unit_symbols[unit];
    for (uint32_t point = 0; point < NG_NUM_CODE_POINTS; ++point) {
        if (alphabet->map[point] == NG_NONE) continue;
        alphabet->map[point] = point_symbols[point];
        if (point_symbols[point] > alphabet->largest) alphabet->largest = point_symbols[point];
    }
    free(alphabet->counts);
    alphabet->counts = NULL;
    return 0;
}

static int is_continuation(uint8_t byte) { return (byte & 0xC0) == 0x80; }

/* Read one code point, or BROKEN for a maximal broken part (Unicode 15, section 3.9, as Python's "replace" does). */
static uint32_t next_code_point(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    uint32_t lead = *p++, point, low = 0x80, high = 0xBF;
    int more;
    if (lead < 0x80) return *at = p, lead;
    if (lead >= 0xC2 && lead <= 0xDF) more = 1, point = lead & 0x1F;
    else if (lead >= 0xE0 && lead <= 0xEF) more = 2, point = lead & 0x0F;
    else if (lead >= 0xF0 && lead <= 0xF4) more = 3, point = lead & 0x07;
    else return *at = p, BROKEN;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    for (; more; --more, low = 0x80, high = 0xBF) {
        if (p == end || *p < low || *p > high) return *at = p, BROKEN;
        point = point << 6 | (*p++ & 0x3F);
    }
    return *at = p, point;
}

/* Most text is three-byte sequences: read those without a call. */
static inline uint32_t read_code_point(const uint8_t **at, const uint8_t *end) {
    const uint8_t *p = *at;
    if (p[0] < 0x80) return *at = p + 1, p[0];
    if ((p[0] & 0xF0) == 0xE0 && end - p > 2 && is_continuation(p[1]) && is_continuation(p[2])) {
        uint32_t point = (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
        if (point >= 0x800 && (point < 0xD800 || point > 0xDFFF)) return *at = p + 3, point;
    }
    return next_code_point(at, end);
}

/* A place at or after `at` where text may be cut: the start of a line if one is near, else of a code point. */
size_t ng_boundary(const uint8_t *data, size_t size, size_t at) {
    if (at == 0 || at >= size) return at < size ? at : size;
    size_t most = size - at < 65536 ? size - at : 65536;
    const uint8_t *line = memchr(data + at - 1, '\n', most);
    if (line) return (size_t)(line - data) + 1;
    while (at < size && is_continuation(data[at]) &&
           !(at >= 3 && is_continuation(data[at - 1]) && is_continuation(data[at - 2]) && is_continuation(data[at - 3])))
        ++at;
    return at;
}

static int is_unit_part(const ng_alphabet *alphabet, uint32_t point) {
    return point != BROKEN && alphabet->map[point] == NG_NONE;
}

/* Does a unit that starts before data[from] reach over it? */
static int inside_unit(const ng_alphabet *alphabet, const uint8_t *data, size_t size, size_t from) {
    if (from == 0 || from >= size) return 0;
    const uint8_t *here = data + from, *next = here;
    if (!is_unit_part(alphabet, read_code_point(&next, data + size))) return 0;
    for (size_t back = 1; back <= 4 && back <= from; ++back) {
        const uint8_t *start = here - back, *after = start;
        if (is_continuation(*start)) continue;
        return is_unit_part(alphabet, read_code_point(&after, data + size)) && after == here;
    }
    return 0;
}

/* Walk over the unit at *at; its number of code points, stopping at `stop` once it is too long to be one. */
static size_t skip_unit(const ng_alphabet *alphabet, const uint8_t **at, const uint8_t *stop, const uint8_t *end) {
    size_t length = 0;
    for (const uint8_t *p = *at; p < end; *at = p, ++length) {
        if (length > NG_MAX_UNIT && p >= stop) break;
        if (!is_unit_part(alphabet, read_code_point(&p, end))) break;
    }
    return length;
}

static int64_t unit_symbol(ng_alphabet *alphabet, const uint8_t *bytes, size_t size, int counting) {
    if (alphabet->unit_symbols) {
        int64_t unit = ng_intern_find(&alphabet->units, bytes, size);
        return unit < 0 ? 0 : alphabet->unit_symbols[unit];
    }
    int64_t unit = ng_intern_add(&alphabet->units, bytes, size, (uint64_t)counting);
    return unit < 0 ? NG_ENOMEM : NG_NUM_CODE_POINTS + unit;
}

/* Write the symbols that start in data[from, to), breaks in a row as one 0, and count what was seen.
 *
 * `symbols` (and `offsets`, unless NULL: bytes after `from`) have room for to - from entries. `seen` NULL: nothing is
 * counted. A unit that starts before `to` is read to its end; one that starts before `from` is left out.
 * Returns how many symbols, or NG_ENOMEM.
 */
int64_t ng_decode(ng_alphabet *alphabet, const uint8_t *data, size_t size, size_t from, size_t to, uint32_t *symbols,
                  uint32_t *offsets, ng_decoded *seen) {
    const uint8_t *p = data + from, *end = data + size, *stop = data + to;
    uint64_t *counts = seen ? alphabet->counts : NULL;
    uint64_t code_points = 0;
    int64_t num = 0;
    if (inside_unit(alphabet, data, size, from))
        while (p < stop) {
            const uint8_t *next = p;
            if (!is_unit_part(alphabet, read_code_point(&next, end))) break;
            p = next;
            ++code_points;
        }
    while (p < stop) {
        const uint8_t *at = p;
        uint32_t point = read_code_point(&p, end), symbol = 0;
        ++code_points;
        if (point == BROKEN) {
            if (seen && !seen->broken++) seen->first_broken = (uint64_t)(at - data);
        } else if ((symbol = alphabet->map[point]) == NG_NONE) {
            p = at;
            size_t length = skip_unit(alphabet, &p, stop, end);
            int64_t unit = length > NG_MAX_UNIT ? 0 : unit_symbol(alphabet, at, (size_t)(p - at), seen != NULL);
            if (unit < 0) return NG_ENOMEM;
            symbol = (uint32_t)unit;
            code_points += length - 1;
            if (p > stop && seen) code_points -= ng_count_code_points(data, size, to, (size_t)(p - data));
        } else if (symbol && counts) {
            ++counts[point];
        }
        if (!symbol && num && !symbols[num - 1]) continue;
        if (offsets) offsets[num] = (uint32_t)(at - data - from);
        symbols[num++] = symbol;
    }
    if (seen) seen->code_points += code_points;
    return num;
}

/* Write the symbols after data[from] until a break or `most` of them, uncounted; offsets get `base` added. */
int64_t ng_decode_ahead(ng_alphabet *alphabet, const uint8_t *data, size_t size, size_t from, size_t most,
                        uint32_t *symbols, uint32_t *offsets, uint32_t base) {
    enum { STEP = 64 };
    uint32_t step_symbols[STEP + 4], step_offsets[STEP + 4];
    size_t num = 0;
    while (num < most && from < size) {
        size_t to = from + STEP < size ? from + STEP : size;
        while (to < size && to < from + STEP + 3 && is_continuation(data[to])) ++to;
        int64_t got = ng_decode(alphabet, data, size, from, to, step_symbols, step_offsets, NULL);
        if (got < 0) return got;
        for (int64_t i = 0; i < got && num < most; ++i) {
            if (offsets) offsets[num] = base + step_offsets[i];
            symbols[num++] = step_symbols[i];
            if (!step_symbols[i]) return (int64_t)num;
        }
        base += (uint32_t)(to - from);
        from = to;
    }
    return (int64_t)num;
}

uint64_t ng_count_code_points(const uint8_t *data, size_t size, size_t from, size_t to) {
    const uint8_t *p = data + from, *end = data + size, *stop = data + to;
    uint64_t num = 0;
    for (; p < stop; ++num) read_code_point(&p, end);
    return num;
}

/* How many code points lie between data[from] and each of the ascending places in `bytes`. */
void ng_code_points_at(const uint8_t *data, size_t size, size_t from, const uint64_t *bytes, size_t num, uint64_t *points) {
    uint64_t seen = 0;
    for (size_t i = 0; i < num; ++i) {
        seen += ng_count_code_points(data, size, from, bytes[i]);
        points[i] = seen;
        from = bytes[i];
    }
}
