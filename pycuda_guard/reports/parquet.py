"""The timeline as a Parquet file, through pyarrow (the extra ``parquet``)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pycuda_guard.errors import GuardError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pycuda_guard.reports.tracks import Row

#: rows that are written at a time
_BATCH = 16_384


def check_available() -> None:
    """Raise :class:`GuardError` where pyarrow can't be imported."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError as error:
        raise GuardError("Parquet files need pyarrow", "pip install 'pycuda-guard[parquet]'") from error


class TableWriter:
    """Writes rows to a Parquet file, a batch at a time, as a context manager.

    Raises OSError where the file can't be written. A file that is not finished is no Parquet file.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow as arrow
        import pyarrow.parquet

        self._arrow = arrow
        self._schema = arrow.schema(
            [
                ("process", arrow.int64()),
                ("event", arrow.int64()),
                ("time", arrow.timestamp("ns", tz="UTC")),
                ("thread", arrow.int64()),
                ("context", arrow.int64()),
                ("stream", arrow.string()),
                ("kind", arrow.string()),
                ("what", arrow.string()),
                ("size", arrow.string()),
                ("nbytes", arrow.int64()),
                ("buffers", arrow.list_(arrow.string())),
                ("file", arrow.string()),
                ("line", arrow.int64()),
                ("function", arrow.string()),
                ("after", arrow.list_(arrow.int64())),
            ]
        )
        self._writer = pyarrow.parquet.ParquetWriter(path, self._schema, compression="zstd")
        self.count = 0

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, process: int, rows: Iterable[Row]) -> None:
        """Write the rows of a process."""
        batch: list[dict[str, Any]] = []
        for row in rows:
            batch.append(_record(process, row))
            if len(batch) == _BATCH:
                self._flush(batch)
        self._flush(batch)

    def _flush(self, batch: list[dict[str, Any]]) -> None:
        self._writer.write_batch(self._arrow.RecordBatch.from_pylist(batch, schema=self._schema))
        self.count += len(batch)
        batch.clear()


def _record(process: int, row: Row) -> dict[str, Any]:
    site = row.site
    return {
        "process": _fitting(process),
        "event": _fitting(row.number),
        "time": _fitting(row.time) or None,
        "thread": row.thread or None,
        "context": row.context or None,
        "stream": row.stream.name if row.stream is not None else None,
        "kind": row.kind.value,
        "what": row.what,
        "size": row.size,
        "nbytes": _fitting(row.nbytes),
        "buffers": list(row.buffers),
        "file": site.file if site is not None else None,
        "line": _fitting(site.line) if site is not None else None,
        "function": site.function if site is not None else None,
        "after": [_fitting(arrow.number) for arrow in row.after],
    }


def _fitting(number: int) -> int:
    """Return the nearest number of 64 bits: a damaged recording can say anything."""
    return max(-(2**63), min(number, 2**63 - 1))
