"""What may stand in a file of rules (`gate.toml`)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Undecided = Literal["pass", "block"]
Number = Annotated[float, Field(allow_inf_nan=False)]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
Share = Annotated[float, Field(ge=0, le=1)]
Word = Annotated[str, Field(min_length=1)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class _Rule(_Strict):
    name: Word | None = Field(None, description="what the outputs call the rule; by default told from what it says")
    why: str = Field("", description="what the rule is there for; the outputs repeat it where the rule blocks")

    @property
    def title(self) -> str:
        return self.name or self._own_title()

    def _own_title(self) -> str:
        raise NotImplementedError


class Passport(_Rule):
    """That both runs were judged alike. differ: what follows where they were not."""

    metrics: list[Word] = Field([], description="by default those of every column that a relative or item rule names")
    differ: Literal["refuse", "report"] = "refuse"

    def _own_title(self) -> str:
        return "passports"


class Coverage(_Rule):
    """A share of the utterances that must be scored. max_drop: how far it may lie below the baseline's."""

    min: Share | None = None
    max_drop: Share | None = None
    column: Word | None = Field(None, description="count utterances with a value in this column")
    tag: Word | None = None

    @model_validator(mode="after")
    def _limited(self) -> Coverage:
        if self.min is None and self.max_drop is None:
            raise ValueError("a coverage rule needs min, max_drop or both, such as min = 0.99")
        return self

    def _own_title(self) -> str:
        return _tagged("coverage" if self.column is None else f"coverage of {self.column}", self.tag)


class _OfColumn(_Rule):
    column: Word = Field(description="a column, or a corpus figure such as wer_corpus")
    tag: Word | None = Field(None, description="only items with this tag, such as 'fixture:unseen'")
    optional: bool = Field(False, description="skip the rule where the column was not measured")


class Absolute(_OfColumn):
    """A floor or a ceiling for a column's mean, whatever the baseline has."""

    min: Number | None = None
    max: Number | None = None
    confidence: Confidence | None = Field(None, description="the bound of the mean must hold, not its point value")
    undecided: Undecided | None = None

    @model_validator(mode="after")
    def _limited(self) -> Absolute:
        if self.min is None and self.max is None:
            raise ValueError("an absolute rule needs min, max or both, such as min = 2.5")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min lies above max; exchange them")
        return self

    def _own_title(self) -> str:
        limits = [f"at least {self.min:g}"] if self.min is not None else []
        limits += [f"at most {self.max:g}"] if self.max is not None else []
        return _tagged(f"{self.column} {' and '.join(limits)}", self.tag)


class Relative(_OfColumn):
    """Non-inferiority to the baseline: the loss is smaller than the margin, at the confidence given."""

    margin: Annotated[Number, Field(ge=0)]
    confidence: Confidence = 0.95
    better: Literal["higher", "lower"] | None = Field(None, description="only for a column without a direction")
    undecided: Undecided | None = None

    def _own_title(self) -> str:
        return _tagged(f"{self.column} within {self.margin:g} of the baseline", self.tag)


class Item(_OfColumn):
    """Items that must never regress, each by itself."""

    items: list[Word] = Field([], description="ids, wildcards allowed; with a tag: of the items that have it")
    margin: Annotated[Number, Field(ge=0)] = 0.0
    better: Literal["higher", "lower"] | None = None

    @model_validator(mode="after")
    def _chosen(self) -> Item:
        if not self.items and self.tag is None:
            raise ValueError("an item rule needs items, a tag or both, such as items = ['in-001']")
        return self

    def _own_title(self) -> str:
        return _tagged(f"{self.column} of {', '.join(self.items) or 'every item'}", self.tag)


class Rules(_Strict):
    """A file of rules. origin: where it was read from."""

    undecided: Undecided = "pass"
    passport: Passport = Field(default_factory=lambda: Passport.model_validate({}))
    coverage: list[Coverage] = []
    absolute: list[Absolute] = []
    relative: list[Relative] = []
    item: list[Item] = []
    origin: str = ""

    def rules(self) -> Iterator[_Rule]:
        """Every rule but the passport's, in the order in which they are reported."""
        yield from (*self.coverage, *self.absolute, *self.relative, *self.item)

    def lenient(self, rule: Absolute | Relative) -> bool:
        """Whether the rule passes where it is undecided."""
        return (rule.undecided or self.undecided) == "pass"


KINDS: dict[str, type[_Rule]] = {
    "passport": Passport,
    "coverage": Coverage,
    "absolute": Absolute,
    "relative": Relative,
    "item": Item,
}


def _tagged(title: str, tag: str | None) -> str:
    return title if tag is None else f"{title} [{tag}]"
