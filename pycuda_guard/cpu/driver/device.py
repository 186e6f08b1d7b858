"""The device: number, name, attributes."""

from __future__ import annotations

from pycuda_guard.cpu.driver import state
from pycuda_guard.cpu.driver.attributes import COMPUTE_CAPABILITY, LAST, MULTIPROCESSORS, VALUES
from pycuda_guard.cpu.driver.cells import get_text, put_i32, put_text, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result, message_address, name_address

NAME = "pycuda_guard CPU device"
DRIVER_VERSION = 13000
PCI_BUS_ID = "0000:00:00.0"


def initialize(flags: int) -> None:
    """Start the driver."""
    if flags:
        raise DriverError(Result.INVALID_VALUE)
    state.initialize()


def get_version(out: int) -> None:
    """Return the version of CUDA that the driver's interface is that of."""
    put_i32(out, DRIVER_VERSION)


def get_error_name(result: int, out: int) -> None:
    """Return the name of a result."""
    _put_string(out, name_address(result))


def get_error_string(result: int, out: int) -> None:
    """Return the message for a result; where a GPU's driver has no words, it also says why."""
    _put_string(out, message_address(result))


def _put_string(out: int, address: int) -> None:
    put_u64(out, address)
    if not address:
        raise DriverError(Result.INVALID_VALUE)


def _check(device: int) -> None:
    if not state.status.initialized or state.status.forked:
        raise DriverError(Result.NOT_INITIALIZED)
    if device != 0:
        raise DriverError(Result.INVALID_DEVICE)


def get(out: int, ordinal: int) -> None:
    """Return the device with a number; there is only number 0."""
    _check(ordinal)
    put_i32(out, 0)


def get_count(out: int) -> None:
    """Return the number of devices: 1."""
    _check(0)
    put_i32(out, 1)


def get_name(out: int, capacity: int, device: int) -> None:
    """Return the device's name."""
    _check(device)
    put_text(out, NAME, capacity)


def get_total_memory(out: int, device: int) -> None:
    """Return the size of the device's memory in bytes."""
    _check(device)
    put_u64(out, state.memory.total)


def get_compute_capability(major: int, minor: int, device: int) -> None:
    """Return the compute capability: 9.0."""
    _check(device)
    put_i32(major, COMPUTE_CAPABILITY[0])
    put_i32(minor, COMPUTE_CAPABILITY[1])


def get_pci_bus_id(out: int, capacity: int, device: int) -> None:
    """Return the device's PCI address, a made-up one."""
    _check(device)
    if capacity <= len(PCI_BUS_ID):
        raise DriverError(Result.INVALID_VALUE)
    put_text(out, PCI_BUS_ID, capacity)


def get_by_pci_bus_id(out: int, text: int) -> None:
    """Return the device with a PCI address."""
    _check(0)
    parts = get_text(text).decode("ascii", "replace").replace(".", ":").split(":")
    try:
        numbers = [int(part, 16) for part in parts]
    except ValueError:
        raise DriverError(Result.INVALID_VALUE) from None
    if len(numbers) not in (2, 3, 4):
        raise DriverError(Result.INVALID_VALUE)
    if any(numbers):
        raise DriverError(Result.INVALID_DEVICE)
    put_i32(out, 0)


def get_attribute(out: int, attribute: int, device: int) -> None:
    """Return an attribute of the device."""
    _check(device)
    if not 1 <= attribute <= LAST:
        raise DriverError(Result.INVALID_VALUE)
    put_i32(out, state.options.threads if attribute == MULTIPROCESSORS else VALUES.get(attribute, 0))


def can_access_peer(out: int, device: int, other: int) -> None:
    """Say that the device is no peer of itself."""
    _check(device)
    _check(other)
    put_i32(out, 0)
