"""What a tier costs: the key ``price`` of a tier."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, model_validator

from testbed.errors import TestbedError
from testbed.scenario.reading.mistakes import mistake
from testbed.scenario.reading.prices import Of, parse_price
from testbed.scenario.sections.section import Section


def _price_of(of: Of) -> BeforeValidator:
    def validate(value: object) -> object:
        try:
            parse_price(value, of)
        except TestbedError as error:
            raise mistake(str(error)) from None
        return value

    return BeforeValidator(validate)


TokenPrice = Annotated[str, _price_of("token"), AfterValidator(str.strip)]
CpuPrice = Annotated[str, _price_of("CPU second"), AfterValidator(str.strip)]


class Price(Section):
    """The prices of what a tier's nodes use, as a person writes them; what is not named costs nothing."""

    prompt: TokenPrice | None = None
    generated: TokenPrice | None = None
    cpu: CpuPrice | None = None

    @property
    def prompt_token(self) -> float:
        """What a token that the model reads costs."""
        return parse_price(self.prompt, "token").amount if self.prompt else 0.0

    @property
    def generated_token(self) -> float:
        """What a token that the model generates costs."""
        return parse_price(self.generated, "token").amount if self.generated else 0.0

    @property
    def cpu_second(self) -> float:
        """What a second of a CPU costs."""
        return parse_price(self.cpu, "CPU second").amount if self.cpu else 0.0

    @property
    def units(self) -> set[str]:
        """The units that its prices have: one, in a scenario that was checked."""
        tokens = [parse_price(price, "token").unit for price in (self.prompt, self.generated) if price]
        return {*tokens, *([parse_price(self.cpu, "CPU second").unit] if self.cpu else [])}

    @model_validator(mode="after")
    def _something(self) -> Price:
        if not self.units:
            raise mistake("has no price; give prompt, generated or cpu, such as cpu: 0.04 $/h")
        return self
