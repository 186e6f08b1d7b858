"""PyCUDA itself on the CPU device, in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

pytest.importorskip("pycuda")

ROOT = Path(__file__).parents[2]
PRELUDE = """
import json
from pycuda_guard import cpu
cpu.load(cpu.DeviceOptions(memory_bytes=256 << 20))
import numpy as np
import pycuda.driver as cuda
def tried(call):
    try:
        call()
    except Exception as error:
        return f"{type(error).__name__}: {error}".splitlines()[0]
    return "no error"
"""


def run(script, expected=0, **environment):
    """Run a script with the prelude; return its standard output and standard error."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == expected, done.stderr
    return done.stdout, done.stderr


def answers(script):
    """Run a script that collects what happens in ``said``; return that."""
    begin, end = "import pycuda.autoinit\nsaid = {}\n", "\nprint(json.dumps(said))"
    out, err = run(begin + textwrap.dedent(script) + end)
    assert not err
    return json.loads(out.splitlines()[-1])


def test_calls_outside_a_context_and_before_init():
    out, _ = run(
        """
        print(tried(cuda.Device.count))
        cuda.init()
        print(cuda.Device.count(), cuda.Device(0).name(), cuda.Device(0).total_memory() >> 20)
        print(tried(lambda: cuda.Device(1)))
        print(cuda.Device(0).compute_capability(), len(cuda.Device(0).get_attributes()) > 80)
        """
    )
    assert out.splitlines() == [
        "LogicError: cuDeviceGetCount failed: initialization error",
        "1 pycuda_guard CPU device 256",
        "LogicError: cuDeviceGet failed: invalid device ordinal",
        "(9, 0) True",
    ]


def test_errors_have_the_words_of_a_gpus_driver():
    said = answers(
        """
        device = cuda.mem_alloc(400)
        said["htod"] = tried(lambda: cuda.memcpy_htod(device, np.zeros(101, np.float32)))
        said["dtoh"] = tried(lambda: cuda.memcpy_dtoh(np.zeros(101, np.float32), device))
        said["memset"] = tried(lambda: cuda.memset_d32(device, 0, 101))
        said["memory"] = tried(lambda: cuda.mem_alloc(1 << 30))
        said["host"] = tried(lambda: cuda.memcpy_htod(np.zeros(4).ctypes.data, np.zeros(4)))
        said["elapsed"] = tried(lambda: cuda.Event().time_till(cuda.Event()))
        said["cubin"] = tried(lambda: cuda.module_from_buffer(b"\\x7fELF" + bytes(64)))
        said["file"] = tried(lambda: cuda.module_from_file("/nonexistent"))
        said["ipc"] = tried(lambda: cuda.mem_get_ipc_handle(device))
        said["texture"] = tried(cuda.TextureReference)
        linker = cuda.Linker()
        said["link"] = tried(lambda: linker.add_data(b"x", cuda.jit_input_type.CUBIN, "part.o"))
        device.free()
        said["twice"] = tried(device.free)
        said["freed"] = tried(lambda: cuda.memcpy_htod(device, np.zeros(4)))
        """
    )
    assert said == {
        "htod": "LogicError: cuMemcpyHtoD failed: invalid argument",
        "dtoh": "LogicError: cuMemcpyDtoH failed: invalid argument",
        "memset": "LogicError: cuMemsetD32 failed: invalid argument",
        "memory": "MemoryError: cuMemAlloc failed: out of memory",
        "host": "LogicError: cuMemcpyHtoD failed: invalid argument",
        "elapsed": "LogicError: cuEventElapsedTime failed: invalid resource handle",
        "cubin": "RuntimeError: cuModuleLoadDataEx failed: no kernel image is available for execution on the "
        "device - the image is machine code of a GPU, and the CPU device runs PTX only "
        '(compile with target="ptx")',
        "file": "RuntimeError: cuModuleLoad failed: file not found",
        "ipc": "LogicError: cuIpcGetMemHandle failed: operation not supported: cuIpcGetMemHandle "
        "(the CPU device has no IPC between processes)",
        "texture": "LogicError: cuTexRefCreate failed: operation not supported: cuTexRefCreate "
        "(the CPU device has no texture references, and CUDA 12 compiles no kernel that uses one)",
        "link": "LogicError: cuLinkAddData failed: operation not supported - part.o is machine code of "
        "a GPU, and the CPU device runs PTX only",
        "twice": "LogicError: device_allocation::free failed: invalid resource handle",
        "freed": "LogicError: cuMemcpyHtoD failed: invalid argument",
    }


def test_copies_of_all_kinds_agree_with_numpy():
    said = answers(
        """
        import pycuda.gpuarray as gpuarray
        rng = np.random.default_rng(1)
        cube = rng.integers(0, 99, (5, 6, 7)).astype(np.int32)

        flat = cuda.to_device(cube)
        other = cuda.mem_alloc(cube.nbytes)
        stream = cuda.Stream(1)
        cuda.memcpy_dtod_async(other, flat, cube.nbytes, stream)
        back = cuda.pagelocked_empty_like(cube)
        cuda.memcpy_dtoh_async(back, other, stream)
        stream.synchronize()
        said["one dimension"] = bool((back == cube).all())

        part = np.zeros((3, 4), np.int32)
        copy = cuda.Memcpy2D()
        copy.set_src_device(flat)
        copy.src_pitch, copy.src_x_in_bytes, copy.src_y = 7 * 4, 2 * 4, 1
        copy.set_dst_host(part)
        copy.dst_pitch = copy.width_in_bytes = 4 * 4
        copy.height = 3
        copy(aligned=True)
        said["two dimensions"] = bool((part == cube[0, 1:4, 2:6]).all())

        pitched, pitch = cuda.mem_alloc_pitch(7 * 4, 6, 4)
        copy = cuda.Memcpy2D()
        copy.set_src_host(cube[2])
        copy.set_dst_device(pitched)
        copy.src_pitch = copy.width_in_bytes = 7 * 4
        copy.dst_pitch, copy.height = pitch, 6
        copy(stream)
        stream.synchronize()
        rows = np.zeros((6, pitch // 4), np.int32)
        cuda.memcpy_dtoh(rows.reshape(-1)[: 5 * pitch // 4 + 7], pitched)
        said["pitched"] = bool((rows[:, :7] == cube[2]).all())

        box = np.zeros((2, 3, 4), np.int32)
        copy = cuda.Memcpy3D()
        copy.set_src_device(flat)
        copy.src_pitch, copy.src_height = 7 * 4, 6
        copy.src_x_in_bytes, copy.src_y, copy.src_z = 3 * 4, 2, 1
        copy.set_dst_host(box)
        copy.dst_pitch, copy.dst_height = 4 * 4, 3
        copy.width_in_bytes, copy.height, copy.depth = 4 * 4, 3, 2
        copy()
        said["three dimensions"] = bool((box == cube[1:3, 2:5, 3:7]).all())
        said["beyond"] = tried(lambda: (setattr(copy, "src_z", 4), copy()))

        array = cuda.np_to_array(cube[0].astype(np.float32), "C")
        d = array.get_descriptor_3d()
        said["array"] = [d.width, d.height]
        plane = np.zeros((6, 7), np.float32)
        copy = cuda.Memcpy2D()
        copy.set_src_array(array)
        copy.set_dst_host(plane)
        copy.dst_pitch = copy.width_in_bytes = 7 * 4
        copy.height = 6
        copy(aligned=True)
        said["from the array"] = bool((plane == cube[0]).all())

        for bits, dtype in ((8, np.uint8), (16, np.uint16), (32, np.uint32)):
            values = np.zeros(200_000, dtype)
            space = cuda.mem_alloc(values.nbytes)
            getattr(cuda, f"memset_d{bits}")(space, 0x1234567 & (1 << bits) - 1, values.size)
            cuda.memcpy_dtoh(values, space)
            said[f"memset {bits}"] = bool((values == 0x1234567 & (1 << bits) - 1).all())
        table = cuda.mem_alloc(6 * 512)
        cuda.memset_d8(table, 0, 6 * 512)
        cuda.memset_d2d16(table, 512, 7, 5, 6)
        grid = np.zeros((6, 256), np.uint16)
        cuda.memcpy_dtoh(grid, table)
        said["memset rows"] = bool((grid[:, :5] == 7).all() and not grid[:, 5:].any())

        view = gpuarray.to_gpu(cube)[:, 1:4, 2:5]
        said["views"] = bool((view.get() == cube[:, 1:4, 2:5]).all())
        """
    )
    assert said.pop("array") == [7, 6]
    assert said.pop("beyond") == "LogicError: cuMemcpy3D failed: invalid argument"
    assert all(value is True for value in said.values()), said


def test_kernels_reach_all_kinds_of_memory():
    said = answers(
        """
        from pycuda.compiler import SourceModule
        module = SourceModule('''
        __constant__ float scale[2];
        __device__ int count;
        __global__ void add(float *a, const float *b, int n) {
          int i = blockIdx.x * blockDim.x + threadIdx.x;
          if (i < n) { a[i] += scale[1] * b[i]; atomicAdd(&count, 1); }
        }''')
        n = np.int32(1000)
        add = module.get_function("add")
        cuda.memcpy_htod(module.get_global("scale")[0], np.array([5, 2], np.float32))
        cuda.memcpy_htod(module.get_global("count")[0], np.zeros(1, np.int32))
        pinned = cuda.pagelocked_zeros(1000, np.float32, mem_flags=cuda.host_alloc_flags.DEVICEMAP)
        managed = cuda.managed_zeros(1000, np.float32, mem_flags=cuda.mem_attach_flags.GLOBAL)
        managed[:] = np.arange(1000)
        add(np.intp(pinned.base.get_device_pointer()), managed, n, block=(128, 1, 1), grid=(8, 1))
        cuda.Context.synchronize()
        said["pinned"] = bool((pinned == 2 * np.arange(1000)).all())
        out = np.ones(1000, np.float32)
        add(cuda.InOut(out), cuda.In(pinned), n, block=(128, 1, 1), grid=(8, 1))
        said["handlers"] = bool((out == 4 * np.arange(1000) + 1).all())
        count = np.zeros(1, np.int32)
        cuda.memcpy_dtoh(count, module.get_global("count")[0])
        said["count"] = int(count[0])
        said["registers"] = add.num_regs > 0
        """
    )
    assert said == {"pinned": True, "handlers": True, "count": 2000, "registers": True}


FAULTS = {
    "wild": ("*(int *)64 = 1;", "LogicError: cuMemcpyDtoH failed: an illegal memory access was encountered"),
    "trap": ("__trap();", "LaunchError: cuMemcpyDtoH failed: unspecified launch failure"),
    "assert": ("assert(a[0] == 99);", "LogicError: cuMemcpyDtoH failed: device-side assert triggered"),
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_fault_breaks_the_device_from_the_next_wait_on(kind):
    body, message = FAULTS[kind]
    out, err = run(
        f"""
        import pycuda.autoinit
        from pycuda.compiler import SourceModule
        k = SourceModule('''
        #include <cassert>
        extern "C" __global__ void broken(int *a) {{ if (threadIdx.x == 3) {{ {body} }} }}
        ''', no_extern_c=True).get_function("broken")
        a = cuda.to_device(np.zeros(8, np.int32))
        print(tried(lambda: k(a, block=(8, 1, 1))))
        print(tried(lambda: cuda.mem_alloc(8)))
        print(tried(lambda: cuda.memcpy_dtoh(np.zeros(8, np.int32), a)))
        print(tried(lambda: cuda.mem_alloc(8)).split(":")[0])
        print(tried(cuda.Context.synchronize).split(":")[0])
        print(cuda.Context.get_device().name())
        """
    )
    lines = out.splitlines()
    assert lines[:2] == ["no error", "no error"]
    assert lines[2].startswith(message)
    assert "kernel broken" in lines[2]
    error = message.split(":")[0]
    assert lines[3:] == [error, error, "pycuda_guard CPU device"]
    # as on a GPU: what PyCUDA prints when it cannot free
    assert "a clean-up operation failed" in err
    assert "Traceback" not in err


def test_threads_have_contexts_of_their_own():
    out, _ = run(
        """
        import threading
        import pycuda.autoinit
        def work():
            print(cuda.Context.get_current(), tried(lambda: cuda.mem_alloc(8)).split(" - ")[0])
            context = cuda.Device(0).make_context()
            try:
                device = cuda.to_device(np.arange(4))
                print(cuda.from_device(device, (4,), np.int64))
            finally:
                context.pop()
                context.detach()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print(tried(cuda.Context.synchronize))
        """
    )
    lines = out.splitlines()
    assert lines[0].startswith("None LogicError")
    assert lines[1:] == ["[0 1 2 3]", "no error"]


def test_a_forked_child_gets_an_error():
    out, _ = run(
        """
        import os, sys
        import pycuda.autoinit
        child = os.fork()
        if not child:
            print(tried(lambda: cuda.mem_alloc(8)), tried(cuda.init), flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        print(tried(lambda: cuda.mem_alloc(8)))
        """
    )
    assert out.splitlines() == [
        "LogicError: cuMemAlloc failed: initialization error LogicError: cuInit failed: initialization error",
        "no error",
    ]


def test_memory_goes_back_when_a_context_ends():
    out, _ = run(
        """
        cuda.init()
        for _ in range(3):
            context = cuda.Device(0).make_context()
            keep = cuda.mem_alloc(200 << 20)
            free, total = cuda.mem_get_info()
            print(free >> 20, total >> 20)
            context.pop()
            context.detach()
            del context
        """
    )
    assert out.splitlines() == ["56 256"] * 3


def test_loading_too_late_is_refused():
    out, _ = run(
        """
        print(tried(lambda: cpu.load(cpu.DeviceOptions(memory_bytes=1 << 20))))
        cpu.load()
        import sys
        sys.modules["pycuda_guard.cpu.load"]._loaded = None
        print(tried(cpu.load))
        """
    )
    assert out.splitlines() == [
        "StartError: the CPU device is loaded already, with other options",
        "StartError: the CPU device cannot be loaded any more: pycuda.driver is already imported, "
        "bound to a driver",
    ]


def test_libraries_load_without_a_cache_folder(tmp_path):
    (tmp_path / "file").touch()
    out, err = run("print(tried(cuda.init))", PYCUDA_GUARD_CACHE_DIR=str(tmp_path / "file"))
    assert (out, err) == ("no error\n", "")
