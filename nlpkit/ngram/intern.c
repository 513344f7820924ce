#include "kernel.h"
#include <stdlib.h>
#include <string.h>

static uint64_t hash_bytes(const uint8_t *bytes, size_t size) {
    uint64_t hash = size * UINT64_C(0x9E3779B97F4A7C15), word;
    for (; size >= 8; bytes += 8, size -= 8) {
        memcpy(&word, bytes, 8);
        hash = (hash ^ word) * UINT64_C(0xFF51AFD7ED558CCD);
        hash ^= hash >> 32;
    }
    word = 0;
    memcpy(&word, bytes, size);
    hash = (hash ^ word) * UINT64_C(0xC4CEB9FE1A85EC53);
    return hash ^ hash >> 29;
}

static uint64_t start_of(const ng_intern *table, size_t number) { return number ? table->ends[number - 1] : 0; }

/* The slot that holds the string, or the empty one where it belongs. */
static size_t find_slot(const ng_intern *table, const uint8_t *bytes, size_t size, uint64_t hash) {
    size_t mask = table->num_slots - 1, slot = hash & mask;
    for (; table->slots[slot]; slot = (slot + 1) & mask) {
        size_t number = table->slots[slot] - 1;
        uint64_t start = start_of(table, number);
        if (table->hashes[number] == hash && table->ends[number] - start == size &&
            memcmp(table->blob + start, bytes, size) == 0)
            break;
    }
    return slot;
}

static int grow_slots(ng_intern *table) {
    size_t num_slots = table->num_slots ? table->num_slots * 2 : 1024, mask = num_slots - 1;
    uint32_t *slots = calloc(num_slots, sizeof *slots);
    if (!slots) return NG_ENOMEM;
    for (size_t number = 0; number < table->num; ++number) {
        size_t slot = table->hashes[number] & mask;
        while (slots[slot]) slot = (slot + 1) & mask;
        slots[slot] = (uint32_t)number + 1;
    }
    free(table->slots);
    table->slots = slots;
    table->num_slots = num_slots;
    return 0;
}

static int grow_array(uint64_t **array, size_t room) {
    uint64_t *bigger = realloc(*array, room * sizeof **array);
    if (!bigger) return NG_ENOMEM;
    *array = bigger;
    return 0;
}

static int make_room(ng_intern *table, size_t size) {
    if (table->num + 1 >= NG_NONE) return NG_ENOMEM;
    if ((table->num + 1) * 4 > table->num_slots * 3 && grow_slots(table)) return NG_ENOMEM;
    if (table->num == table->room) {
        size_t room = table->room ? table->room * 2 : 512;
        if (grow_array(&table->ends, room) || grow_array(&table->hashes, room) || grow_array(&table->counts, room))
            return NG_ENOMEM;
        table->room = room;
    }
    uint64_t used = start_of(table, table->num);
    if (used + size >= table->blob_size) { /* also for an empty first string: no copy to NULL */
        size_t blob_size = (table->blob_size + size) * 2 + 4096;
        uint8_t *blob = realloc(table->blob, blob_size);
        if (!blob) return NG_ENOMEM;
        table->blob = blob;
        table->blob_size = blob_size;
    }
    return 0;
}

int64_t ng_intern_find(const ng_intern *table, const uint8_t *bytes, size_t size) {
    if (!table->num) return -1;
    return (int64_t)table->slots[find_slot(table, bytes, size, hash_bytes(bytes, size))] - 1;
}

int64_t ng_intern_add(ng_intern *table, const uint8_t *bytes, size_t size, uint64_t count) {
    uint64_t hash = hash_bytes(bytes, size);
    if (table->num) {
        uint32_t held = table->slots[find_slot(table, bytes, size, hash)];
        if (held) {
            table->counts[held - 1] += count;
            return held - 1;
        }
    }
    if (make_room(table, size)) return NG_ENOMEM;
    size_t number = table->num, slot = find_slot(table, bytes, size, hash);
    uint64_t start = start_of(table, number);
    memcpy(table->blob + start, bytes, size);
    table->ends[number] = start + size;
    table->hashes[number] = hash;
    table->counts[number] = count;
    table->slots[slot] = (uint32_t)number + 1;
    table->num++;
    return (int64_t)number;
}

void ng_intern_free(ng_intern *table) {
    free(table->blob);
    free(table->ends);
    free(table->hashes);
    free(table->counts);
    free(table->slots);
    *table = (ng_intern){0};
}
