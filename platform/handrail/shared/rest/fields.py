"""Serializer fields that take exactly their JSON type: DRF's own take a number for a text, and a text for a number."""

from __future__ import annotations

from typing import Any, NoReturn

from rest_framework import serializers

from handrail.shared.errors import Invalid


class Text(serializers.CharField):
    """A JSON string; at most 4,000 characters unless told otherwise."""

    def __init__(self, **options: Any) -> None:
        """As a CharField."""
        options.setdefault("max_length", 4_000)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> str:
        """Refuse what is not a string."""
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class Number(serializers.IntegerField):
    """A JSON integer of 32 bits; neither a string nor ``true``."""

    def __init__(self, **options: Any) -> None:
        """As an IntegerField."""
        options.setdefault("min_value", 0)
        options.setdefault("max_value", 2**31 - 1)
        super().__init__(**options)

    def to_internal_value(self, data: Any) -> int:
        """Refuse what is not an integer."""
        if not isinstance(data, int) or isinstance(data, bool):
            self.fail("invalid")
        return super().to_internal_value(data)


class Flag(serializers.BooleanField):
    """``true`` or ``false``, nothing that resembles them."""

    def to_internal_value(self, data: Any) -> bool:
        """Refuse what is not a boolean."""
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class Choice(serializers.ChoiceField):
    """One of a few words, as a JSON string."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what is not a string."""
        if not isinstance(data, str):
            self.fail("invalid_choice", input=data)
        return super().to_internal_value(data)

    def fail(self, key: str, **kwargs: Any) -> NoReturn:
        """Say what it may be."""
        if key == "invalid_choice":
            known = ", ".join(str(choice) for choice in self.choices)
            raise serializers.ValidationError(f"This is not one of: {known}.", code=key)
        super().fail(key, **kwargs)


class Id(serializers.UUIDField):
    """A UUID, as a JSON string."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse what is not a string."""
        if not isinstance(data, str):
            self.fail("invalid", value=data)
        return super().to_internal_value(data)


class Body(serializers.Serializer[Any]):
    """What a request may hold: every field is declared, and others are refused, so that a typo does not pass."""

    def to_internal_value(self, data: Any) -> Any:
        """Refuse fields that nothing would read."""
        if isinstance(data, dict):
            unknown = sorted(str(name) for name in data if name not in self.fields)
            if unknown:
                known = ", ".join(self.fields) or "none"
                raise serializers.ValidationError(
                    {unknown[0][:100]: f"There is no such field here. The fields are: {known}."}
                )
        return super().to_internal_value(data)


class Query(serializers.Serializer[Any]):
    """The parameters of a list's address; unknown ones are refused, so that a filter is never silently dropped."""

    def refuse_unknown(self, names: set[str]) -> None:
        """Raise Invalid for a parameter that is neither a filter nor one of paging."""
        unknown = sorted(names - set(self.fields) - {"cursor", "limit"})
        if unknown:
            known = ", ".join([*self.fields, "cursor", "limit"])
            raise Invalid(f"There is no parameter {unknown[0][:100]!r} here. There are: {known}.")


class NoFilters(Query):
    """A list that takes nothing but paging."""
