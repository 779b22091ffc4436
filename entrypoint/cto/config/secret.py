"""Values that nobody may see: they have a type of their own, which shows where they are from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field, GetCoreSchemaHandler, ValidationError
from pydantic_core import core_schema

from cto.config.base import Section
from cto.config.text import KubeName, SecretKey, refused

_WANTED = "must be text, ${VARIABLE}, or a reference {secret: NAME, key: KEY}"


class SecretReference(Section):
    """A key of a Secret that exists."""

    secret: KubeName = Field(description="Name of the Secret.", examples=["my-llm-keys"])
    key: SecretKey = Field(description="Key of the Secret.", examples=["anthropic"])
    namespace: KubeName = Field(
        default="cto", description="Namespace of the Secret.", examples=["vault"]
    )


class Secret:
    """A secret value with its source, or a reference to one in the cluster.

    repr, str, dumps and error messages show the source only.

    Attributes:
        known: Whether the value is here. It is not for a reference, nor for a secret of an earlier
            run, of which the cluster's state has the source.
    """

    __slots__ = ("_value", "known", "reference", "source")

    def __init__(self, value: str, source: str, reference: SecretReference | None = None) -> None:
        self._value = value
        self.source = source
        self.reference = reference
        self.known = reference is None

    @classmethod
    def remembered(cls, source: str) -> Secret:
        """Return a secret of which only the source is known."""
        secret = cls("", source)
        secret.known = False
        return secret

    def reveal(self) -> str:
        """Return the value itself; empty if it is not known."""
        return self._value

    def marker(self) -> dict[str, str]:
        """Return what may be shown and kept in its place."""
        if self.reference is not None:
            return self.reference.model_dump(exclude_defaults=True)
        return {"from": self.source}

    def __repr__(self) -> str:
        return f"Secret({self.marker()})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._value, self.reference) == (other._value, other.reference)

    def __hash__(self) -> int:
        return hash((self._value, self.reference))

    @classmethod
    def __get_pydantic_core_schema__(
        cls, source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _parse,
            serialization=core_schema.plain_serializer_function_ser_schema(cls.marker),
        )

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: Any, handler: Any) -> dict[str, Any]:
        return {
            "anyOf": [
                {"type": "string", "minLength": 1},
                SecretReference.model_json_schema(),
            ]
        }


def _parse(data: Any) -> Secret:
    """Accept what a user may write for a secret."""
    if isinstance(data, Secret):
        if data.known and not data.reveal().strip():
            reason = "is empty"
            raise refused(reason)
        return data
    if isinstance(data, str):
        return _parse(Secret(data, "literal"))
    if isinstance(data, Mapping):
        return Secret("", "reference", _reference(data))
    raise refused(_WANTED)


def _reference(data: Mapping[str, Any]) -> SecretReference:
    try:
        return SecretReference.model_validate(data)
    except ValidationError as error:
        # The texts of a user's input stay out: they may be the secret, in the wrong place.
        fields = sorted({str(item["loc"][0]) for item in error.errors(include_input=False)})
    known = ", ".join(name for name in fields if name in SecretReference.model_fields)
    reason = f"{_WANTED} ({known} does not fit)" if known else _WANTED
    raise refused(reason)
