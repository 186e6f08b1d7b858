/* Puts records into the mapped blocks of a recording: docs/recording.md says how they look.
 *
 * It is on the way of every intercepted call. Python takes three steps and two copies for it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { HEADER = 8, SLICES = 4 };

/* of the CRC-32 that zlib computes: what each byte of a word contributes */
static uint32_t contributions[SLICES][256];

static void make_contributions(void)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; bit++)
            value = value >> 1 ^ (0xEDB88320u & -(value & 1));
        contributions[0][byte] = value;
    }
    for (int slice = 1; slice < SLICES; slice++)
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = contributions[slice - 1][byte];
            contributions[slice][byte] = before >> 8 ^ contributions[0][before & 0xFF];
        }
}

static uint32_t load(const unsigned char *bytes)
{
    return bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void store(unsigned char *bytes, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        bytes[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t crc32(const unsigned char *bytes, Py_ssize_t count)
{
    uint32_t crc = ~0u;
    for (; count >= SLICES; bytes += SLICES, count -= SLICES) {
        crc ^= load(bytes);
        crc = contributions[3][crc & 0xFF] ^ contributions[2][crc >> 8 & 0xFF] ^
              contributions[1][crc >> 16 & 0xFF] ^ contributions[0][crc >> 24];
    }
    while (count-- > 0)
        crc = crc >> 8 ^ contributions[0][(crc ^ *bytes++) & 0xFF];
    return ~crc;
}

PyDoc_STRVAR(put_doc, "put(block, position, body, /)\n--\n\n"
                      "Put the record of a body into a block, from a position on; return where it ends.\n\n"
                      "Where it does not fit, nothing is stored, and the answer is 0.");

static PyObject *put(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 3) {
        PyErr_Format(PyExc_TypeError, "put() takes 3 arguments, not %zd", count);
        return NULL;
    }
    Py_ssize_t position = PyLong_AsSsize_t(arguments[1]);
    char *body;
    Py_ssize_t size;
    if ((position == -1 && PyErr_Occurred()) || PyBytes_AsStringAndSize(arguments[2], &body, &size))
        return NULL;
    Py_buffer block;
    if (PyObject_GetBuffer(arguments[0], &block, PyBUF_WRITABLE))
        return NULL;
    Py_ssize_t end = 0;
    if (position >= 0 && position <= block.len && size <= block.len - position - HEADER) {
        unsigned char *record = (unsigned char *)block.buf + position;
        end = position + HEADER + size;
        memcpy(record + HEADER, body, (size_t)size);
        store(record + 4, crc32((unsigned char *)body, size));
        store(record, (uint32_t)(HEADER + size));
    }
    PyBuffer_Release(&block);
    return PyLong_FromSsize_t(end);
}

static PyMethodDef methods[] = {
    {"put", (PyCFunction)(void (*)(void))put, METH_FASTCALL, put_doc},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_lane",
    .m_doc = "Records of a recording.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__lane(void)
{
    make_contributions();
    return PyModule_Create(&definition);
}
