"""What the specification of SARIF 2.1.0 requires of the objects that reports use, as a JSON schema."""

from __future__ import annotations

from typing import Any


def exactly(required: tuple[str, ...], **properties: Any) -> dict[str, Any]:
    """Return the schema of an object that may have these properties and no others."""
    return {
        "type": "object",
        "required": list(required),
        "properties": properties,
        "additionalProperties": False,
    }


def each(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


TEXT = {"type": "string"}
LEVEL = {"enum": ["none", "note", "warning", "error"]}
ORDINAL = {"type": "integer", "minimum": 1}
INDEX = {"type": "integer", "minimum": 0}
MESSAGE = exactly(("text",), text=TEXT, markdown=TEXT)
ARTIFACT = exactly(("uri",), uri={"type": "string", "format": "uri-reference"}, uriBaseId=TEXT)
LOCATION = exactly(
    (),
    id=ORDINAL,
    message=MESSAGE,
    physicalLocation=exactly(
        ("artifactLocation", "region"),
        artifactLocation=ARTIFACT,
        region=exactly(("startLine",), startLine=ORDINAL, snippet=MESSAGE),
    ),
    logicalLocations=each(exactly(("fullyQualifiedName",), fullyQualifiedName=TEXT)),
)
DESCRIPTOR = exactly(
    ("id", "name", "shortDescription", "help", "helpUri", "defaultConfiguration"),
    id=TEXT,
    name=TEXT,
    shortDescription=MESSAGE,
    help=MESSAGE,
    helpUri={"type": "string", "format": "uri"},
    defaultConfiguration=exactly(("level",), level=LEVEL),
)
RESULT = exactly(
    ("ruleId", "level", "message", "occurrenceCount", "partialFingerprints"),
    ruleId=TEXT,
    ruleIndex=INDEX,
    level=LEVEL,
    message=MESSAGE,
    occurrenceCount=ORDINAL,
    partialFingerprints={"type": "object", "additionalProperties": TEXT},
    locations=each(LOCATION),
    relatedLocations=each(LOCATION),
    suppressions=each(
        exactly(
            ("kind",),
            kind={"enum": ["inSource", "external"]},
            status={"enum": ["accepted", "underReview", "rejected"]},
            justification=TEXT,
        )
    ),
)
NOTIFICATION = exactly(
    ("message", "level"),
    message=MESSAGE,
    level=LEVEL,
    descriptor=exactly(("id",), id=TEXT, index=INDEX),
    locations=each(LOCATION),
)
INVOCATION = exactly(
    ("executionSuccessful", "exitCode"),
    executionSuccessful={"type": "boolean"},
    exitCode={"type": "integer"},
    exitCodeDescription=TEXT,
    arguments=each(TEXT),
    workingDirectory=ARTIFACT,
    startTimeUtc={"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"},
    processId={"type": "integer"},
    toolExecutionNotifications=each(NOTIFICATION),
)
DRIVER = exactly(
    ("name", "semanticVersion", "rules"),
    name=TEXT,
    semanticVersion=TEXT,
    informationUri={"type": "string", "format": "uri"},
    rules=each(DESCRIPTOR),
    notifications=each(DESCRIPTOR),
)
RUN = exactly(
    ("tool", "results"),
    tool=exactly(("driver",), driver=DRIVER),
    originalUriBaseIds={"type": "object", "additionalProperties": ARTIFACT},
    invocations=each(INVOCATION),
    results=each(RESULT),
    columnKind={"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
)
#: what the specification requires of the objects that are used here
SUBSET = exactly(
    ("version", "runs"), version={"const": "2.1.0"}, runs=each(RUN), **{"$schema": {"type": "string"}}
)
