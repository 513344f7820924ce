/* The binding, in the limited API of Python 3.11: buffers in, bytes out, no GIL while working.
 * What each function does is said in sampler.h and decoder.h; its types are in _lexicon.pyi.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <stdlib.h>

#include "decoder.h"
#include "sampler.h"

static const char INDEX[] = "nlpkit.lexicon.index";
static const char CHAIN[] = "nlpkit.lexicon.chain";
static const char DECODER[] = "nlpkit.lexicon.decoder";

static PyObject *fail(int status) {
    if (status == LX_NO_MEMORY) return PyErr_NoMemory();
    PyErr_SetString(PyExc_ValueError, "a symbol is above 2**24, a word too long, or the text holds too many strings");
    return NULL;
}

/* A buffer of whole items; 0 with an exception when it is not. */
static int hold(PyObject *object, Py_buffer *view, size_t item) {
    if (PyObject_GetBuffer(object, view, PyBUF_SIMPLE) < 0) return 0;
    if ((size_t)view->len % item == 0 && (view->len == 0 || (uintptr_t)view->buf % item == 0)) return 1;
    PyBuffer_Release(view);
    PyErr_Format(PyExc_ValueError, "a buffer does not hold aligned items of %zu bytes", item);
    return 0;
}

static void drop_index(PyObject *capsule) {
    lx_index *index = PyCapsule_GetPointer(capsule, INDEX);
    lx_index_free(index);
    free(index);
}

static PyObject *index_new(PyObject *self, PyObject *text) {
    (void)self;
    Py_buffer view;
    int status = LX_NO_MEMORY;
    if (!hold(text, &view, sizeof(uint32_t))) return NULL;
    lx_index *index = malloc(sizeof *index);
    if (index) {
        Py_BEGIN_ALLOW_THREADS
        status = lx_index_init(index, view.buf, (size_t)view.len / sizeof(uint32_t));
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    if (status != LX_OK) {
        free(index);
        return fail(status);
    }
    PyObject *capsule = PyCapsule_New(index, INDEX, drop_index);
    if (!capsule) {
        lx_index_free(index);
        free(index);
    }
    return capsule;
}

static PyObject *index_nodes(PyObject *self, PyObject *capsule) {
    (void)self;
    lx_index *index = PyCapsule_GetPointer(capsule, INDEX);
    if (!index) return NULL;
    Py_ssize_t bytes = (Py_ssize_t)((index->num_nodes + 1) * sizeof(uint32_t));
    return Py_BuildValue("(y#y#)", (char *)index->parents, bytes, (char *)index->symbols, bytes);
}

/* A chain holds its index alive: the reference is the capsule's context. */
static void drop_chain(PyObject *capsule) {
    lx_chain *chain = PyCapsule_GetPointer(capsule, CHAIN);
    PyObject *index = PyCapsule_GetContext(capsule);
    lx_chain_free(chain);
    free(chain);
    Py_XDECREF(index);
}

static PyObject *chain_new(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *owner;
    unsigned long long seed;
    if (!PyArg_ParseTuple(args, "OK:chain_new", &owner, &seed)) return NULL;
    lx_index *index = PyCapsule_GetPointer(owner, INDEX);
    if (!index) return NULL;
    lx_chain *chain = malloc(sizeof *chain);
    int status = chain ? lx_chain_init(chain, index, seed) : LX_NO_MEMORY;
    if (status != LX_OK) {
        free(chain);
        return fail(status);
    }
    PyObject *capsule = PyCapsule_New(chain, CHAIN, drop_chain);
    if (!capsule) {
        lx_chain_free(chain);
        free(chain);
        return NULL;
    }
    Py_INCREF(owner);
    PyCapsule_SetContext(capsule, owner);
    return capsule;
}

static PyObject *chain_sweep(PyObject *self, PyObject *capsule) {
    (void)self;
    lx_chain *chain = PyCapsule_GetPointer(capsule, CHAIN);
    if (!chain) return NULL;
    int status;
    Py_BEGIN_ALLOW_THREADS
    status = lx_chain_sweep(chain);
    Py_END_ALLOW_THREADS
    return status == LX_OK ? PyLong_FromSize_t(chain->num_tokens) : fail(status);
}

static PyObject *chain_counts(PyObject *self, PyObject *capsule) {
    (void)self;
    lx_chain *chain = PyCapsule_GetPointer(capsule, CHAIN);
    if (!chain) return NULL;
    size_t bytes = (chain->index->num_nodes + 1) * sizeof(uint32_t);
    return PyBytes_FromStringAndSize((char *)chain->counts, (Py_ssize_t)bytes);
}

static void drop_decoder(PyObject *capsule) {
    lx_decoder *decoder = PyCapsule_GetPointer(capsule, DECODER);
    lx_decoder_free(decoder);
    free(decoder);
}

static PyObject *make_decoder(const Py_buffer *symbols, const Py_buffer *lengths, const Py_buffer *counts) {
    size_t num_words = (size_t)lengths->len / sizeof(uint32_t), num_symbols = 0;
    const uint32_t *each = lengths->buf;
    for (size_t w = 0; w < num_words; w++) num_symbols += each[w];
    if (num_symbols != (size_t)symbols->len / sizeof(uint32_t) ||
        num_words != (size_t)counts->len / sizeof(double)) {
        PyErr_SetString(PyExc_ValueError, "symbols, lengths and counts do not fit together");
        return NULL;
    }
    lx_decoder *decoder = malloc(sizeof *decoder);
    int status = LX_NO_MEMORY;
    if (decoder) status = lx_decoder_init(decoder, symbols->buf, each, counts->buf, num_words);
    if (status != LX_OK) {
        free(decoder);
        return fail(status);
    }
    PyObject *capsule = PyCapsule_New(decoder, DECODER, drop_decoder);
    if (!capsule) {
        lx_decoder_free(decoder);
        free(decoder);
    }
    return capsule;
}

static PyObject *decoder_new(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *objects[3], *capsule = NULL;
    Py_buffer symbols, lengths, counts;
    if (!PyArg_ParseTuple(args, "OOO:decoder_new", objects, objects + 1, objects + 2)) return NULL;
    if (!hold(objects[0], &symbols, sizeof(uint32_t))) return NULL;
    if (hold(objects[1], &lengths, sizeof(uint32_t))) {
        if (hold(objects[2], &counts, sizeof(double))) {
            capsule = make_decoder(&symbols, &lengths, &counts);
            PyBuffer_Release(&counts);
        }
        PyBuffer_Release(&lengths);
    }
    PyBuffer_Release(&symbols);
    return capsule;
}

static PyObject *decoder_cut(PyObject *self, PyObject *args) {
    (void)self;
    PyObject *capsule, *text;
    Py_buffer view;
    if (!PyArg_ParseTuple(args, "OO:decoder_cut", &capsule, &text)) return NULL;
    lx_decoder *decoder = PyCapsule_GetPointer(capsule, DECODER);
    if (!decoder || !hold(text, &view, sizeof(uint32_t))) return NULL;
    size_t num_symbols = (size_t)view.len / sizeof(uint32_t);
    PyObject *ends = PyByteArray_FromStringAndSize(NULL, (Py_ssize_t)num_symbols);
    int status = LX_OK;
    if (ends) {
        uint8_t *out = (uint8_t *)PyByteArray_AsString(ends);
        Py_BEGIN_ALLOW_THREADS
        status = lx_decoder_cut(decoder, view.buf, num_symbols, out);
        Py_END_ALLOW_THREADS
    }
    PyBuffer_Release(&view);
    if (status != LX_OK) {
        Py_DECREF(ends);
        return fail(status);
    }
    return ends;
}

static PyMethodDef methods[] = {
    {"index_new", index_new, METH_O, NULL},
    {"index_nodes", index_nodes, METH_O, NULL},
    {"chain_new", chain_new, METH_VARARGS, NULL},
    {"chain_sweep", chain_sweep, METH_O, NULL},
    {"chain_counts", chain_counts, METH_O, NULL},
    {"decoder_new", decoder_new, METH_VARARGS, NULL},
    {"decoder_cut", decoder_cut, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_lexicon", "Word sampling and cutting in C.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__lexicon(void) { return PyModule_Create(&module); }
