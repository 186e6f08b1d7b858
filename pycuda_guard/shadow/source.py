"""Where a module comes from: its PTX, and the CUDA C that it was compiled from, if known."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING

from pycuda_guard import callsite, texts
from pycuda_guard.kernels.lines import WRAPPER, locate_source
from pycuda_guard.kernels.ptx.linking import link, part_of
from pycuda_guard.shadow.images import make_image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pycuda_guard.kernels.lines import SourcePlace
    from pycuda_guard.shadow.images import Image

#: name that PyCUDA gives to every source that it compiles
_COMPILED_NAME = "kernel.cu"


class Source:
    """The origin of a module.

    ``ptx()`` returns its PTX, or raises. ``text`` is the source as the compiler saw it, ``frames`` are
    files and lines of the program that led to compiling it.
    """

    def __init__(
        self, ptx: Callable[[], str], text: str | None = None, frames: Sequence[tuple[str, int]] = ()
    ) -> None:
        self.ptx = ptx
        self._text = text
        self._frames = tuple(frames)
        self._place: SourcePlace | None = None
        self._is_located = False
        if text is not None and texts.MARK in text:
            # a comment there that silences nothing is to be named at the end, whether it was reached or not
            callsite.note_file(self.line(_COMPILED_NAME, 1 + text.startswith(WRAPPER[0]))[0])

    def image(self, *, races: bool, watchdog: bool) -> Image:
        """Instrument the module. Raises whatever getting its PTX or instrumenting it raises."""
        return make_image(self.ptx(), races=races, watchdog=watchdog)

    def twin(self) -> Callable[[], Image]:
        """Return what instruments the module for the variants that note what they touch, later perhaps."""
        return functools.partial(make_image, self.ptx(), races=False, watchdog=False, traced=True)

    def line(self, file: str, line: int) -> tuple[str, int]:
        """Return file and line of the program for a line of what was compiled.

        Where the text is in none of its files, that is a name for the text as the program gave it
        (:func:`pycuda_guard.texts.name_generated`) and the line there.
        """
        if self._text is None or os.path.basename(file) != _COMPILED_NAME:
            return file, line
        if not self._is_located:
            self._is_located = True
            self._place = locate_source(self._text, self._frames)
        found = None if self._place is None else self._place.line(line)
        if self._place is not None and found is not None:
            return texts.named(self._place.filename), found
        is_wrapped = self._text.startswith(WRAPPER[0])
        if not self._frames:
            return _COMPILED_NAME, line - is_wrapped
        own = self._text.removeprefix(WRAPPER[0]).removesuffix(WRAPPER[1]) if is_wrapped else self._text
        file, at = self._frames[0]
        return texts.name_generated(own, texts.named(file), at), line - is_wrapped


class LinkedSource(Source):
    """The origin of a module that is linked of several ``parts``."""

    def __init__(self, parts: Sequence[Source]) -> None:
        super().__init__(lambda: link([part.ptx() for part in parts]))
        self._parts = parts

    def line(self, file: str, line: int) -> tuple[str, int]:
        """Return file and line of the program for a line of what a part was compiled from."""
        number, own = part_of(file)
        return self._parts[number].line(own, line)
