"""Checks an answer matrix, which another machine may have made, against what is here."""

from __future__ import annotations

from testbed.errors import TestbedError
from testbed.host.embedded.revision import embedded_revision
from testbed.scenario.matrix import Matrix, prompt_key
from testbed.scenario.sections.models import EMBEDDED
from testbed.scenario.workload.datasets import DATASETS, load


def held_against_data(matrix: Matrix) -> str:
    """Say whether the matrix's prompts and references are those of the data set as it is here.

    Raises:
        TestbedError: they are not.
    """
    dataset = matrix.header.dataset
    if dataset.name not in DATASETS:
        return f"prompts not compared: no data set {dataset.name} is known here"
    try:
        examples = load(dataset.name, dataset.split)
    except TestbedError as error:
        return f"prompts not compared: {error}"
    here = {example.row: example for example in examples}
    unlike = [
        row
        for row, key, reference in zip(
            matrix.rows.tolist(), matrix.prompt_sha256, matrix.references, strict=True
        )
        if row not in here or prompt_key(here[row].text) != key or (here[row].reference or None) != reference
    ]
    if unlike:
        raise TestbedError(
            f"{len(unlike)} of its {len(matrix)} rows are not {dataset.name}'s as it is here (such as row "
            f"{unlike[0]}): it was recorded with another cleaning or another version of the data set; record "
            "it again"
        )
    covered = "all" if len(matrix) == len(examples) else f"{len(matrix)} of the {len(examples)}"
    return f"prompts and references are those of {covered} rows of {dataset.name}, {dataset.split}"


def held_against_models(matrix: Matrix) -> list[str]:
    """Say of each embedded model whether it is the one that is here."""
    found = []
    for name, model in matrix.header.models.items():
        rung = model.model.removeprefix("embedded/")
        if model.kind == "embedded" and rung in EMBEDDED:
            same = embedded_revision(rung) == model.revision
            found.append(f"{name}: {model.model} is {'the one' if same else 'not the one that is'} here")
    return found
