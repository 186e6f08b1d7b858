/* Puts records into the mapped blocks of a recording: docs/recording.md says how they look.
 *
 * It is on the way of every intercepted call. Python takes three steps and two copies for it. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

enum { HEADER = 8, SLICES = 4, MOST_NUMBER = 9 };

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

/* the CRC-32 of bytes that come behind those of which it is `before` */
static uint32_t crc32(uint32_t before, const unsigned char *bytes, Py_ssize_t count)
{
    uint32_t crc = ~before;
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
        store(record + 4, crc32(0, (unsigned char *)body, size));
        store(record, (uint32_t)(HEADER + size));
    }
    PyBuffer_Release(&block);
    return PyLong_FromSsize_t(end);
}

/* Store a number as MessagePack does; return how many bytes that took. */
static Py_ssize_t pack(unsigned char *bytes, uint64_t value)
{
    if (value < 0x80) {
        bytes[0] = (unsigned char)value;
        return 1;
    }
    int size = value < 0x100 ? 1 : value < 0x10000 ? 2 : value < 0x100000000 ? 4 : 8;
    bytes[0] = (unsigned char)(size == 1 ? 0xCC : size == 2 ? 0xCD : size == 4 ? 0xCE : 0xCF);
    for (int i = 0; i < size; i++)
        bytes[1 + i] = (unsigned char)(value >> 8 * (size - 1 - i));
    return 1 + size;
}

PyDoc_STRVAR(put_again_doc, "put_again(block, position, head, check, sequence, time, /)\n--\n\n"
                            "Put a record whose body is a head of known CRC-32 and two numbers.\n\n"
                            "Return where it ends, or 0 where it does not fit: then nothing is stored.");

static PyObject *put_again(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    (void)module;
    if (count != 6) {
        PyErr_Format(PyExc_TypeError, "put_again() takes 6 arguments, not %zd", count);
        return NULL;
    }
    Py_ssize_t position = PyLong_AsSsize_t(arguments[1]);
    char *head;
    Py_ssize_t size;
    if ((position == -1 && PyErr_Occurred()) || PyBytes_AsStringAndSize(arguments[2], &head, &size))
        return NULL;
    uint64_t check = PyLong_AsUnsignedLongLong(arguments[3]);
    uint64_t sequence = PyLong_AsUnsignedLongLong(arguments[4]);
    uint64_t time = PyLong_AsUnsignedLongLong(arguments[5]);
    if (PyErr_Occurred())
        return NULL;
    unsigned char numbers[2 * MOST_NUMBER];
    Py_ssize_t more = pack(numbers, sequence);
    more += pack(numbers + more, time);
    Py_buffer block;
    if (PyObject_GetBuffer(arguments[0], &block, PyBUF_WRITABLE))
        return NULL;
    Py_ssize_t end = 0;
    if (position >= 0 && position <= block.len && size <= block.len - position - HEADER - more) {
        unsigned char *record = (unsigned char *)block.buf + position;
        end = position + HEADER + size + more;
        memcpy(record + HEADER, head, (size_t)size);
        memcpy(record + HEADER + size, numbers, (size_t)more);
        store(record + 4, crc32((uint32_t)check, numbers, more));
        store(record, (uint32_t)(HEADER + size + more));
    }
    PyBuffer_Release(&block);
    return PyLong_FromSsize_t(end);
}

static PyMethodDef methods[] = {
    {"put", (PyCFunction)(void (*)(void))put, METH_FASTCALL, put_doc},
    {"put_again", (PyCFunction)(void (*)(void))put_again, METH_FASTCALL, put_again_doc},
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
