"""Loads instrumented modules in the place of the program's, and answers for the program's own."""

from __future__ import annotations

import itertools
import weakref
from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import GuardError
from pycuda_guard.events.model import MemoryKind, ModuleVariable
from pycuda_guard.kernels.instrument import abi
from pycuda_guard.kernels.instrument.footprints import TRACED_SUFFIX
from pycuda_guard.kernels.instrument.proofs.model import PROVEN_SUFFIX
from pycuda_guard.shadow.allocations import Allocation
from pycuda_guard.shadow.memos import Memos
from pycuda_guard.shadow.proving import Proving

if TYPE_CHECKING:
    from collections.abc import Callable

    from pycuda_guard.events.model import ContextId, ModuleId
    from pycuda_guard.shadow.images import Image, KernelPlan
    from pycuda_guard.shadow.residency import DeviceRoom
    from pycuda_guard.shadow.source import Source
    from pycuda_guard.shadow.state import ContextState
    from pycuda_guard.shadow.world import World


#: registers of a multiprocessor, and threads of the largest block
_REGISTERS, _MOST_THREADS = 65_536, 1024
#: kernels of a module of PyCUDA's above which they do not tell what they touch: those of a generator of
#: random numbers are many, and take long to compile
_MOST_TOLD = 8
#: whether kernels end waits that would not end on the CPU device, too, which does so itself
watches_on_cpu = False


class _LeftOutError(GuardError):
    """A module is loaded as it is, for this reason; an empty one is no news."""


class Loaded:
    """An instrumented module that is loaded. ``holders`` counts the objects that keep it so."""

    def __init__(
        self,
        number: int,
        image: Image,
        source: Source,
        context: ContextId,
        state: ContextState,
        load_bare: Callable[[], Any],
    ) -> None:
        self.number = number
        self.image = image
        self.source = source
        self.context = context
        self.state: ContextState | None = state
        self.counters = 0  # device address of the site counters
        self.variables: dict[str, int] = {}  # addresses of global and constant variables
        self.holders = 0
        self.module: ModuleId = 0
        self.library = False
        self.twin: Twin | None = None
        self._load_bare: Callable[[], Any] | None = load_bare
        self._bare: Any = None

    @property
    def is_alive(self) -> bool:
        """Whether the driver still has it."""
        return self.holders > 0

    def drop(self) -> None:
        """Let go of the program's own module."""
        if self.twin is not None and self.twin.loaded is not None:
            self.twin.loaded.holders = 0  # its counters are somebody else's memory from now on
        self._bare = self._load_bare = self.twin = None

    def bare_module(self) -> Any:
        """Return the module as the program gave it, loaded when first asked for."""
        if self._bare is None and self._load_bare is not None:
            self._bare = self._load_bare()
        return self._bare


class Twin:
    """The module of the variants that note what they touch, loaded when the first of them is launched."""

    def __init__(self, make: Callable[[], Image], load: Callable[[bytes, int], Any]) -> None:
        self._how: tuple[Callable[[], Image], Callable[[bytes, int], Any]] | None = make, load
        self.module: Any = None
        self.loaded: Loaded | None = None

    def open(self) -> Image | None:
        """Load the module; None where that was tried before. Raises what the driver raises."""
        how, self._how = self._how, None
        if how is None:
            return None
        image = how[0]()
        self.module = how[1](image.text, 0)
        return image


class Variant:
    """A function of an instrumented module, as the program holds it."""

    __slots__ = (
        "_ask_room", "_room", "bare", "checked", "is_wanted", "loaded", "memos", "module",
        "most_shared", "name", "own_shared", "parameters", "plan", "proven", "proven_threads", "proving",
        "races", "settings", "traced", "traced_in", "traced_threads", "tracing",
    )  # fmt: skip

    def __init__(
        self, loaded: Loaded, name: str, plan: KernelPlan, is_wanted: bool, ask_room: Callable[[Any], int]
    ) -> None:
        self._ask_room = ask_room
        self._room = -1
        self.loaded = loaded
        self.name = name
        self.plan = plan
        self.is_wanted = is_wanted
        self.checked: Any = None  # see Loader.checked_function
        self.module: Any = None  # to get it from
        self.races: Any = None
        # bytes of dynamic shared memory: what the program may ask for (-1: not known yet), and what launches
        # of ``races`` may
        self.own_shared, self.most_shared = -1, 0
        self.bare: Any = None
        self.traced: Any = None
        self.traced_in = loaded  # the module that it is in
        self.traced_threads = 0  # that its blocks can have
        self.tracing = (
            None if loaded.library and len(loaded.image.plans) > _MOST_TOLD else plan.kernel.tracing
        )
        self.proven: Any = None
        self.proven_threads = 0  # that its blocks can have
        proof = plan.kernel.proof
        self.proving = Proving(proof) if proof is not None else None
        self.parameters = bytearray()  # set for launches of the form before CUDA 4
        self.memos = Memos(plan)
        self.settings: list[tuple[str, tuple[Any, ...]]] = []  # what the program has set, for later variants

    def shared_room(self, checked: Any) -> int:
        """Return how much dynamic shared memory the checked variant can have, in bytes."""
        if self._room < 0:
            self._room = self._ask_room(checked)
        return self._room

    def note_setting(self, name: str, arguments: tuple[Any, ...]) -> None:
        """Remember what the program has set for the function."""
        self.settings.append((name, arguments))
        self._room = -1


class Loader:
    """Knows the instrumented modules and their functions, by ``id()`` of PyCUDA's objects."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._numbers = itertools.count(1)
        self._modules: dict[int, Loaded] = {}
        self.variants: dict[int, Variant] = {}
        self._watched: dict[int, weakref.ref[Any]] = {}

    def load(
        self,
        plain: Callable[[], Any],
        instead: Callable[[bytes, int], Any],
        source: Source,
        context: ContextId,
        *,
        bare_first: bool,
    ) -> tuple[Any, dict[str, str]]:
        """Load an instrumented module, or the program's own where that can't be.

        ``plain()`` is the program's own call, ``instead(text, registers)`` loads PTX under a limit of
        registers a thread (0: none). Returns the module and what was left out: reasons by kernel, under the
        empty name for all. Raises what ``plain`` raises alone.
        """
        bare = plain() if bare_first else None
        try:
            module, loaded = self._load(plain, bare, instead, source, context)
        except Exception as error:
            left_out = _reason(error)
        else:
            self._modules[id(module)] = loaded
            self._hold(module, loaded, self._modules)
            return module, loaded.image.left_out
        # not in the handler: an exception of the program's own call must not show ours behind it
        return (bare if bare_first else plain()), left_out

    @property
    def is_in_use(self) -> bool:
        """Whether the program has instrumented modules or functions."""
        return bool(self._modules or self.variants)

    def name_module(self, module: Any, number: ModuleId, library: bool) -> None:
        """Note the number that events give a module."""
        loaded = self._modules.get(id(module))
        if loaded is not None:
            loaded.module, loaded.library = number, library

    def variables_of(self, module: Any) -> tuple[ModuleVariable, ...]:
        """Return the variables of an instrumented module whose addresses the driver tells."""
        loaded, find = self._modules.get(id(module)), self._world.allocations.at
        known = [] if loaded is None else [(name, find(at)) for name, at in loaded.variables.items()]
        return tuple([ModuleVariable(name, each.address, each.size) for name, each in known if each])

    def found(self, module: Any, name: str, function: Any) -> None:
        """Note a function that the program got from a module."""
        loaded = self._modules.get(id(module))
        self.variants.pop(id(function), None)
        if loaded is None or (plan := loaded.image.plans.get(name)) is None:
            return
        variant = Variant(loaded, name, plan, self._world.options.wants(name), self.ask_room)
        variant.module = module
        self.variants[id(function)] = variant
        self._hold(function, loaded, self.variants)

    # set by the hooks: PyCUDA's own functions
    get_function: Callable[[Any, str], Any]
    get_global: Callable[[Any, str], tuple[int, int]]
    widen: Callable[[Any], int]
    set_up: Callable[[Any, str, tuple[Any, ...]], None]
    set_checked: Callable[[Variant, Any, str, tuple[Any, ...]], None]
    ask_room: Callable[[Any], int]
    ask_threads: Callable[[Any], int]
    ask_resources: Callable[[Any], tuple[int, int]]
    ask_device: Callable[[], DeviceRoom]

    def checked_function(self, variant: Variant) -> Any:
        """Return the variant that checks what is read, got when it is first asked for.

        The CPU device compiles a kernel then, and most programs never need it.
        """
        if variant.checked is None:
            variant.checked = self.get_function(variant.module, variant.plan.kernel.checked)
            for name, arguments in variant.settings:
                self.set_checked(variant, variant.checked, name, arguments)
        return variant.checked

    def traced_function(self, variant: Variant) -> Any:
        """Return the variant that notes what it touches, got when it is first asked for; None without one."""
        if variant.traced is None:
            tracing = variant.tracing
            if tracing is None or not variant.loaded.variables.keys() >= {*tracing.variables}:
                return None  # the driver does not tell where a variable is
            twin = self._twin(variant.loaded)
            if twin is None or twin.loaded is None:
                return None
            variant.traced_in = twin.loaded
            variant.traced = self.get_function(twin.module, variant.name + TRACED_SUFFIX)
            variant.traced_threads = self.ask_threads(variant.traced)
            for name, arguments in variant.settings:
                self.set_checked(variant, variant.traced, name, arguments)
        return variant.traced

    def _twin(self, loaded: Loaded) -> Twin | None:
        """Return the module of the variants that note what they touch; None where there is none."""
        twin = loaded.twin
        if twin is None or loaded.state is None:
            return None
        try:
            image = twin.open()
            if image is not None:
                number = next(self._numbers)
                own = Loaded(number, image, loaded.source, loaded.context, loaded.state, _nothing)
                own.module, own.library, own.holders = loaded.module, loaded.library, 1
                self._learn(own, twin.module)
                twin.loaded = own
        except Exception as error:
            self._world.guard_error("kernels that tell what they touch", error)
        return twin

    def races_function(self, variant: Variant) -> Any:
        """Return the variant that looks for races, got when it is first asked for; None if there is none."""
        races = variant.plan.kernel.races
        if variant.races is None and races is not None:
            variant.races = self.get_function(variant.module, races.name)
            if variant.own_shared < 0:
                variant.own_shared = self.ask_room(variant.races)
            variant.most_shared = self.widen(variant.races)
        return variant.races

    def proven_function(self, variant: Variant) -> Any:
        """Return the variant without checks of addresses, got when it is first asked for."""
        if variant.proven is None:
            variant.proven = self.get_function(variant.module, variant.name + PROVEN_SUFFIX)
            variant.proven_threads = self.ask_threads(variant.proven)
            for name, arguments in variant.settings:
                self.set_up(variant.proven, name, arguments)
        return variant.proven

    def bare_function(self, variant: Variant) -> Any:
        """Return the function as the program gave it, to ask for its attributes; never launched."""
        if variant.bare is None:
            variant.bare = self.get_function(variant.loaded.bare_module(), variant.name)
            for name, arguments in variant.settings:
                self.set_up(variant.bare, name, arguments)
        return variant.bare

    # -- inside ---------------------------------------------------------------------------------

    def _load(
        self,
        plain: Callable[[], Any],
        bare: Any,
        instead: Callable[[bytes, int], Any],
        source: Source,
        context: ContextId,
    ) -> tuple[Any, Loaded]:
        """Load an instrumented module; raises _LeftOutError, and what goes wrong, where that can't be."""
        options = self._world.options
        watchdog = options.races and (watches_on_cpu or not options.on_cpu)
        image = source.image(races=options.races, watchdog=watchdog)
        if not image.plans:
            raise _LeftOutError(next(iter(image.left_out.values()), "it has no kernels"))
        if not any(map(self._world.options.wants, image.plans)):
            raise _LeftOutError("")
        state = self._world.open_state(context)
        module = instead(image.text, 0)
        loaded = Loaded(next(self._numbers), image, source, context, state, plain)
        loaded._bare = bare
        if not self._world.options.on_cpu and (threads := self._missing_threads(loaded, module)):
            module = instead(image.text, _REGISTERS // threads // 8 * 8)
            if self._missing_threads(loaded, module):
                raise _LeftOutError("an instrumented kernel needs too many registers for its blocks")
        self._learn(loaded, module)
        if image.has_twin:
            loaded.twin = Twin(source.twin(), instead)
        return module, loaded

    def _missing_threads(self, loaded: Loaded, module: Any) -> int:
        """Return the threads that the program's blocks can have and instrumented ones can't; 0 if none."""
        missing = 0
        for name in loaded.image.plans:
            allowed = self.ask_threads(self.get_function(module, name))
            if allowed < _MOST_THREADS:
                bare = self.ask_threads(self.get_function(loaded.bare_module(), name))
                missing = max(missing, bare if allowed < bare else 0)
        return missing

    def _learn(self, loaded: Loaded, module: Any) -> None:
        """Find the module's variables: kernels may reach them by pointers."""
        world = self._world
        image = loaded.image
        if image.sites:
            loaded.counters, _ = self.get_global(module, abi.SITE_COUNTERS)
        world.uses_heap = world.uses_heap or image.uses_heap
        for name in image.variables:
            try:
                address, size = self.get_global(module, name)
            except Exception:
                world.uses_heap = True  # something that pointers can lead to and no address is known of
                continue
            if size:
                loaded.variables[name] = address
                for replaced in world.allocations.add(
                    Allocation(address, size, MemoryKind.GLOBAL, loaded.context)
                ):
                    replaced.give_up()

    def _hold(self, thing: Any, loaded: Loaded, table: dict[int, Any]) -> None:
        """Follow the life of an object that keeps a module loaded."""
        key = id(thing)
        loaded.holders += 1

        def gone(reference: weakref.ref[Any]) -> None:
            if self._watched.get(key) is reference:
                del self._watched[key]
                table.pop(key, None)
            loaded.holders -= 1
            if not loaded.holders:
                self._unloaded(loaded)

        self._watched[key] = weakref.ref(thing, gone)

    def _unloaded(self, loaded: Loaded) -> None:
        loaded.drop()  # PyCUDA's objects keep their context alive
        for address in loaded.variables.values():
            self._world.unloaded.append(address)


def _nothing() -> None:
    return None


def _reason(error: Exception) -> dict[str, str]:
    text = str(error).splitlines()[0] if str(error) else ""
    if isinstance(error, _LeftOutError):
        return {"": text} if text else {}
    return {"": f"{type(error).__name__}: {text}"}
