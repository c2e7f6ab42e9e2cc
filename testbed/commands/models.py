"""Commands about models: record them, prepare, score or train the demonstration ones."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from testbed.console import Reporter, widened
from testbed.errors import TestbedError

if TYPE_CHECKING:
    from testbed.scenario.matrix import Matrix

app = typer.Typer(help="Record models; prepare, score or train the demonstration ones.", no_args_is_help=True)


@app.command("prepare")
def models_prepare() -> None:
    """Assemble the demonstration models, and print their directory; fetch the engines' GGUF. Done once."""
    from testbed.host.embedded.prepare import prepare
    from testbed.host.ggufs import GGUFS, gguf_file

    report = Reporter().say
    directory = prepare(report)  # first: it refuses a host without room before anything is fetched
    for name in GGUFS:
        gguf_file(name, report)
    typer.echo(directory)


@app.command("evaluate")
def models_evaluate(
    ladder: Annotated[str, typer.Argument(help="classification or translation")] = "classification",
    dataset: Annotated[
        str | None,
        typer.Option(help="Data set; its held-out split is used.", show_default="the ladder's own"),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Score only this many texts.")] = None,
) -> None:
    """Score a ladder of demonstration models on texts that none of them was trained on."""
    ladders = {
        "classification": (_evaluate_classification, "rotten_tomatoes"),
        "translation": (_evaluate_translation, "debian_en_de"),
    }
    if ladder not in ladders:
        raise TestbedError(f"no ladder {ladder!r}; there are {', '.join(ladders)}")
    evaluate, own = ladders[ladder]
    dataset = dataset or own
    from testbed.scenario.workload.datasets import DATASETS, load

    if dataset in DATASETS and (kind := DATASETS[dataset].kind) != ladder:
        raise TestbedError(f"--dataset: {dataset} is for {kind}, not {ladder}; leave it out")
    examples = load(dataset, "test")
    count = min(limit or len(examples), len(examples))
    sample = [examples[at * len(examples) // count] for at in range(count)]  # the files are sorted
    evaluate(dataset, [(example.text, example.reference) for example in sample])


def _evaluate_translation(dataset: str, pairs: Sequence[tuple[str, str]]) -> None:
    from testbed.host.embedded.prepare import prepare
    from testbed.host.embedded.translation.ladder import SIZES
    from testbed.host.embedded.translation.translate import translate
    from testbed.report.ladders import rising_sentence, translation_table
    from testbed.results.quality import bleu, chrf

    reporter = Reporter()
    directory = prepare(reporter.say)
    sentences, references = ([pair[side] for pair in pairs] for side in (0, 1))
    scored = []
    for size in SIZES.values():
        with reporter.counting(f"translating by {size.name}", len(sentences)) as progress:
            made = translate(directory / "translation" / size.name, sentences, progress)
        answers = [translation.text for translation in made]
        scored.append((size, bleu(answers, references), chrf(answers, references)))
    widened(Console(), 110).print(translation_table(dataset, len(pairs), scored))
    typer.echo(rising_sentence([(size.name, score) for size, score, _ in scored]))


def _evaluate_classification(dataset: str, texts: Sequence[tuple[str, str]]) -> None:
    from testbed.host.embedded.evaluate import count_right
    from testbed.host.embedded.ladder import RUNGS
    from testbed.host.embedded.prepare import prepare
    from testbed.results.statistics import share_interval

    reporter = Reporter()
    directory = prepare(reporter.say)
    table = Table(title=f"Demonstration models, held-out {dataset}", title_justify="left")
    for column in ("model", "base", "layers", "texts", "accuracy [95 % CI]"):
        table.add_column(column, justify="left" if column in ("model", "base") else "right")
    count = len(texts)
    for rung in RUNGS.values():
        with reporter.counting(f"scoring {rung.name}", count) as progress:
            right = count_right(directory / rung.name, texts, progress)
        low, high = share_interval(right, count)
        interval = f"{right / count:.3f} \\[{low:.3f}, {high:.3f}]"
        table.add_row(rung.name, rung.base, str(rung.layers), str(count), interval)
    Console().print(table)


@app.command("record")
def models_record(
    scenario: Annotated[
        Path | None, typer.Argument(help="Record the models of this scenario's tiers over its data set.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]MODEL", help="Instead of a scenario: a model as one has it. Repeatable."
        ),
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set, with --model.")] = None,
    openai: Annotated[
        str | None,
        typer.Option(
            metavar="URL", help="The models are served by an engine at this address: http://HOST:PORT/v1"
        ),
    ] = None,
    split: Annotated[str, typer.Option(help="Split of the data set.")] = "test",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the rows of a trace of so many requests.")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Prompts that a model takes together.")] = 32,
    timed: Annotated[int, typer.Option(min=0, help="Rows that are also asked and timed one at a time.")] = 64,
    device: Annotated[str, typer.Option(help="Where checkpoints infer: cpu or cuda.")] = "cpu",
    out: Annotated[
        Path | None, typer.Option(help="New file; by default <scenario or data set>.parquet here.")
    ] = None,
) -> None:
    """Run models over a data set once, and keep all answers in one file: an answer matrix."""
    from testbed.scenario.matrix import write_matrix
    from testbed.scenario.scenario import load_scenario
    from testbed.study import asked
    from testbed.study.record import Effort, record

    effort, reporter = Effort(batch, timed, device), Reporter()
    if (scenario is None) == (model is None):
        raise TestbedError("name a scenario, whose tiers' models are recorded, or give --model and --dataset")
    if scenario is not None:
        if dataset is not None or openai is not None:
            raise TestbedError("--dataset, --openai: a scenario says that itself; leave them out")
        loaded = load_scenario(scenario)
        out = out or Path(f"{loaded.name}.parquet")
        _require_new(out)
        rows = asked.rows_of(loaded.task, split, limit, loaded.seed)
        models = asked.models_of(loaded, effort, reporter.say)
    else:
        if dataset is None:
            raise TestbedError("--dataset: is missing; name the data set whose rows are asked")
        task = asked.task_of(dataset)
        out = out or Path(f"{dataset.replace('/', '-')}.parquet")
        _require_new(out)
        rows = asked.rows_of(task, split, limit)
        models = asked.models_named(model or (), task, openai, effort, reporter.say)
    matrix = record(models, rows, effort, reporter)
    header = write_matrix(matrix, out)
    _print_matrix(str(out), replace(matrix, header=header))


def _require_new(out: Path) -> None:
    """Tell before hours of inference where no matrix can be written, or none would find it."""
    if out.exists():
        raise TestbedError(f"--out: {out} is there already; name another file, or remove it")
    if out.suffix != ".parquet":
        raise TestbedError(f"--out: {out} must end with .parquet, by which tiers and what-if know a matrix")
    nearest = next(folder for folder in out.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK):
        raise TestbedError(f"--out: {out} cannot be written in {nearest}; name another directory")


def _print_matrix(title: str, matrix: Matrix) -> None:
    from testbed.report.matrices import matrix_sentence, matrix_table

    widened(Console(), 150).print(matrix_table(title, matrix))
    typer.echo(matrix_sentence(matrix.header))


@app.command("import")
def models_import(
    file: Annotated[
        Path, typer.Argument(help="Answer matrix, of this or another machine.", show_default=False)
    ],
) -> None:
    """Check an answer matrix, and print what it holds. Exit status 1 if it is not to be relied on."""
    from testbed.report.matrices import provenance
    from testbed.scenario.matrix import read_matrix
    from testbed.study.verify import held_against_data, held_against_models

    matrix = read_matrix(file)
    _print_matrix(str(file), matrix)
    try:
        found = [*provenance(matrix.header), *held_against_models(matrix), held_against_data(matrix)]
    except TestbedError as error:
        raise TestbedError(f"{file}: {error}") from None
    for sentence in found:
        typer.echo(sentence)


@app.command("train")
def models_train(rung: Annotated[str, typer.Argument(help="device, edge or cloud")]) -> None:
    """Train a model's adapter again (for maintainers; half an hour on two cores)."""
    from testbed.host.embedded.ladder import RUNGS
    from testbed.scenario.workload.datasets import load

    if rung not in RUNGS:
        raise TestbedError(f"no rung {rung!r}; there are {', '.join(RUNGS)}")
    from testbed.host.embedded.train import train

    sentences, reviews = (
        [(example.text, example.reference) for example in load(name, "train")]
        for name in ("rotten_tomatoes", "imdb")
    )
    train(RUNGS[rung], sentences, reviews)
