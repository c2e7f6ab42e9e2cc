"""A model that answers when it is told to, so that tests need not guess how long others take to come."""

from __future__ import annotations

import threading

from tiers.models.base import Model, ModelConfig, Output

KIND = "tests.tiers.gated:Gated"
PATIENCE_S = 20


class Gated(Model):
    """Begins an inference and waits for ``go``; one such model at a time, for the events are the class's."""

    began = threading.Event()
    go = threading.Event()

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.began.clear()
        self.go.clear()

    def infer(self, text: str) -> Output:
        self.began.set()
        if not self.go.wait(PATIENCE_S):
            raise TimeoutError("nobody opened the gate")
        return Output("positive", confidence=0.5)
