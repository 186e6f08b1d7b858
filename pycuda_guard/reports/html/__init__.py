"""The run as one web page: findings beside their source, and the timeline as a picture.

The page is one file that asks nothing of the network: style, script and data are in it. Its content
security policy allows its own script alone, so a text of the program could not run even unescaped.
"""

from __future__ import annotations

import base64
import hashlib
import json
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

from pycuda_guard import toolchain
from pycuda_guard.reports.html import cards, header
from pycuda_guard.reports.html.marks import escaped
from pycuda_guard.reports.html.naming import Names
from pycuda_guard.reports.html.timeline import collect

if TYPE_CHECKING:
    from typing import Any

    from pycuda_guard.reports.run import Run

#: the parts of the page's script, in the order in which they build on each other
SCRIPTS = ("findings.js", "drawing.js", "choosing.js", "memory.js")


def page(run: Run) -> str:
    """Return the page that shows ``run``; without recordings, it has no timeline."""
    names = Names(run)
    timeline = collect(run, names)
    script = '"use strict";\n(() => {\n' + "\n".join(map(_part, SCRIPTS)) + "})();\n"
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return Template(_part("template.html")).substitute(
        title=escaped(f"{header.program(run)} · pycuda-guard"),
        policy=f"default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{digest}'",
        style=_part("page.css"),
        script=script,
        header=header.header(run),
        findings=cards.findings(run, timeline, names),
        unchecked=header.unchecked(run),
        no_timeline="" if timeline.data is None else "hidden",
        has_timeline="hidden" if timeline.data is None else "",
        timeline_note=escaped(timeline.note),
        data=_embedded(timeline.data),
        version=escaped(toolchain.installed_version("pycuda-guard")),
    )


def _part(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")


def _embedded(data: dict[str, Any] | None) -> str:
    """Return JSON that no text in it can end early: it holds no ``<``."""
    text = json.dumps(data, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
