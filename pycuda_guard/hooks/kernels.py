"""The hooks' side of instrumented kernels: where PyCUDA's objects meet the runtime."""

from __future__ import annotations

import contextlib
import struct
from typing import TYPE_CHECKING, Any

from pycuda_guard.events.model import CallFailed, Synchronized
from pycuda_guard.hooks.sources import digest, is_ptx, text_of
from pycuda_guard.hooks.tap import Connect, Tap, Wrapped, like
from pycuda_guard.shadow.assembler import assemble, ptxas_options
from pycuda_guard.shadow.residency import DeviceRoom
from pycuda_guard.shadow.runtime import Runtime
from pycuda_guard.shadow.source import LinkedSource, Source

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from pycuda_guard.events.model import Event, Launch
    from pycuda_guard.events.patterns import Pattern
    from pycuda_guard.hooks.modules import Link
    from pycuda_guard.hooks.sink import Sink
    from pycuda_guard.hooks.sources import Compiled
    from pycuda_guard.shadow.loading import Variant
    from pycuda_guard.shadow.world import Options

#: shared memory that every kernel can have
_SHARED_MEMORY = 48 << 10
#: what the program may set for a function; all of its variants get it
_SETTERS = ("set_attribute", "set_cache_config", "set_shared_config")

#: how the driver refuses what belongs to another context; loaded anew in the current one, it would work
_OF_ANOTHER_CONTEXT = ("invalid resource handle", "invalid device context")


class Kernels:
    """The runtime, and PyCUDA's own functions that it is served with."""

    def __init__(self, options: Options, sink: Sink) -> None:
        self.runtime = Runtime(options, sink.emit, sink.guard_error)
        self._prepared = self.runtime.prepared
        self.on_cpu = options.on_cpu
        self.driver: Any = None
        self._module_from_buffer: Wrapped
        self._get_attribute: Wrapped
        self._setters: dict[str, Wrapped] = {}
        self._parameters: dict[str, Wrapped] = {}
        self._linker: dict[str, Wrapped] = {}

    def connect(self, driver: ModuleType) -> None:
        """Take PyCUDA's functions as they are before they are hooked."""
        self.driver = driver
        self._module_from_buffer = driver.module_from_buffer
        loader = self.runtime.loader
        loader.get_function = driver.Module.get_function
        loader.get_global = driver.Module.get_global
        self._get_attribute = driver.Function.get_attribute
        loader.set_up = self._set_up
        loader.set_checked = self._set_checked
        loader.ask_room = self._shared_room
        loader.ask_threads = self._most_threads
        loader.ask_resources = self._resources
        loader.ask_device = self._device_room
        loader.widen = self._widen
        self._linker = {
            name: getattr(driver.Linker, name)
            for name in ("add_data", "add_file", "link_module")
            if hasattr(driver, "Linker")
        }
        self._parameters = {
            name: getattr(driver.Function, name)
            for name in ("_param_set_size", "_param_setv")
            if hasattr(driver.Function, name)
        }
        self._setters = {
            name: getattr(driver.Function, name) for name in _SETTERS if hasattr(driver.Function, name)
        }

    def emitting(self, emit: Callable[..., int]) -> Callable[..., int]:
        """Return ``emit`` with the runtime's view of each event around it."""
        interests = self.runtime.interests
        fold = self.runtime.fold

        def emit_and_fold(event: Event, pattern: Pattern | None = None) -> int:
            kind = type(event)
            if kind is Synchronized or kind is CallFailed:
                # what kernels reported comes before what the program is told
                self.runtime.collect(event.context)
            number = emit(event, pattern)
            if kind in interests:
                fold(event)
            return number

        return emit_and_fold

    # -- modules --------------------------------------------------------------------------------

    def from_image(
        self,
        tap: Tap,
        plain: Callable[[], Any],
        image: bytes,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[Any, dict[str, str]]:
        """Load an image, instrumented where that can be; raises what ``plain`` raises alone."""
        compiled = tap.sources.get(digest(image))
        source = self._source(compiled, image)
        if source is None:
            return plain(), {}
        options = kwargs.get("options", args[1] if len(args) > 1 else [])
        handler = kwargs.get("message_handler", args[2] if len(args) > 2 else None)

        def instead(text: bytes, registers: int) -> Any:
            return self._load(text, list(options) if is_ptx(image) else [], compiled, registers)

        try:
            # The compiler's words about the program's own image are for its handler. What the driver thinks
            # of machine code can't be told from PTX: it may be for another device.
            bare_first = handler is not None or not is_ptx(image)
            context = tap.threads.state.context
            return self.runtime.load(plain, instead, source, context, bare_first=bare_first)
        finally:
            if compiled is not None:
                compiled.forget()

    def from_link(self, tap: Tap, plain: Callable[[], Any], link: Link) -> tuple[Any, dict[str, str]]:
        """Link a module, instrumented where that can be; raises what ``plain`` raises alone.

        Parts of PTX are instrumented as one module.
        """
        images = [entry[0] for entry in link.data if is_ptx(entry[0])]
        if not images:
            return plain(), {}
        compiled = [tap.sources.get(digest(image)) for image in images]
        sources = [self._source(each, image) for each, image in zip(compiled, images, strict=True)]
        source = LinkedSource([each for each in sources if each is not None])

        def instead(text: bytes, registers: int) -> Any:
            options = link.keywords.get("options", link.arguments[1] if len(link.arguments) > 1 else None)
            if registers:
                options = [*(options or ()), (self.driver.jit_option.MAX_REGISTERS, registers)]
            linker = self.driver.Linker(None, options)
            tap.linked.pop(id(linker), None)
            parts = [entry for entry in link.data if not is_ptx(entry[0]) or entry[0] is images[0]]
            for data, kind, name in parts:
                self._linker["add_data"](linker, text if data is images[0] else data, kind, name)
            for name, kind in link.files:
                self._linker["add_file"](linker, name, kind)
            return self._linker["link_module"](linker)

        try:
            context = tap.threads.state.context
            return self.runtime.load(plain, instead, source, context, bare_first=True)
        finally:
            for each in compiled:
                if each is not None:
                    each.forget()

    def _load(
        self, text: bytes, options: list[tuple[Any, int]], compiled: Compiled | None, registers: int
    ) -> Any:
        """Load PTX with what the program asked the compiler for, by way of ptxas where that takes it."""
        flags = [] if compiled is None or self.on_cpu else ptxas_options(compiled.options)
        if flags:
            return self._module_from_buffer(assemble(text, flags, registers))
        limit = [(self.driver.jit_option.MAX_REGISTERS, registers)] if registers else []
        try:
            return self._module_from_buffer(text, options + limit)
        except self.driver.Error:
            if self.on_cpu:
                raise
        # a driver that is older than the compiler does not know its PTX
        return self._module_from_buffer(assemble(text, flags, registers))

    @staticmethod
    def _source(compiled: Compiled | None, image: bytes) -> Source | None:
        """Return where an image comes from; None where its PTX can't be known."""
        if is_ptx(image) and (compiled is None or b".loc" in image):
            text = text_of(image)
            ptx = lambda: text  # noqa: E731
        elif compiled is not None:
            ptx = compiled.ptx
        else:
            return None
        return Source(ptx) if compiled is None else Source(ptx, compiled.text, compiled.frames)

    # -- functions ------------------------------------------------------------------------------

    def variant_of(self, function: Any) -> Variant | None:
        """Return what is known of an instrumented function."""
        return self.runtime.loader.variants.get(id(function))

    def launch(self, wrapped: Wrapped, args: tuple[Any, ...], event: Launch, pattern: Pattern | None) -> Any:
        """Launch a kernel in the place of ``wrapped``; raises what it raises for the program's own."""
        function, grid, block, packed, shared, stream = args
        chosen, longer, asked = self.runtime.prepare(function, packed, shared, event, pattern)
        try:
            result = wrapped(chosen, grid, block, longer, asked, stream)
            if self._prepared:
                self.runtime.launched(event)
            return result
        except self.driver.Error as error:
            variant = self.variant_of(function)
            if variant is None or any(words in str(error) for words in _OF_ANOTHER_CONTEXT):
                raise
            bare = self._bare_for_launch(variant)
            if bare is None and chosen is function:
                raise
        # not in the handler: an exception of the program's own kernel must not show ours behind it.
        # If it is only the instrumented kernel that is too large, the program's own runs unwatched; where
        # that has variables of its own, the smallest variant does.
        if bare is not None:
            result = wrapped(bare, grid, block, packed, shared, stream)
        else:
            _, longer, _ = self.runtime.unwatched(function, variant, packed, shared)
            result = wrapped(function, grid, block, longer, shared, stream)
        self.runtime.launched_unwatched(event)
        return result

    def launch_unwatched(self, wrapped: Wrapped, function: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Make a launch that no event tells of."""
        if (variant := self.variant_of(function)) is None or kwargs or len(args) != 5:
            return wrapped(function, *args, **kwargs)
        grid, block, packed, shared, stream = args
        _, packed, shared = self.runtime.unwatched(function, variant, packed, shared)
        return wrapped(function, grid, block, packed, shared, stream)

    def complete_legacy(self, function: Any, event: Launch | None, shared: int) -> None:
        """Set the hidden parameter of a kernel that is launched in the form before CUDA 4."""
        variant = self.variant_of(function)
        if variant is None:
            if event is not None:
                self.runtime.prepare(function, b"", shared, event)
            return
        packed = bytes(variant.parameters)
        if event is None:
            _, longer, _ = self.runtime.unwatched(function, variant, packed, shared)
        else:
            _, longer, _ = self.runtime.prepare(function, packed, shared, event)
        start = variant.plan.kernel.hidden_offset
        self._parameters["_param_set_size"](function, len(longer))
        self._parameters["_param_setv"](function, start, longer[start:])

    def _bare_for_launch(self, variant: Variant) -> Any:
        """Return the program's own function, if it does not matter which module's variables it uses."""
        if variant.loaded.image.variables:
            return None
        try:
            return self.runtime.loader.bare_function(variant)
        except Exception:
            return None  # the context is broken, or there is no room

    def _widen(self, function: Any) -> int:
        """Let launches of a variant ask for all shared memory; return how much dynamic memory that is."""
        attributes, limits = self.driver.function_attribute, self.driver.device_attribute
        static: int = self._get_attribute(function, attributes.SHARED_SIZE_BYTES)
        device = self.driver.Context.get_device()
        usual: int = device.get_attribute(limits.MAX_SHARED_MEMORY_PER_BLOCK) - static
        try:
            most: int = device.get_attribute(limits.MAX_SHARED_MEMORY_PER_BLOCK_OPTIN) - static
            self._set_up(function, "set_attribute", (attributes.MAX_DYNAMIC_SHARED_SIZE_BYTES, most))
        except (AttributeError, KeyError, self.driver.Error):
            return usual
        return most

    def _shared_room(self, function: Any) -> int:
        """Return how much dynamic shared memory a function can have."""
        attributes = self.driver.function_attribute
        if hasattr(attributes, "MAX_DYNAMIC_SHARED_SIZE_BYTES"):
            return int(self._get_attribute(function, attributes.MAX_DYNAMIC_SHARED_SIZE_BYTES))
        return _SHARED_MEMORY - int(self._get_attribute(function, attributes.SHARED_SIZE_BYTES))

    def _most_threads(self, function: Any) -> int:
        """Return how many threads a block of a function can have."""
        attribute = self.driver.function_attribute.MAX_THREADS_PER_BLOCK
        return int(self._get_attribute(function, attribute))

    def _resources(self, function: Any) -> tuple[int, int]:
        """Return the registers of a function's threads and the bytes of its static shared memory."""
        attributes = self.driver.function_attribute
        registers = self._get_attribute(function, attributes.NUM_REGS)
        return int(registers), int(self._get_attribute(function, attributes.SHARED_SIZE_BYTES))

    def _device_room(self) -> DeviceRoom:
        """Return what the current device has room for."""
        device, limits = self.driver.Context.get_device(), self.driver.device_attribute
        names = (
            "MULTIPROCESSOR_COUNT",
            "MAX_THREADS_PER_MULTIPROCESSOR",
            "MAX_REGISTERS_PER_MULTIPROCESSOR",
            "MAX_SHARED_MEMORY_PER_MULTIPROCESSOR",
        )
        return DeviceRoom(*(int(device.get_attribute(getattr(limits, name))) for name in names))

    def _set_up(self, function: Any, name: str, arguments: tuple[Any, ...]) -> None:
        self._setters[name](function, *arguments)

    def set_for_all(self, wrapped: Wrapped, name: str, function: Any, arguments: tuple[Any, ...]) -> Any:
        """Set something for a function; raises what ``wrapped`` raises for the program's own."""
        variant = self.variant_of(function)
        if variant is None:
            return wrapped(function, *arguments)
        bare = None
        with contextlib.suppress(Exception):
            bare = self.runtime.loader.bare_function(variant)
        if bare is None:
            return wrapped(function, *arguments)
        result = wrapped(bare, *arguments)
        variant.note_setting(name, arguments)
        if self._sets_shared(name, arguments):
            variant.own_shared = int(arguments[1])
        # where a variant can't have it, its launch will fail, and the program's own runs instead
        with contextlib.suppress(self.driver.Error):
            wrapped(function, *arguments)
        for each in (variant.checked, variant.traced):
            if each is not None:
                self._set_checked(variant, each, name, arguments)
        if variant.proven is not None:
            with contextlib.suppress(self.driver.Error):
                wrapped(variant.proven, *arguments)
        return result

    def _set_checked(self, variant: Variant, function: Any, name: str, arguments: tuple[Any, ...]) -> None:
        """Set for a variant that checks what the program has set; it may need more shared memory."""
        if self._sets_shared(name, arguments):
            arguments = arguments[0], variant.plan.kernel.shared_bytes(arguments[1])
        with contextlib.suppress(self.driver.Error):
            self._set_up(function, name, arguments)

    def _sets_shared(self, name: str, arguments: tuple[Any, ...]) -> bool:
        """Tell whether the program sets how much dynamic shared memory a launch may ask for."""
        attribute = getattr(self.driver.function_attribute, "MAX_DYNAMIC_SHARED_SIZE_BYTES", None)
        return name == "set_attribute" and len(arguments) == 2 and arguments[0] == attribute


def with_room(connect: Connect) -> Connect:
    """Make the hook of an allocation give the guard's own memory back where that is what is missing."""

    def connect_with_room(tap: Tap, wrapped: Wrapped) -> Wrapped:
        kernels = tap.kernels
        if kernels is None:
            return connect(tap, wrapped)

        def allocate(*args: Any, **kwargs: Any) -> Any:
            try:
                return wrapped(*args, **kwargs)
            except kernels.driver.MemoryError:
                if not kernels.runtime.release_memory(tap.threads.state.context):
                    raise
            return wrapped(*args, **kwargs)

        return connect(tap, like(wrapped, allocate))

    return connect_with_room


def mem_get_info(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``mem_get_info``: what the guard would give back counts as free."""

    def hook(*args: Any, **kwargs: Any) -> Any:
        free, total = wrapped(*args, **kwargs)
        if tap.active and tap.kernels is not None:
            free += tap.kernels.runtime.memory_in_use(tap.threads.state.context)
        return free, total

    return like(wrapped, hook)


def get_attribute(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``Function.get_attribute``: the answer is that of the program's own kernel."""

    def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
        kernels = tap.kernels
        variant = None if kernels is None else kernels.variant_of(self)
        if kernels is None or variant is None:
            return wrapped(self, *args, **kwargs)
        try:
            bare = kernels.runtime.loader.bare_function(variant)
        except Exception:
            bare = self  # the context is broken, or there is no room
        return wrapped(bare, *args, **kwargs)

    return like(wrapped, hook)


def setter(name: str) -> Connect:
    """Hook a method of Function that sets something."""

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        def hook(self: Any, *args: Any, **kwargs: Any) -> Any:
            if tap.kernels is None or kwargs:
                return wrapped(self, *args, **kwargs)
            return tap.kernels.set_for_all(wrapped, name, self, args)

        return like(wrapped, hook)

    return connect


def parameter(form: str) -> Connect:
    """Hook a method of Function that sets a part of its parameters; ``form`` packs a number."""

    def connect(tap: Tap, wrapped: Wrapped) -> Wrapped:
        def hook(self: Any, offset: Any, value: Any) -> Any:
            result = wrapped(self, offset, value)
            if tap.kernels is not None and (variant := tap.kernels.variant_of(self)) is not None:
                data = struct.pack(form, value) if form else bytes(value)
                variant.parameters[offset : offset + len(data)] = data
            return result

        return like(wrapped, hook)

    return connect
