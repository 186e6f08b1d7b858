"""The driver's results: their numbers, names and messages, and why the last call of a thread failed."""

from __future__ import annotations

import ctypes
import threading
from collections import deque
from enum import IntEnum


class Result(IntEnum):
    """``CUresult``: those that the CPU device returns. ``message`` is what cuGetErrorString says."""

    message: str

    def __new__(cls, value: int, message: str) -> Result:
        """Return the member of this number and message."""
        member = int.__new__(cls, value)
        member._value_ = value
        member.message = message
        return member

    SUCCESS = 0, "no error"
    INVALID_VALUE = 1, "invalid argument"
    OUT_OF_MEMORY = 2, "out of memory"
    NOT_INITIALIZED = 3, "initialization error"
    INVALID_DEVICE = 101, "invalid device ordinal"
    INVALID_IMAGE = 200, "device kernel image is invalid"
    INVALID_CONTEXT = 201, "invalid device context"
    NO_BINARY_FOR_GPU = 209, "no kernel image is available for execution on the device"
    UNSUPPORTED_LIMIT = 215, "limit is not supported on this architecture"
    PEER_ACCESS_UNSUPPORTED = 217, "peer access is not supported between these two devices"
    INVALID_PTX = 218, "a PTX JIT compilation failed"
    UNSUPPORTED_PTX_VERSION = 222, "the provided PTX was compiled with an unsupported toolchain."
    FILE_NOT_FOUND = 301, "file not found"
    INVALID_HANDLE = 400, "invalid resource handle"
    NOT_FOUND = 500, "named symbol not found"
    NOT_READY = 600, "device not ready"
    ILLEGAL_ADDRESS = 700, "an illegal memory access was encountered"
    LAUNCH_OUT_OF_RESOURCES = 701, "too many resources requested for launch"
    LAUNCH_TIMEOUT = 702, "the launch timed out and was terminated"
    PEER_ACCESS_ALREADY_ENABLED = 704, "peer access is already enabled"
    PEER_ACCESS_NOT_ENABLED = 705, "peer access has not been enabled"
    CONTEXT_IS_DESTROYED = 709, "context is destroyed"
    ASSERT = 710, "device-side assert triggered"
    HOST_MEMORY_ALREADY_REGISTERED = 712, "part or all of the requested memory range is already mapped"
    HOST_MEMORY_NOT_REGISTERED = 713, "pointer does not correspond to a registered memory region"
    HARDWARE_STACK_ERROR = 714, "hardware stack error"
    ILLEGAL_INSTRUCTION = 715, "an illegal instruction was encountered"
    MISALIGNED_ADDRESS = 716, "misaligned address"
    LAUNCH_FAILED = 719, "unspecified launch failure"
    NOT_PERMITTED = 800, "operation not permitted"
    NOT_SUPPORTED = 801, "operation not supported"
    UNKNOWN = 999, "unknown error"


class DriverError(Exception):
    """Makes a driver function return ``result``.

    ``detail`` follows the result's message in what cuGetErrorString says next in this thread. It is for
    what a GPU's driver has no words for; empty where its message is right as it is.
    """

    def __init__(self, result: Result, detail: str = "") -> None:
        super().__init__(f"{result.message}: {detail}" if detail else result.message)
        self.result = result
        self.detail = detail


class InterruptedWaitError(BaseException):
    """A wait is over because a signal's handler raised an exception.

    The program gets that when the call returns. The call itself succeeds: an error would get in the way.
    """


class _LastError(threading.local):
    def __init__(self) -> None:
        self.result = Result.SUCCESS
        self.detail = ""
        # callers may hold on to the strings for a while
        self.kept: deque[ctypes.Array[ctypes.c_char]] = deque(maxlen=64)


_last = _LastError()
_names = {result: ctypes.create_string_buffer(f"CUDA_ERROR_{result.name}".encode()) for result in Result}
_names[Result.SUCCESS] = ctypes.create_string_buffer(b"CUDA_SUCCESS")
_messages = {result: ctypes.create_string_buffer(result.message.encode()) for result in Result}


def remember(error: DriverError) -> int:
    """Note why the current thread's call fails; return its result."""
    _last.result = error.result
    _last.detail = error.detail
    return error.result


def name_address(result: int) -> int:
    """Return the address of the NUL-terminated name of ``result``; 0 if it is none of ours."""
    name = _names.get(result)  # type: ignore[call-overload]
    return ctypes.addressof(name) if name is not None else 0


def message_address(result: int) -> int:
    """Return the address of the message for ``result``; 0 if it is none of ours.

    The message has the detail of the thread's last failing call if that returned ``result``.
    """
    if result == _last.result and _last.detail:
        text = f"{_last.result.message}: {_last.detail}"
        _last.kept.append(ctypes.create_string_buffer(text.encode("utf-8", "replace")))
        return ctypes.addressof(_last.kept[-1])
    message = _messages.get(result)  # type: ignore[call-overload]
    return ctypes.addressof(message) if message is not None else 0
