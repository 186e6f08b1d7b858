"""Instrumented modules: text for the driver, and what the host has to know of it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from pycuda_guard.diskcache import Cache, directory, fingerprint
from pycuda_guard.garbage import uncollected
from pycuda_guard.kernels.instrument.abi import CHECKED_SUFFIX
from pycuda_guard.kernels.instrument.bounds import Bound, Reach
from pycuda_guard.kernels.instrument.footprints import TRACED_SUFFIX, Map, Tracing
from pycuda_guard.kernels.instrument.model import InstrumentedKernel, Root, SharedShadow, Site
from pycuda_guard.kernels.instrument.proofs.model import PROVEN_SUFFIX, Proof
from pycuda_guard.kernels.instrument.races.model import RACES_SUFFIX, Exclusion, RaceVariant
from pycuda_guard.kernels.ptx import parse, print_module
from pycuda_guard.kernels.ptx.ir import Function, Scope, SourceMark, Space

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycuda_guard.kernels.ptx.ir import Module, SourceLine, Statement

#: what decides how a module is instrumented, relative to the package
_SOURCES = ("kernels/instrument", "kernels/analysis", "kernels/ptx", "shadow/images.py")

Place = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """How to launch an instrumented kernel.

    ``bare_bytes`` is the size of the bare kernel's parameters; ``positions`` is where in them each
    root stands.
    """

    kernel: InstrumentedKernel
    bare_bytes: int
    positions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class SiteInfo:
    """A place that can report: ``site``, and the file and line of the source that was compiled.

    Of code inlined from a function of the same file, ``line`` is that function's and ``caller`` the
    kernel's line that it was inlined into; else ``caller`` is 0.
    """

    site: Site
    file: str
    line: int
    caller: int = 0


@dataclass(frozen=True, slots=True)
class Image:
    """An instrumented module. ``variables`` are its global and constant variables, by name."""

    text: bytes
    plans: dict[str, KernelPlan]
    sites: tuple[SiteInfo, ...]
    variables: tuple[str, ...]
    left_out: dict[str, str] = field(default_factory=dict)

    def plan_of(self, function: str) -> KernelPlan | None:
        """Return the plan of a kernel, by its own name or that of one of its variants."""
        for suffix in (CHECKED_SUFFIX, RACES_SUFFIX, PROVEN_SUFFIX, TRACED_SUFFIX):
            function = function.removesuffix(suffix)
        return self.plans.get(function)

    @property
    def has_twin(self) -> bool:
        """Whether there are variants that note what they touch, in a module of their own."""
        return any(plan.kernel.tracing for plan in self.plans.values())

    @property
    def uses_heap(self) -> bool:
        """Whether a kernel allocates memory."""
        return any(plan.kernel.uses_heap for plan in self.plans.values())


def make_image(ptx: str, *, races: bool, watchdog: bool, traced: bool = False) -> Image:
    """Instrument a module, or take it from the cache. Raises whatever parsing or instrumenting raises.

    With ``traced`` it is the module of the variants that note what they touch.
    """
    kept = _cache(directory())
    key = kept.key("instrumented", _fingerprint(), f"races {races} watchdog {watchdog} traced {traced}", ptx)
    entry = kept.get(key)
    if entry is not None:
        return _unpack(*entry)
    with uncollected():
        image = _make(ptx, races=races, watchdog=watchdog, traced=traced)
    kept.put(key, _pack(image), image.text)
    return image


@cache
def _cache(folder: Path) -> Cache:
    return Cache(folder)


@cache
def _fingerprint() -> str:
    return fingerprint(_SOURCES)


def _pack(image: Image) -> dict[str, Any]:
    """Return all of an image but its text as data for JSON."""
    return {
        "plans": {name: msgspec.to_builtins(asdict(plan)) for name, plan in image.plans.items()},
        "sites": [asdict(site) for site in image.sites],
        "variables": image.variables,
        "left_out": image.left_out,
    }


def _unpack(data: dict[str, Any], text: bytes) -> Image:
    """Return the image that :func:`_pack` made data of."""
    plans = {}
    for name, plan in data["plans"].items():
        kernel = dict(plan["kernel"])
        if kernel.get("races") is not None:
            kernel["races"] = _unpack_races(kernel["races"])
        kernel["proof"] = msgspec.convert(kernel["proof"], Proof | None)
        kernel["roots"] = tuple(Root(**root) for root in kernel["roots"])
        kernel["bounds"] = tuple(_unpack_bound(bound) for bound in kernel["bounds"])
        if kernel["shadow"] is not None:
            kernel["shadow"] = SharedShadow(**kernel["shadow"])
        kernel["tracing"] = _unpack_tracing(kernel["tracing"])
        plans[name] = KernelPlan(InstrumentedKernel(**kernel), plan["bare_bytes"], tuple(plan["positions"]))
    sites = []
    for info in data["sites"]:
        # the line of the kernel has been found; the line that it came from is not needed any more
        sites.append(SiteInfo(**{**info, "site": Site(**{**info["site"], "source": None})}))
    return Image(text, plans, tuple(sites), tuple(data["variables"]), data["left_out"])


def _unpack_bound(data: dict[str, Any]) -> Bound:
    return Bound(tuple(Reach(**reach) for reach in data["reaches"]), data["relative"])


def _unpack_tracing(data: dict[str, Any] | None) -> Tracing | None:
    if data is None:
        return None
    maps = tuple(Map(**each) for each in data["maps"])
    return Tracing(**{**data, "maps": maps, "variables": tuple(data["variables"])})


def _unpack_races(data: dict[str, Any]) -> RaceVariant:
    shadow = data["shadow"]
    restored = {
        "sites": tuple(data["sites"]),
        "around": tuple((first, second, also) for first, second, also in data["around"]),
        "shadow": None if shadow is None else SharedShadow(**shadow),
        "exclusion": msgspec.convert(data["exclusion"], Exclusion | None),
        "tracing": _unpack_tracing(data["tracing"]),
    }
    return RaceVariant(**{**data, **restored})


def _make(ptx: str, *, races: bool, watchdog: bool, traced: bool) -> Image:
    """Instrument a module."""
    from pycuda_guard.kernels.instrument.pipeline import instrument

    module = parse(ptx)
    layouts = {
        item.name: _layout(item)
        for item in module.items
        if isinstance(item, Function) and item.entry and item.body is not None
    }
    inlined = _inlined(module)
    done = instrument(module, races=races, watchdog=watchdog, traced=traced)
    left = done.module.variables
    variables = tuple(
        name
        for name, variable in module.variables.items()
        if name in left and variable.space in (Space.GLOBAL, Space.CONST)
    )
    plans = {}
    for name, kernel in done.kernels.items():
        offsets, size = layouts[name]
        positions = tuple(offsets[root.parameter] + root.offset for root in kernel.roots)
        plans[name] = KernelPlan(kernel, size, positions)
    sites = tuple(_site_info(site, module.files, inlined) for site in done.sites)
    text = print_module(done.module).encode()
    return Image(text, plans, sites, variables, dict(done.left_out))


def _layout(kernel: Function) -> tuple[tuple[int, ...], int]:
    """Return the offset of each parameter, and the size of all."""
    offsets = []
    end = 0
    for parameter in kernel.parameters:
        alignment = parameter.alignment
        start = (end + alignment - 1) // alignment * alignment
        offsets.append(start)
        end = start + parameter.size
    return tuple(offsets), end


def _inlined(module: Module) -> dict[int, tuple[Place, ...]]:
    """Return the place of each mark and those that its code was inlined into, by the mark's identity.

    A mark names the place that its code was inlined into, which a mark before it may have told of in turn.
    """
    found: dict[int, tuple[Place, ...]] = {}
    for item in module.items:
        if isinstance(item, Function) and item.body is not None:
            latest: dict[Place, tuple[Place, ...]] = {}
            before: tuple[Place, ...] = ()
            for source in _marks(item.body):
                own = source.file, source.line, source.column
                outer = source.inlined_at
                around = () if outer is None else latest.get(outer, (outer,))
                if source.line or not before:  # what was merged of several lines has none of its own
                    before = latest[own] = (own, *around)
                found[id(source)] = before
    return found


def _marks(body: Iterable[Statement]) -> Iterable[SourceLine]:
    for statement in body:
        if isinstance(statement, SourceMark):
            yield statement.source
        elif isinstance(statement, Scope):
            yield from _marks(statement.body)


def _site_info(site: Site, files: dict[int, str], inlined: dict[int, tuple[Place, ...]]) -> SiteInfo:
    """Find the line of a site's code: of what was inlined from other files, that of the call."""
    source = site.source
    if source is None:
        return SiteInfo(site, "", 0)
    places = inlined.get(id(source), ((source.file, source.line, 0),))
    own, caller, _ = places[-1]
    line = next(line for file, line, _ in places if file == own)
    return SiteInfo(site, files.get(own, ""), line, 0 if line == caller else caller)
