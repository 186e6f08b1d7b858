"""CPU devices other than the usual one: several, older ones, small ones."""

from __future__ import annotations

import pytest
from async_support import answers

from pycuda_guard import cpu
from pycuda_guard.cpu.driver.attributes import attributes
from pycuda_guard.errors import StartError

pytest.importorskip("pycuda")


def test_several_devices_have_memory_contexts_and_numbers_of_their_own():
    said = answers(
        """
        cuda.Context.pop()
        devices = [cuda.Device(i) for i in range(cuda.Device.count())]
        said["ids"] = [device.pci_bus_id() for device in devices]
        said["found"] = [cuda.Device(id_) == device for id_, device in zip(said["ids"], devices)]
        said["beyond"] = tried(lambda: cuda.Device(3))
        said["peers"] = [devices[0].can_access_peer(device) for device in devices]
        contexts = []
        for device in devices:
            contexts.append(device.make_context())
            cuda.Context.pop()
        contexts[2].push()
        said["of"] = cuda.Context.get_device() == devices[2]
        before = cuda.mem_get_info()[0]
        there = cuda.mem_alloc(4 * N)
        cuda.memset_d32(there, 7, N)
        cuda.Context.synchronize()
        said["used"] = before - cuda.mem_get_info()[0]
        cuda.Context.pop()
        contexts[1].push()
        said["not used"] = before - cuda.mem_get_info()[0]
        said["enable"] = [tried(lambda: contexts[1].enable_peer_access(contexts[2])) for _ in range(2)]
        here = cuda.mem_alloc(4 * N)
        copy = cuda.Memcpy3DPeer()
        copy.set_src_device(there)
        copy.set_dst_device(here)
        copy.set_src_context(contexts[2])
        copy.set_dst_context(contexts[1])
        copy.width_in_bytes, copy.height, copy.depth = 4 * N, 1, 1
        copy()
        said["copied"] = value(here)
        said["disable"] = [tried(lambda: cuda.Context.disable_peer_access(contexts[2])) for _ in range(2)]
        cuda.Context.pop()
        primaries = [device.retain_primary_context() for device in devices]
        said["primary contexts"] = len({primary.handle for primary in primaries})
        del there, here, copy
        for context in contexts + primaries:
            context.detach()
        pycuda.autoinit.context.push()
        """,
        "devices=3",
    )
    assert said == {
        "ids": ["0000:00:00.0", "0000:01:00.0", "0000:02:00.0"],
        "found": [True, True, True],
        "beyond": "LogicError: cuDeviceGet failed: invalid device ordinal",
        "peers": [False, True, True],
        "of": True,
        "used": 512,
        "not used": 0,
        "enable": ["no error", "LogicError: cuCtxEnablePeerAccess failed: peer access is already enabled"],
        "copied": 7,
        "disable": [
            "no error",
            "LogicError: cuCtxDisablePeerAccess failed: peer access has not been enabled",
        ],
        "primary contexts": 3,
    }


def test_copies_between_contexts_come_after_all_of_their_work_and_before_what_follows():
    said = answers(
        """
        cuda.Context.pop()
        contexts = [cuda.Device(i).make_context() for i in range(2)]
        there = cuda.mem_alloc(4 * N)
        cuda.memset_d32(there, 1, N)
        cuda.Context.pop()
        here = cuda.mem_alloc(4 * N)
        cuda.memset_d32(here, 5, N)
        # the copy is asked for where the memory comes from, and read where it goes
        cuda.memcpy_peer(there, here, 4 * N, dest_context=contexts[1], src_context=contexts[0])
        contexts[1].push()
        said["after memsets"] = value(there)
        stream = cuda.Stream()
        cuda.memset_d32_async(there, 9, N, stream)
        cuda.Context.pop()
        box = cuda.Memcpy3DPeer()
        box.set_src_device(there)
        box.set_dst_device(here)
        box.set_src_context(contexts[1])
        box.set_dst_context(contexts[0])
        box.width_in_bytes, box.height, box.depth = 4 * N, 1, 1
        box()
        said["a box, after a stream's work"] = value(here)
        here.free()
        cuda.Context.pop()
        contexts[1].push()
        there.free()
        del stream
        cuda.Context.pop()
        for context in contexts:
            context.detach()
        pycuda.autoinit.context.push()
        """,
        "devices=2",
    )
    assert said == {"after memsets": 5, "a box, after a stream's work": 9}


def test_contexts_of_one_device_are_not_ordered_and_end_with_their_own_work():
    said = answers(
        """
        first = pycuda.autoinit.context
        a, host = zeros(), pinned()
        add(a, np.int32(7), **all_)
        cuda.memcpy_dtoh_async(host, a)
        cuda.Context.pop()
        second = cuda.Device(0).make_context()
        cuda.Context.synchronize()
        said["other context"] = int(host[0])
        b = pinned()
        cuda.memset_d32_async(b.base.get_device_pointer(), 5, N, None)
        cuda.Context.pop()
        first.push()
        cuda.Context.synchronize()
        said["first"] = [int(host[0]), int(b[0])]
        cuda.Context.pop()
        second.push()
        kept = b.base.get_device_pointer() and b
        cuda.Context.synchronize()
        said["second"] = int(b[0])
        del b, kept
        cuda.Context.pop()
        second.detach()
        first.push()
        """
    )
    assert said == {"other context": 0, "first": [7, 0], "second": 5}


def test_an_older_device_has_its_limits_and_takes_no_newer_ptx():
    said = answers(
        """
        device = cuda.Device(0)
        said["capability"] = device.compute_capability()
        said["shared"] = device.max_shared_memory_per_block_optin
        said["threads"] = device.max_threads_per_multiprocessor
        said["clock"] = device.clock_rate
        said["memory"] = device.total_memory() >> 20
        newer = ".version 8.0\\n.target sm_80\\n.address_size 64\\n.visible .entry f() { ret; }"
        said["newer"] = tried(lambda: cuda.module_from_buffer(newer.encode()))
        said["own"] = value(cuda.to_device(np.full(N, 3, np.int32)))
        """,
        "compute_capability='7.5', attributes={13: 1000}",
    )
    assert said == {
        "capability": [7, 5],
        "shared": 65536,
        "threads": 1024,
        "clock": 1000,
        "memory": 256,
        "newer": "LogicError: cuModuleLoadDataEx failed: a PTX JIT compilation failed - "
        "the PTX is for sm_80, and the CPU device is an sm_75",
        "own": 3,
    }


def test_the_hosts_side_of_pinned_memory_can_be_protected_while_the_device_writes():
    said = answers(
        """
        import ctypes
        protect = ctypes.CDLL(None).mprotect
        protect.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
        for kind, a in {
            "pinned": cuda.pagelocked_empty(1024, np.int32),
            "managed": cuda.managed_empty(1024, np.int32, mem_flags=cuda.mem_attach_flags.GLOBAL),
        }.items():
            a[:] = 3
            place = a.ctypes.data
            assert place % 4096 == 0
            protect(place, 4096, 0)
            add(np.uintp(place), np.int32(4), **all_)
            cuda.Context.synchronize()
            protect(place, 4096, 3)
            said[kind] = [int(a[0]), int(a[N])]
        """
    )
    assert said == {"pinned": [7, 3], "managed": [7, 3]}


@pytest.mark.parametrize(
    "capability, shared", [("7.5", 64), ("8.0", 163), ("8.6", 99), ("8.7", 163), ("8.9", 99), ("9.0", 227)]
)
def test_shared_memory_follows_from_the_compute_capability(capability, shared):
    assert attributes(cpu.DeviceOptions(compute_capability=capability))[97] == shared << 10


@pytest.mark.parametrize(
    "options, words",
    [
        ({"compute_capability": "6.0"}, "can't have compute capability 6.0"),
        ({"devices": 0}, "can't be 0 CPU devices"),
        ({"devices": 17}, "can't be 17 CPU devices"),
        ({"schedule": "sometimes"}, "no schedule 'sometimes'"),
        ({"schedule": "random:x"}, "no schedule 'random:x'"),
    ],
)
def test_impossible_devices_are_refused(options, words):
    with pytest.raises(StartError, match=words):
        cpu.DeviceOptions(**options).check()
