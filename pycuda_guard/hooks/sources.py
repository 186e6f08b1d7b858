"""What ``pycuda.compiler.compile`` was given: the source of an image, and its PTX.

Where the image is machine code, its source is compiled once more to PTX, by PyCUDA's own compiler with the
same options (and its cache) and with line numbers.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import threading
import warnings
from typing import TYPE_CHECKING, Any

from pycuda_guard.callsite import OWN_PACKAGES
from pycuda_guard.hooks.tap import Tap, Wrapped, like

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Images whose source is remembered between compile() and module_from_buffer().
MAX_SOURCES = 256

#: Frames of the program that its source is looked for in.
_MAX_FRAMES = 32
_LINE_INFO = "-lineinfo"
_LINE_OPTIONS = frozenset({_LINE_INFO, "--generate-line-info", "-G", "--device-debug"})
_MACHINE_CODE = ("cubin", "fatbin")


class Compiled:
    """What is known of an image that ``compile()`` returned."""

    def __init__(
        self,
        compile: Wrapped,
        source: str,
        keywords: dict[str, Any],
        frames: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self._compile = compile
        self._keywords = keywords
        self._thread: threading.Thread | None = None
        self._result: str | BaseException | None = None
        self.source = source
        self.frames = frames

    @property
    def text(self) -> str:
        """The source as the compiler sees it."""
        return self.source if self._keywords.get("no_extern_c") else f'extern "C" {{\n{self.source}\n}}\n'

    @property
    def options(self) -> tuple[str, ...]:
        """The compiler's options, without those that PyCUDA takes from the environment."""
        return tuple(self._keywords.get("options") or ())

    @property
    def is_machine_code(self) -> bool:
        """Whether machine code was asked for."""
        return self._keywords.get("target", "cubin") in _MACHINE_CODE

    def start(self) -> None:
        """Begin to compile to PTX on a thread of its own."""
        keywords = self._ptx_keywords()  # asks for the device of this thread's context
        self._thread = threading.Thread(target=self._run, args=(keywords,), name="pycuda_guard compile")
        self._thread.daemon = True
        self._thread.start()

    def ptx(self) -> str:
        """Compile the source to PTX; raises whatever PyCUDA's compiler raises."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._result is None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the compiler has said all this about the image
                self._run(self._ptx_keywords())
        result = self._result
        if isinstance(result, BaseException):
            raise result
        assert result is not None
        return result

    def forget(self) -> None:
        """Drop the PTX; it can be asked for again."""
        self._thread = None
        self._result = None

    def _run(self, keywords: dict[str, Any]) -> None:
        try:
            self._result = text_of(self._compile(self.source, **keywords))
        except Exception as error:
            self._result = error

    def _ptx_keywords(self) -> dict[str, Any]:
        """Return the arguments that make PTX: for the same device, with line numbers."""
        from pycuda.compiler import DEFAULT_NVCC_FLAGS

        # keep would print, and a real architecture in code is refused for PTX
        keywords = {**self._keywords, "target": "ptx", "keep": False, "code": None}
        options = keywords.get("options")
        options = list(DEFAULT_NVCC_FLAGS if options is None else options)
        if _LINE_OPTIONS.isdisjoint(options) and not _is_debugging():
            options.append(_LINE_INFO)
        keywords["options"] = options
        if keywords.get("arch") is None:
            keywords["arch"] = _architecture()
        return keywords


def text_of(image: bytes) -> str:
    """Return the text of a PTX image, without the NUL that may end it."""
    return image.rstrip(b"\0").decode("utf-8", "replace")


def is_ptx(image: bytes) -> bool:
    """Tell PTX, which is text, from a cubin (ELF) or a fatbin."""
    return not image.startswith((b"\x7fELF", b"\x50\xed\x55\xba")) and b".version" in image[:4096]


def digest(image: bytes) -> bytes:
    """Return what an image is remembered by."""
    return hashlib.blake2b(image, digest_size=16).digest()


def compile_source(tap: Tap, wrapped: Wrapped) -> Wrapped:
    """Hook ``pycuda.compiler.compile``: remember which source an image was made from."""
    signature = inspect.signature(wrapped)

    def hook(*args: Any, **kwargs: Any) -> Any:
        if not tap.active:
            return wrapped(*args, **kwargs)
        compiled = fault = None
        try:
            bound = dict(signature.bind(*args, **kwargs).arguments)
            compiled = Compiled(wrapped, str(bound.pop("source")), bound, tuple(_frames()))
            if tap.kernels is not None and not (tap.kernels.on_cpu and compiled.is_machine_code):
                compiled.start()  # on the CPU device, what is called machine code is PTX with line numbers
        except Exception as error:
            fault = error
        image = wrapped(*args, **kwargs)
        try:
            if fault is not None:
                raise fault
            assert compiled is not None
            tap.sources[digest(image)] = compiled
            if len(tap.sources) > MAX_SOURCES:
                tap.sources.popitem(last=False)
        except Exception as error:
            tap.guard_error("compile", error)
        return image

    return like(wrapped, hook)


def _frames() -> Iterator[tuple[str, int]]:
    """Yield file and line of the program's frames, innermost first."""
    frame = sys._getframe(2)
    count = 0
    while frame is not None and count < _MAX_FRAMES:
        name = frame.f_globals.get("__name__")
        if not isinstance(name, str) or name.partition(".")[0] not in OWN_PACKAGES:
            yield frame.f_code.co_filename, frame.f_lineno
            count += 1
        frame = frame.f_back  # type: ignore[assignment]


def _is_debugging() -> bool:
    import pycuda.driver

    return bool(pycuda.driver.CUDA_DEBUGGING)


def _architecture() -> str | None:
    """Return the architecture that PyCUDA compiles for: that of the current context's device."""
    from pycuda.driver import Context, Error

    try:
        major, minor = Context.get_device().compute_capability()
    except Error:
        return None
    return f"sm_{major}{minor}"
