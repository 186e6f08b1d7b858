"""The device: number, name, attributes."""

from __future__ import annotations

from pycuda_guard.cpu.driver import state
from pycuda_guard.cpu.driver.attributes import CAPABILITY_MAJOR, CAPABILITY_MINOR, LAST, PCI_BUS
from pycuda_guard.cpu.driver.cells import get_text, put_i32, put_text, put_u64
from pycuda_guard.cpu.driver.errors import DriverError, Result, message_address, name_address

NAME = "pycuda_guard CPU device"
DRIVER_VERSION = 13000
PCI_BUS_ID = "0000:{:02x}:00.0"


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
    if not 0 <= device < state.options.devices:
        raise DriverError(Result.INVALID_DEVICE)


def get(out: int, ordinal: int) -> None:
    """Return the device with a number."""
    _check(ordinal)
    put_i32(out, ordinal)


def get_count(out: int) -> None:
    """Return the number of devices."""
    _check(0)
    put_i32(out, state.options.devices)


def get_name(out: int, capacity: int, device: int) -> None:
    """Return the device's name."""
    _check(device)
    put_text(out, NAME, capacity)


def get_total_memory(out: int, device: int) -> None:
    """Return the size of the device's memory in bytes."""
    _check(device)
    put_u64(out, state.memory.total)


def get_compute_capability(major: int, minor: int, device: int) -> None:
    """Return the compute capability."""
    _check(device)
    put_i32(major, state.attributes[CAPABILITY_MAJOR])
    put_i32(minor, state.attributes[CAPABILITY_MINOR])


def get_pci_bus_id(out: int, capacity: int, device: int) -> None:
    """Return the device's PCI address, a made-up one."""
    _check(device)
    text = PCI_BUS_ID.format(device)
    if capacity <= len(text):
        raise DriverError(Result.INVALID_VALUE)
    put_text(out, text, capacity)


def get_by_pci_bus_id(out: int, text: int) -> None:
    """Return the device with a PCI address."""
    _check(0)
    name = get_text(text).decode("ascii", "replace")
    try:
        numbers = [int(part, 16) for part in name.replace(".", ":").split(":")]
    except ValueError:
        raise DriverError(Result.INVALID_VALUE) from None
    if len(numbers) not in (2, 3, 4):
        raise DriverError(Result.INVALID_VALUE)
    # domain:bus:device.function, domain:bus:device, bus:device.function, bus:device
    bus = numbers.pop(0 if len(numbers) == 2 or (len(numbers) == 3 and "." in name) else 1)
    if any(numbers) or bus >= state.options.devices:
        raise DriverError(Result.INVALID_DEVICE)
    put_i32(out, bus)


def get_attribute(out: int, attribute: int, device: int) -> None:
    """Return an attribute of the device."""
    _check(device)
    if not 1 <= attribute <= LAST:
        raise DriverError(Result.INVALID_VALUE)
    put_i32(out, device if attribute == PCI_BUS else state.attributes.get(attribute, 0))


def can_access_peer(out: int, device: int, other: int) -> None:
    """Say whether a device can access another's memory: any other's, but it is no peer of itself."""
    _check(device)
    _check(other)
    put_i32(out, int(device != other))
