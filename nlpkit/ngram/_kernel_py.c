/* The binding, in the limited API of Python 3.11: buffers in, bytearrays and numbers out, no GIL while working.
 * What each function does is said in kernel.h; its types are in _kernel.pyi.
 * Lengths and ranges are checked; that symbols, cursors and keys fit the alphabet they were made for is not.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>
#include <string.h>
#include "kernel.h"

static void drop_alphabet(PyObject *capsule) { ng_alphabet_free(PyCapsule_GetPointer(capsule, "nlpkit.alphabet")); }
static void drop_trie(PyObject *capsule) { ng_trie_free(PyCapsule_GetPointer(capsule, "nlpkit.trie")); }
static ng_alphabet *as_alphabet(PyObject *capsule) { return PyCapsule_GetPointer(capsule, "nlpkit.alphabet"); }
static ng_trie *as_trie(PyObject *capsule) { return PyCapsule_GetPointer(capsule, "nlpkit.trie"); }

/* Buffers of one call, all released by `release`. */
typedef struct { Py_buffer held[40]; int num; } buffers;

static void release(buffers *all) {
    while (all->num) PyBuffer_Release(all->held + --all->num);
}

/* A buffer of at least `room` items of `item` bytes, or NULL with an exception. */
static Py_buffer *hold(buffers *all, PyObject *object, int writable, size_t item, size_t room) {
    Py_buffer *view = all->held + all->num;
    if (PyObject_GetBuffer(object, view, writable ? PyBUF_WRITABLE : PyBUF_SIMPLE) < 0) return NULL;
    all->num++;
    if ((size_t)view->len / item < room) {
        PyErr_Format(PyExc_ValueError, "a buffer of %zd bytes is too short", view->len);
        return NULL;
    }
    if (view->len && (uintptr_t)view->buf % (item < 8 ? item : 8)) {
        PyErr_SetString(PyExc_ValueError, "a buffer is not aligned");
        return NULL;
    }
    return view;
}

/* The same, but None gives a buffer whose `buf` is NULL. */
static Py_buffer *hold_or_none(buffers *all, PyObject *object, int writable, size_t item, size_t room) {
    static Py_buffer none;
    return object == Py_None ? &none : hold(all, object, writable, item, room);
}

static int check(int holds, const char *otherwise) {
    if (!holds) PyErr_SetString(PyExc_ValueError, otherwise);
    return holds ? 0 : -1;
}

/* Places that ascend up to `most`: ends of strings, starts of buckets. */
static int check_ascending(const uint64_t *places, size_t num, uint64_t most) {
    uint64_t before = 0;
    for (size_t i = 0; i < num; before = places[i++])
        if (places[i] < before || places[i] > most) return check(0, "the places do not ascend inside the data");
    return 0;
}

static int check_keys(int bits, int depth, int wide) {
    return check(bits >= 1 && bits <= 32 && depth >= 2 && depth <= NG_MAX_DEPTH && bits * (depth - 1) <= (wide ? 128 : 64),
                 "no such form of key");
}

/* May the text of this alphabet be looked up in this trie, with so many entries for its words? */
static int check_trie(const ng_alphabet *alphabet, const ng_trie *trie, size_t num_words) {
    return check(alphabet->unit_symbols && alphabet->largest <= trie->num_symbols, "the trie is of another alphabet") ||
           check(num_words >= trie->num_words, "a buffer is too short for the words of the trie");
}

static PyObject *bytes_of(const void *data, size_t size) {
    return PyByteArray_FromStringAndSize(data, (Py_ssize_t)size);
}

static int check_range(const Py_buffer *data, Py_ssize_t from, Py_ssize_t to) {
    return check(from >= 0 && from <= to && to <= data->len, "the range is not inside the data");
}

static PyObject *intern_tuple(const ng_intern *table) {
    size_t size = table->num ? table->ends[table->num - 1] : 0;
    return Py_BuildValue("(NNN)", bytes_of((const char *)table->blob, size),
                         bytes_of((const char *)table->ends, table->num * 8),
                         bytes_of((const char *)table->counts, table->num * 8));
}

static PyObject *alphabet_new(PyObject *self, PyObject *args) {
    PyObject *classes;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "O", &classes)) return NULL;
    Py_buffer *view = hold(&all, classes, 0, 1, NG_NUM_CODE_POINTS);
    ng_alphabet *alphabet = view ? ng_alphabet_new(view->buf) : NULL;
    release(&all);
    if (!view) return NULL;
    return alphabet ? PyCapsule_New(alphabet, "nlpkit.alphabet", drop_alphabet) : PyErr_NoMemory();
}

static PyObject *alphabet_add(PyObject *self, PyObject *args) {
    PyObject *capsule, *blob_object, *ends_object, *counts_object, *result = NULL;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOOO", &capsule, &blob_object, &ends_object, &counts_object)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    Py_buffer *blob = hold(&all, blob_object, 0, 1, 0), *ends = hold(&all, ends_object, 0, 8, 0);
    Py_buffer *counts = ends ? hold(&all, counts_object, 0, 8, (size_t)ends->len / 8) : NULL;
    if (!alphabet || !blob || !ends || !counts) goto done;
    size_t num = (size_t)ends->len / 8;
    if (check(!alphabet->unit_symbols, "the alphabet is frozen") || check_ascending(ends->buf, num, (uint64_t)blob->len))
        goto done;
    result = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(num * 4));
    if (!result) goto done;
    uint32_t *numbers = (uint32_t *)PyByteArray_AsString(result);
    uint64_t start = 0;
    for (size_t i = 0; i < num; ++i) {
        uint64_t end = ((const uint64_t *)ends->buf)[i];
        int64_t unit = ng_intern_add(&alphabet->units, (const uint8_t *)blob->buf + start, end - start,
                                     ((const uint64_t *)counts->buf)[i]);
        if (unit < 0) {
            Py_DECREF(result);
            result = PyErr_NoMemory();
            goto done;
        }
        numbers[i] = (uint32_t)unit;
        start = end;
    }
done:
    release(&all);
    return result;
}

static PyObject *alphabet_units(PyObject *self, PyObject *args) {
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "O", &capsule)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    return alphabet ? intern_tuple(&alphabet->units) : NULL;
}

static PyObject *alphabet_counts(PyObject *self, PyObject *args) {
    PyObject *capsule;
    if (!PyArg_ParseTuple(args, "O", &capsule)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    if (!alphabet) return NULL;
    if (!alphabet->counts) return PyErr_Format(PyExc_ValueError, "the alphabet is frozen");
    size_t num = 0;
    for (uint32_t point = 0; point < NG_NUM_CODE_POINTS; ++point) num += alphabet->counts[point] != 0;
    PyObject *points = bytes_of(NULL, num * 4), *counts = bytes_of(NULL, num * 8);
    if (!points || !counts) {
        Py_XDECREF(points);
        Py_XDECREF(counts);
        return NULL;
    }
    uint32_t *next_point = (uint32_t *)PyByteArray_AsString(points);
    uint64_t *next_count = (uint64_t *)PyByteArray_AsString(counts);
    for (uint32_t point = 0; point < NG_NUM_CODE_POINTS; ++point)
        if (alphabet->counts[point]) {
            *next_point++ = point;
            *next_count++ = alphabet->counts[point];
        }
    return Py_BuildValue("(NN)", points, counts);
}

static PyObject *alphabet_freeze(PyObject *self, PyObject *args) {
    PyObject *capsule, *points_object, *units_object;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &points_object, &units_object)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    if (!alphabet) return NULL;
    if (alphabet->unit_symbols) return PyErr_Format(PyExc_ValueError, "the alphabet is frozen");
    Py_buffer *points = hold(&all, points_object, 0, 4, NG_NUM_CODE_POINTS);
    Py_buffer *units = hold(&all, units_object, 0, 4, alphabet->units.num);
    int failed = points && units ? ng_alphabet_freeze(alphabet, points->buf, units->buf) : 0;
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *boundary(PyObject *self, PyObject *args) {
    PyObject *data_object;
    Py_ssize_t at;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "On", &data_object, &at)) return NULL;
    Py_buffer *data = hold(&all, data_object, 0, 1, 0);
    size_t found = data && at >= 0 ? ng_boundary(data->buf, (size_t)data->len, (size_t)at) : 0;
    release(&all);
    return data ? PyLong_FromSize_t(found) : NULL;
}

static PyObject *code_points(PyObject *self, PyObject *args) {
    PyObject *data_object;
    Py_ssize_t from, to;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "Onn", &data_object, &from, &to)) return NULL;
    Py_buffer *data = hold(&all, data_object, 0, 1, 0);
    uint64_t num = 0;
    if (data && !check_range(data, from, to)) {
        Py_BEGIN_ALLOW_THREADS
        num = ng_count_code_points(data->buf, (size_t)data->len, (size_t)from, (size_t)to);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(num);
}

static PyObject *code_points_at(PyObject *self, PyObject *args) {
    PyObject *data_object, *bytes_object, *points_object;
    Py_ssize_t from;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OnOO", &data_object, &from, &bytes_object, &points_object)) return NULL;
    Py_buffer *data = hold(&all, data_object, 0, 1, 0), *bytes = data ? hold(&all, bytes_object, 0, 8, 0) : NULL;
    size_t num = bytes ? (size_t)bytes->len / 8 : 0;
    Py_buffer *points = bytes ? hold(&all, points_object, 1, 8, num) : NULL;
    if (points && !check_range(data, from, data->len) && !check_ascending(bytes->buf, num, (uint64_t)data->len) &&
        !check(!num || *(const uint64_t *)bytes->buf >= (uint64_t)from, "the places do not ascend inside the data")) {
        Py_BEGIN_ALLOW_THREADS
        ng_code_points_at(data->buf, (size_t)data->len, (size_t)from, bytes->buf, num, points->buf);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *decode(PyObject *self, PyObject *args) {
    PyObject *capsule, *data_object, *symbols_object, *offsets_object;
    Py_ssize_t from, to;
    int counting;
    int64_t num = 0;
    ng_decoded seen = {0, 0, UINT64_MAX};
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOnnOOp", &capsule, &data_object, &from, &to, &symbols_object, &offsets_object, &counting))
        return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    Py_buffer *data = hold(&all, data_object, 0, 1, 0);
    if (alphabet && data && !check_range(data, from, to)) {
        Py_buffer *symbols = hold(&all, symbols_object, 1, 4, (size_t)(to - from));
        Py_buffer *offsets = symbols ? hold_or_none(&all, offsets_object, 1, 4, (size_t)(to - from)) : NULL;
        if (offsets) {
            Py_BEGIN_ALLOW_THREADS
            num = ng_decode(alphabet, data->buf, (size_t)data->len, (size_t)from, (size_t)to, symbols->buf, offsets->buf,
                            counting ? &seen : NULL);
            Py_END_ALLOW_THREADS
        }
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (num < 0) return PyErr_NoMemory();
    return Py_BuildValue("(LKKL)", (long long)num, (unsigned long long)seen.code_points, (unsigned long long)seen.broken,
                         seen.broken ? (long long)seen.first_broken : -1LL);
}

static PyObject *decode_ahead(PyObject *self, PyObject *args) {
    PyObject *capsule, *data_object, *symbols_object;
    Py_ssize_t from, most;
    int64_t num = 0;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOnnO", &capsule, &data_object, &from, &most, &symbols_object)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    Py_buffer *data = hold(&all, data_object, 0, 1, 0);
    if (alphabet && data && !check_range(data, from, from)) {
        Py_buffer *symbols = hold(&all, symbols_object, 1, 4, (size_t)most);
        if (symbols)
            num = ng_decode_ahead(alphabet, data->buf, (size_t)data->len, (size_t)from, (size_t)most, symbols->buf, NULL, 0);
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    return num < 0 ? PyErr_NoMemory() : PyLong_FromLongLong(num);
}

static PyObject *histogram(PyObject *self, PyObject *args) {
    PyObject *symbols_object, *points_object, *units_object, *histogram_object;
    Py_ssize_t num;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OnOOO", &symbols_object, &num, &points_object, &units_object, &histogram_object)) return NULL;
    Py_buffer *symbols = hold(&all, symbols_object, 0, 4, (size_t)num);
    Py_buffer *points = symbols ? hold_or_none(&all, points_object, 0, 4, NG_NUM_CODE_POINTS) : NULL;
    Py_buffer *units = points ? hold_or_none(&all, units_object, 0, 4, 0) : NULL;
    Py_buffer *counts = units ? hold(&all, histogram_object, 1, 8, 0) : NULL;
    if (counts && !check(!points->buf == !units->buf, "the symbols are half numbered")) {
        Py_BEGIN_ALLOW_THREADS
        ng_histogram(symbols->buf, (size_t)num, points->buf, units->buf, counts->buf);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *scatter(PyObject *self, PyObject *args) {
    PyObject *symbols_object, *points_object, *units_object, *cursors_object, *keys_object;
    Py_ssize_t owned, num;
    int bits, depth, wide;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OnnOOiipOO", &symbols_object, &owned, &num, &points_object, &units_object, &bits, &depth,
                          &wide, &cursors_object, &keys_object))
        return NULL;
    Py_buffer *symbols = hold(&all, symbols_object, 0, 4, (size_t)num);
    Py_buffer *points = symbols ? hold_or_none(&all, points_object, 0, 4, NG_NUM_CODE_POINTS) : NULL;
    Py_buffer *units = points ? hold_or_none(&all, units_object, 0, 4, 0) : NULL;
    Py_buffer *cursors = units ? hold(&all, cursors_object, 1, 8, 0) : NULL;
    Py_buffer *keys = cursors ? hold(&all, keys_object, 1, wide ? 16 : 8, 0) : NULL;
    if (keys && !check_keys(bits, depth, wide) && !check(owned >= 0 && owned <= num, "the range is not inside the data") &&
        !check(!points->buf == !units->buf, "the symbols are half numbered")) {
        Py_BEGIN_ALLOW_THREADS
        ng_scatter(symbols->buf, (size_t)owned, (size_t)num, points->buf, units->buf, bits, depth, wide, cursors->buf, keys->buf);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

/* A run of at least `to` buckets from its tuple (starts, sizes, keys, counts, bits, depth, wide); -1 with an exception. */
static int read_run(buffers *all, PyObject *tuple, ng_run *run, unsigned to) {
    PyObject *starts_object, *sizes_object, *keys_object, *counts_object;
    if (!PyArg_ParseTuple(tuple, "OOOOiip", &starts_object, &sizes_object, &keys_object, &counts_object, &run->bits,
                          &run->depth, &run->wide))
        return -1;
    Py_buffer *sizes = hold(all, sizes_object, 0, 8, to);
    Py_buffer *starts = sizes ? hold(all, starts_object, 0, 8, (size_t)sizes->len / 8 + 1) : NULL;
    Py_buffer *counts = starts ? hold(all, counts_object, 0, 4, 0) : NULL;
    Py_buffer *keys = counts ? hold(all, keys_object, 0, run->wide ? 16 : 8, (size_t)counts->len / 4) : NULL;
    if (!keys || check_keys(run->bits, run->depth, run->wide)) return -1;
    run->starts = starts->buf;
    run->sizes = sizes->buf;
    run->num_buckets = (size_t)sizes->len / 8;
    uint64_t num = run->num_keys = (uint64_t)counts->len / 4;
    for (size_t i = 0; i < run->num_buckets; ++i)
        if (run->starts[i] > num || run->sizes[i] > num - run->starts[i])
            return check(0, "the buckets are not inside the keys");
    run->keys = keys->buf;
    run->counts = counts->buf;
    return 0;
}

static PyObject *sort(PyObject *self, PyObject *args) {
    PyObject *keys_object, *counts_object, *starts_object, *sizes_object;
    unsigned from, to;
    int bits, depth, wide, failed = 0;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOOOIIiip", &keys_object, &counts_object, &starts_object, &sizes_object, &from, &to, &bits,
                          &depth, &wide))
        return NULL;
    Py_buffer *starts = hold(&all, starts_object, 1, 8, (size_t)to + 1);
    Py_buffer *sizes = starts ? hold(&all, sizes_object, 1, 8, to) : NULL;
    size_t num = sizes ? ((const uint64_t *)starts->buf)[to] : 0;
    Py_buffer *keys = sizes ? hold(&all, keys_object, 1, wide ? 16 : 8, num) : NULL;
    Py_buffer *counts = keys ? hold(&all, counts_object, 1, 4, num) : NULL;
    if (counts && !check_keys(bits, depth, wide) && !check_ascending(starts->buf, (size_t)to + 1, num)) {
        Py_BEGIN_ALLOW_THREADS
        failed = ng_sort(keys->buf, counts->buf, starts->buf, sizes->buf, from, to, bits, depth, wide);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyObject *grams(PyObject *self, PyObject *args) {
    PyObject *run_tuple, *rare_object, *table_object, *result = NULL;
    unsigned from, to;
    int most, failed;
    unsigned long long min_count;
    ng_run run;
    ng_xlogx xlogx;
    ng_gram_list lists[NG_MAX_DEPTH + 1] = {{0}};
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OIIiKOOi", &run_tuple, &from, &to, &most, &min_count, &rare_object, &table_object,
                          &xlogx.shift))
        return NULL;
    Py_buffer *rare = hold(&all, rare_object, 0, 1, to), *table = rare ? hold(&all, table_object, 0, 8, 1) : NULL;
    if (!table || read_run(&all, run_tuple, &run, to) < 0) goto done;
    if (check(most >= 1 && most <= run.depth, "the order is not in the run") ||
        check((size_t)rare->len >= run.num_buckets, "a buffer is too short for the symbols"))
        goto done;
    xlogx.table = table->buf;
    xlogx.table_size = (uint32_t)(table->len / 8);
    Py_BEGIN_ALLOW_THREADS
    failed = ng_grams(&run, from, to, most, min_count, rare->buf, &xlogx, lists);
    Py_END_ALLOW_THREADS
    result = failed ? PyErr_NoMemory() : PyList_New(0);
    for (int order = 1; result && order <= most; ++order) {
        ng_gram_list *list = lists + order;
        PyObject *entry = Py_BuildValue("(NNN)", bytes_of((const char *)list->symbols, list->num * 4 * (size_t)order),
                                        bytes_of((const char *)list->counts, list->num * 8),
                                        bytes_of((const char *)list->right, list->num * 8));
        if (!entry || PyList_Append(result, entry) < 0) Py_CLEAR(result);
        Py_XDECREF(entry);
    }
done:
    for (int order = 1; order <= NG_MAX_DEPTH; ++order) {
        free(lists[order].symbols);
        free(lists[order].counts);
        free(lists[order].right);
    }
    release(&all);
    return result;
}

static PyObject *lefts(PyObject *self, PyObject *args) {
    PyObject *run_tuple, *capsule, *rare_object, *table_object, *left_object, *seen_object;
    unsigned from, to;
    ng_run run;
    ng_xlogx xlogx;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OIIOOOiOO", &run_tuple, &from, &to, &capsule, &rare_object, &table_object, &xlogx.shift,
                          &left_object, &seen_object))
        return NULL;
    ng_trie *trie = as_trie(capsule);
    Py_buffer *rare = hold(&all, rare_object, 0, 1, to), *table = rare ? hold(&all, table_object, 0, 8, 1) : NULL;
    Py_buffer *left = table ? hold(&all, left_object, 1, 8, 0) : NULL;
    Py_buffer *seen = left ? hold(&all, seen_object, 1, 8, (size_t)left->len / 8) : NULL;
    if (trie && seen && read_run(&all, run_tuple, &run, to) == 0 &&
        !check((size_t)rare->len >= run.num_buckets, "a buffer is too short for the symbols") &&
        !check(run.num_buckets <= (size_t)trie->num_symbols + 1, "the trie is of another alphabet") &&
        !check((size_t)left->len / 8 >= trie->num_words, "a buffer is too short for the words of the trie")) {
        xlogx.table = table->buf;
        xlogx.table_size = (uint32_t)(table->len / 8);
        Py_BEGIN_ALLOW_THREADS
        ng_lefts(&run, from, to, trie, rare->buf, &xlogx, left->buf, seen->buf);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *merge(PyObject *self, PyObject *args) {
    PyObject *list, *sizes_object, *keys_object, *counts_object;
    unsigned from, to;
    int failed = 0;
    if (!PyArg_ParseTuple(args, "OIIOOO", &list, &from, &to, &sizes_object, &keys_object, &counts_object)) return NULL;
    Py_ssize_t num = PyList_Size(list);
    if (num < 1 || num > NG_MERGED_AT_ONCE) return PyErr_Format(PyExc_ValueError, "1 to 8 runs can be merged at once");
    ng_run runs[NG_MERGED_AT_ONCE];
    buffers all = {.num = 0};
    for (Py_ssize_t i = 0; i < num; ++i)
        if (read_run(&all, PyList_GetItem(list, i), runs + i, to) < 0 ||
            check(runs[i].bits == runs->bits && runs[i].depth == runs->depth && runs[i].wide == runs->wide,
                  "the runs are not of one form"))
            goto done;
    Py_buffer *sizes = hold(&all, sizes_object, 1, 8, to), *counts = sizes ? hold(&all, counts_object, 1, 4, 0) : NULL;
    Py_buffer *keys = counts ? hold(&all, keys_object, 1, runs[0].wide ? 16 : 8, (size_t)counts->len / 4) : NULL;
    if (!keys) goto done;
    Py_BEGIN_ALLOW_THREADS
    failed = ng_merge(runs, (size_t)num, from, to, sizes->buf, keys->buf, counts->buf, (uint64_t)counts->len / 4);
    Py_END_ALLOW_THREADS
done:
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_Format(PyExc_ValueError, "the merged run has no room");
    Py_RETURN_NONE;
}

static PyObject *gram_counts(PyObject *self, PyObject *args) {
    PyObject *run_tuple, *symbols_object, *ends_object, *result = NULL;
    ng_run run;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOO", &run_tuple, &symbols_object, &ends_object)) return NULL;
    Py_buffer *ends = hold(&all, ends_object, 0, 8, 0);
    size_t num = ends ? (size_t)ends->len / 8 : 0;
    Py_buffer *symbols = ends ? hold(&all, symbols_object, 0, 4, num ? ((const uint64_t *)ends->buf)[num - 1] : 0) : NULL;
    if (symbols && read_run(&all, run_tuple, &run, 0) == 0 && !check_ascending(ends->buf, num, (uint64_t)symbols->len / 4) &&
        (result = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(num * 8)))) {
        uint64_t *counts = (uint64_t *)PyByteArray_AsString(result), start = 0;
        for (size_t i = 0; i < num; ++i) {
            uint64_t end = ((const uint64_t *)ends->buf)[i];
            const uint32_t *gram = (const uint32_t *)symbols->buf + start;
            int fits = end > start && end - start <= (uint64_t)run.depth && gram[0] < run.num_buckets;
            counts[i] = fits ? ng_count_gram(&run, gram, end - start) : 0;
            start = end;
        }
    }
    release(&all);
    return result;
}

static PyObject *remap(PyObject *self, PyObject *args) {
    PyObject *run_tuple, *symbols_object, *keys_object;
    int bits, wide, failed = 0;
    ng_run run;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOipO", &run_tuple, &symbols_object, &bits, &wide, &keys_object)) return NULL;
    if (read_run(&all, run_tuple, &run, 0) == 0) {
        Py_buffer *symbols = hold(&all, symbols_object, 0, 4, run.num_buckets);
        Py_buffer *keys = symbols ? hold(&all, keys_object, 1, wide ? 16 : 8, run.num_keys) : NULL;
        if (keys && !check_keys(bits, run.depth, wide)) {
            Py_BEGIN_ALLOW_THREADS
            failed = ng_remap(&run, symbols->buf, bits, wide, keys->buf);
            Py_END_ALLOW_THREADS
            check(!failed, "a key has a symbol that the run has not");
        }
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    Py_RETURN_NONE;
}

static PyObject *trie_new(PyObject *self, PyObject *args) {
    PyObject *symbols_object, *ends_object;
    unsigned num_symbols;
    ng_trie *trie = NULL;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "IOO", &num_symbols, &symbols_object, &ends_object)) return NULL;
    Py_buffer *ends = hold(&all, ends_object, 0, 8, 0);
    size_t num = ends ? (size_t)ends->len / 8 : 0;
    Py_buffer *symbols = ends ? hold(&all, symbols_object, 0, 4, num ? ((const uint64_t *)ends->buf)[num - 1] : 0) : NULL;
    int fits = symbols && !check_ascending(ends->buf, num, (uint64_t)symbols->len / 4);
    for (size_t i = 0; fits && i < (size_t)symbols->len / 4; ++i) {
        uint32_t symbol = ((const uint32_t *)symbols->buf)[i];
        fits = !check(symbol && symbol <= num_symbols, "a word has a symbol that the alphabet has not");
    }
    if (fits) {
        Py_BEGIN_ALLOW_THREADS
        trie = ng_trie_new(num_symbols, symbols->buf, ends->buf, num);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (PyErr_Occurred()) return NULL;
    return trie ? PyCapsule_New(trie, "nlpkit.trie", drop_trie) : PyErr_NoMemory();
}

static PyObject *trie_find(PyObject *self, PyObject *args) {
    PyObject *capsule, *symbols_object, *ends_object, *result = NULL;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOO", &capsule, &symbols_object, &ends_object)) return NULL;
    ng_trie *trie = as_trie(capsule);
    Py_buffer *ends = hold(&all, ends_object, 0, 8, 0);
    size_t num = ends ? (size_t)ends->len / 8 : 0;
    Py_buffer *symbols = ends ? hold(&all, symbols_object, 0, 4, num ? ((const uint64_t *)ends->buf)[num - 1] : 0) : NULL;
    if (trie && symbols && !check_ascending(ends->buf, num, (uint64_t)symbols->len / 4) &&
        (result = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)(num * 4)))) {
        uint32_t *words = (uint32_t *)PyByteArray_AsString(result);
        uint64_t start = 0;
        Py_BEGIN_ALLOW_THREADS
        for (size_t i = 0; i < num; ++i) {
            uint64_t end = ((const uint64_t *)ends->buf)[i];
            words[i] = ng_trie_find(trie, (const uint32_t *)symbols->buf + start, end - start);
            start = end;
        }
        Py_END_ALLOW_THREADS
    }
    release(&all);
    return result;
}

static PyObject *cut(PyObject *self, PyObject *args) {
    PyObject *capsule, *data_object, *trie_capsule, *words_object, *symbols_object, *result = NULL;
    Py_ssize_t from, to;
    int max_order, failed = 0;
    ng_intern longer = {0};
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOnnOiOO", &capsule, &data_object, &from, &to, &trie_capsule, &max_order, &words_object,
                          &symbols_object))
        return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    ng_trie *trie = as_trie(trie_capsule);
    Py_buffer *data = hold(&all, data_object, 0, 1, 0);
    Py_buffer *words = data ? hold(&all, words_object, 1, 8, 0) : NULL;
    Py_buffer *symbols = words ? hold(&all, symbols_object, 1, 8, trie ? (size_t)trie->num_symbols + 1 : 0) : NULL;
    if (alphabet && trie && symbols && !check_range(data, from, to) &&
        !check(max_order >= 1 && max_order < NG_MAX_DEPTH, "no such order") &&
        !check_trie(alphabet, trie, (size_t)words->len / 8)) {
        Py_BEGIN_ALLOW_THREADS
        failed = ng_cut((ng_text){alphabet, data->buf, (size_t)data->len}, (size_t)from, (size_t)to, trie, max_order,
                        words->buf, symbols->buf, &longer);
        Py_END_ALLOW_THREADS
        result = failed ? PyErr_NoMemory() : intern_tuple(&longer);
    }
    release(&all);
    ng_intern_free(&longer);
    return result;
}

static PyObject *match(PyObject *self, PyObject *args) {
    PyObject *capsule, *data_object, *trie_capsule, *wanted_object, *counts_object, *places_object, *result = NULL;
    Py_ssize_t from, to;
    int failed = 0;
    unsigned long long base;
    ng_matches matches = {0};
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOnnOOOOiK", &capsule, &data_object, &from, &to, &trie_capsule, &wanted_object,
                          &counts_object, &places_object, &matches.num_places, &base))
        return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    ng_trie *trie = as_trie(trie_capsule);
    Py_buffer *data = hold(&all, data_object, 0, 1, 0), *wanted = data ? hold(&all, wanted_object, 0, 1, 0) : NULL;
    size_t num = wanted ? (size_t)wanted->len : 0;
    Py_buffer *counts = wanted ? hold(&all, counts_object, 1, 8, num) : NULL;
    Py_buffer *places = counts ? hold(&all, places_object, 1, 8, num * (size_t)matches.num_places) : NULL;
    if (alphabet && trie && places && !check_range(data, from, to) && !check_trie(alphabet, trie, num) &&
        !check(matches.num_places >= 0, "a negative number of places")) {
        matches.wanted = wanted->buf;
        matches.counts = counts->buf;
        matches.places = places->buf;
        matches.base = base;
        Py_BEGIN_ALLOW_THREADS
        failed = ng_match((ng_text){alphabet, data->buf, (size_t)data->len}, (size_t)from, (size_t)to, trie, &matches);
        Py_END_ALLOW_THREADS
        result = failed ? PyErr_NoMemory() : bytes_of((const char *)matches.neighbours, matches.num_neighbours * 8);
    }
    release(&all);
    free(matches.neighbours);
    return result;
}

static PyObject *connect(PyObject *self, PyObject *args) {
    PyObject *capsule, *symbols_object, *result = NULL;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OO", &capsule, &symbols_object)) return NULL;
    ng_trie *trie = as_trie(capsule);
    Py_buffer *symbols = hold(&all, symbols_object, 0, 4, 0);
    if (trie && symbols && (result = PyByteArray_FromStringAndSize(NULL, symbols->len / 4))) {
        uint8_t *ends = (uint8_t *)PyByteArray_AsString(result);
        Py_BEGIN_ALLOW_THREADS
        ng_connect(trie, symbols->buf, (size_t)symbols->len / 4, ends);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    return result;
}

static PyObject *mark(PyObject *self, PyObject *args) {
    PyObject *capsule, *data_object, *trie_capsule, *marks_object;
    int failed = 0;
    buffers all = {.num = 0};
    if (!PyArg_ParseTuple(args, "OOOO", &capsule, &data_object, &trie_capsule, &marks_object)) return NULL;
    ng_alphabet *alphabet = as_alphabet(capsule);
    ng_trie *trie = as_trie(trie_capsule);
    Py_buffer *data = hold(&all, data_object, 0, 1, 0), *marks = data ? hold(&all, marks_object, 1, 1, 0) : NULL;
    if (alphabet && trie && marks && !check_trie(alphabet, trie, (size_t)marks->len)) {
        Py_BEGIN_ALLOW_THREADS
        failed = ng_mark((ng_text){alphabet, data->buf, (size_t)data->len}, trie, marks->buf);
        Py_END_ALLOW_THREADS
    }
    release(&all);
    if (PyErr_Occurred()) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"alphabet_new", alphabet_new, METH_VARARGS, "alphabet_new(classes) -> alphabet"},
    {"alphabet_add", alphabet_add, METH_VARARGS, "alphabet_add(alphabet, blob, ends, counts) -> unit numbers"},
    {"alphabet_units", alphabet_units, METH_VARARGS, "alphabet_units(alphabet) -> (blob, ends, counts)"},
    {"alphabet_counts", alphabet_counts, METH_VARARGS, "alphabet_counts(alphabet) -> (code points, counts)"},
    {"alphabet_freeze", alphabet_freeze, METH_VARARGS, "alphabet_freeze(alphabet, point_symbols, unit_symbols)"},
    {"boundary", boundary, METH_VARARGS, "boundary(data, at) -> at"},
    {"code_points", code_points, METH_VARARGS, "code_points(data, start, end) -> number"},
    {"code_points_at", code_points_at, METH_VARARGS, "code_points_at(data, start, bytes, points)"},
    {"decode", decode, METH_VARARGS, "decode(alphabet, data, start, end, symbols, offsets, counting) -> (num, code_points, broken, first_broken)"},
    {"decode_ahead", decode_ahead, METH_VARARGS, "decode_ahead(alphabet, data, start, most, symbols) -> num"},
    {"histogram", histogram, METH_VARARGS, "histogram(symbols, num, point_symbols, unit_symbols, histogram)"},
    {"scatter", scatter, METH_VARARGS, "scatter(symbols, owned, num, point_symbols, unit_symbols, bits, depth, wide, cursors, keys)"},
    {"sort", sort, METH_VARARGS, "sort(keys, counts, starts, sizes, first, last, bits, depth, wide)"},
    {"grams", grams, METH_VARARGS, "grams(run, first, last, order, min_count, rare, table, shift) -> [(symbols, counts, right)]"},
    {"lefts", lefts, METH_VARARGS, "lefts(run, first, last, trie, rare, table, shift, left, seen)"},
    {"merge", merge, METH_VARARGS, "merge(runs, first, last, sizes, keys, counts)"},
    {"gram_counts", gram_counts, METH_VARARGS, "gram_counts(run, symbols, ends) -> counts"},
    {"remap", remap, METH_VARARGS, "remap(run, new_symbols, bits, wide, keys)"},
    {"trie_new", trie_new, METH_VARARGS, "trie_new(num_symbols, symbols, ends) -> trie"},
    {"trie_find", trie_find, METH_VARARGS, "trie_find(trie, symbols, ends) -> words"},
    {"cut", cut, METH_VARARGS, "cut(alphabet, data, start, end, trie, max_order, words, symbols) -> (blob, ends, counts)"},
    {"match", match, METH_VARARGS, "match(alphabet, data, start, end, trie, wanted, counts, places, num_places, base) -> neighbours"},
    {"connect", connect, METH_VARARGS, "connect(trie, symbols) -> ends"},
    {"mark", mark, METH_VARARGS, "mark(alphabet, data, trie, marks)"},
    {0},
};
static PyModuleDef_Slot slots[] = {{0, NULL}};
static PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, methods, slots, 0, 0, 0};
PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
