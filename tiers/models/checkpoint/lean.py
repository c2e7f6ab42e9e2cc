"""Import torch and Transformers without the parts that a classifier's forward pass never touches.

A plain import of ``transformers.models.bert.modeling_bert`` executes 2,400 modules: TorchDynamo, sympy,
distributed training, export, text generation, and a walk through the sources of every architecture. It takes
3.5 s of CPU for each container. A third of that is left when those parts are stood in for by empty modules.

It cannot change a result silently: what is stood in for holds only names that importing needs, and
using one of its classes raises. It is done for versions and architectures that the tests compare
with ``transformers.pipeline`` (``tests/tiers/test_models.py``); all else gets the plain import.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Unpack

VERSIONS = {"torch": "2.13.", "transformers": "5.23."}
ARCHITECTURES = {
    "BertForSequenceClassification": "transformers.models.bert.modeling_bert",
    "DistilBertForSequenceClassification": "transformers.models.distilbert.modeling_distilbert",
    "LlamaForSequenceClassification": "transformers.models.llama.modeling_llama",
    "RobertaForSequenceClassification": "transformers.models.roberta.modeling_roberta",
}
TOKENIZERS = {
    "BertTokenizer": "transformers.models.bert.tokenization_bert",
    "BertTokenizerFast": "transformers.models.bert.tokenization_bert",
    "DistilBertTokenizer": "transformers.models.distilbert.tokenization_distilbert",
    "DistilBertTokenizerFast": "transformers.models.distilbert.tokenization_distilbert",
    "PreTrainedTokenizerFast": "transformers.tokenization_utils_tokenizers",
    "TokenizersBackend": "transformers.tokenization_utils_tokenizers",
}
"""Where ``AutoTokenizer`` finds each class of tokenizer that the tests compare with the plain import's."""

_BEFORE_TORCH = (
    "torch._meta_registrations",  # operators on tensors without data, for compilers
    "torch._native",  # overrides for GPUs
    "torch.distributed._meta_registrations",
    "torch.export",
)
_CONTINUOUS_BATCHING = "transformers.generation.continuous_batching"


def can_import_lean(architecture: str, tokenizer: str) -> bool:
    """Whether classes of these names are known to work, with the installed versions, in this process."""
    if architecture not in ARCHITECTURES or tokenizer not in TOKENIZERS:
        return False
    if "torch" in sys.modules or "transformers" in sys.modules:
        return False
    try:
        return all(version(name).startswith(prefix) for name, prefix in VERSIONS.items())
    except PackageNotFoundError:
        return False


def import_lean(architecture: str) -> Any:
    """The model class of that name, imported with as little else as it needs.

    Only where :func:`can_import_lean` allows it. The process cannot use the parts left out afterwards.
    """
    os.environ.setdefault("TORCH_DEVICE_BACKEND_AUTOLOAD", "0")  # spares a search through all packages
    with _without_gc():
        _stand_in_for_torch()
        _stand_in_for_transformers()
        return getattr(importlib.import_module(ARCHITECTURES[architecture]), architecture)


@contextmanager
def _without_gc() -> Iterator[None]:
    """No collection meanwhile: nothing of an import is garbage, and looking takes a tenth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.freeze()


def _stand_in_for_torch() -> None:
    for name in _BEFORE_TORCH:
        _stand_in(name)
    import torch

    # What Transformers itself asks before it imports tensor parallelism, FSDP and their checkpoints.
    torch.distributed.is_available = lambda: False
    _stand_in("torch._dynamo", allow_in_graph=_mark, assume_constant_result=_mark, disable=_mark)
    _stand_in(
        "torch._dynamo._trace_wrapped_higher_order_op",
        TransformGetItemToIndex=_refusing("TransformGetItemToIndex"),
    )


def _stand_in_for_transformers() -> None:
    spec = importlib.util.find_spec("transformers")
    assert spec is not None, "its version was looked up"
    folder = next(iter(spec.submodule_search_locations or ()))
    # The real packages' __init__ read the sources of every architecture to offer their names lazily.
    _stand_in("transformers", [folder], __version__=version("transformers"), __getattr__=_tokenizer)
    _stand_in("transformers.models", [str(Path(folder, "models"))])
    cache = _refusing("PagedAttentionCache")
    _stand_in(_CONTINUOUS_BATCHING, PagedAttentionCache=cache)
    _stand_in(f"{_CONTINUOUS_BATCHING}.cache", PagedAttentionCache=cache)
    # Of processors, models name only this type; the module itself imports all of Transformers once more.
    _stand_in("transformers.processing_utils", Unpack=Unpack)
    # Models derive from it; without it they have no generate(), and a classifier needs none.
    _stand_in("transformers.generation.utils", GenerationMixin=type("GenerationMixin", (), {}))


def _tokenizer(name: str) -> Any:
    """What the real package offers by that name: ``AutoTokenizer`` looks for classes of tokenizers there."""
    if name not in TOKENIZERS:
        raise AttributeError(name)
    return getattr(importlib.import_module(TOKENIZERS[name]), name)


def _stand_in(name: str, path: list[str] | None = None, **attributes: Any) -> None:
    module = ModuleType(name, doc="stood in for by tiers.models.checkpoint.lean")
    module.__path__ = path or []
    module.__spec__ = ModuleSpec(name, None, is_package=True)
    vars(module).update(attributes)
    sys.modules[name] = module
    parent, _, child = name.rpartition(".")
    if parent in sys.modules:
        setattr(sys.modules[parent], child, module)


def _refusing(name: str) -> type:
    def refuse(self: object, *_args: Any, **_kwargs: Any) -> None:
        raise RuntimeError(f"{name} was left out of this process by tiers.models.checkpoint.lean")

    return type(name, (), {"__init__": refuse})


def _mark(function: Callable[..., Any] | None = None, *_given: Any, **_options: Any) -> Any:
    """TorchDynamo's decorators say how to compile a function; uncompiled, it is the function itself."""
    return function if function is not None else lambda inner: inner
