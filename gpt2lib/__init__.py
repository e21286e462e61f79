"""Learn GPT-2 by building it: the library that the notebooks of this course become.

Names are loaded when they are first used, so that `import gpt2lib` is quick and a tokenizer needs
no torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and editors, which run nothing
    from gpt2lib.attention import CausalSelfAttention, attend, causal_mask, merge_heads, split_heads
    from gpt2lib.cache import KVCache, LayerCache
    from gpt2lib.checkpoint import from_pretrained, save_pretrained
    from gpt2lib.config import GPT2Config
    from gpt2lib.embeddings import embed, unembed
    from gpt2lib.fast import FastGPT2, fast
    from gpt2lib.generation import LanguageModel, complete, generate
    from gpt2lib.memory import keep_freed_memory
    from gpt2lib.mlp import MLP, gelu
    from gpt2lib.model import GPT2, Block, layer_norm
    from gpt2lib.sampling import Sampler, greedy, keep_top_k, keep_top_p, scale_temperature
    from gpt2lib.speculation import speculate
    from gpt2lib.tokenizer import END_OF_TEXT, Tokenizer
    from gpt2lib.training import (
        Progress,
        Trainer,
        TrainingConfig,
        bits_per_byte,
        decay_groups,
        learning_rate,
        mean_loss,
        next_token_loss,
        sample_batch,
        train,
    )

_MODULE_OF = {
    "Block": "model",
    "CausalSelfAttention": "attention",
    "END_OF_TEXT": "tokenizer",
    "FastGPT2": "fast",
    "GPT2": "model",
    "GPT2Config": "config",
    "KVCache": "cache",
    "LanguageModel": "generation",
    "LayerCache": "cache",
    "MLP": "mlp",
    "Progress": "training",
    "Sampler": "sampling",
    "Tokenizer": "tokenizer",
    "Trainer": "training",
    "TrainingConfig": "training",
    "attend": "attention",
    "bits_per_byte": "training",
    "causal_mask": "attention",
    "complete": "generation",
    "decay_groups": "training",
    "embed": "embeddings",
    "fast": "fast",
    "from_pretrained": "checkpoint",
    "gelu": "mlp",
    "generate": "generation",
    "greedy": "sampling",
    "keep_freed_memory": "memory",
    "keep_top_k": "sampling",
    "keep_top_p": "sampling",
    "layer_norm": "model",
    "learning_rate": "training",
    "mean_loss": "training",
    "merge_heads": "attention",
    "next_token_loss": "training",
    "sample_batch": "training",
    "save_pretrained": "checkpoint",
    "scale_temperature": "sampling",
    "speculate": "speculation",
    "split_heads": "attention",
    "train": "training",
    "unembed": "embeddings",
}
__all__ = [
    "Block",
    "CausalSelfAttention",
    "END_OF_TEXT",
    "FastGPT2",
    "GPT2",
    "GPT2Config",
    "KVCache",
    "LanguageModel",
    "LayerCache",
    "MLP",
    "Progress",
    "Sampler",
    "Tokenizer",
    "Trainer",
    "TrainingConfig",
    "attend",
    "bits_per_byte",
    "causal_mask",
    "complete",
    "decay_groups",
    "embed",
    "fast",
    "from_pretrained",
    "gelu",
    "generate",
    "greedy",
    "keep_freed_memory",
    "keep_top_k",
    "keep_top_p",
    "layer_norm",
    "learning_rate",
    "mean_loss",
    "merge_heads",
    "next_token_loss",
    "sample_batch",
    "save_pretrained",
    "scale_temperature",
    "speculate",
    "split_heads",
    "train",
    "unembed",
]


def _lazy(package: str, module_of: dict[str, str]) -> None:
    """Let a package take each public name from its module when it is first used.

    A name that is a module's too, as `gpt2lib.fast` is, is that module, and calling it calls the function.
    """
    import sys
    from importlib import import_module
    from importlib.util import find_spec
    from types import ModuleType

    def load(name: str):
        return getattr(import_module(f"{package}.{module_of[name]}"), name)

    class CallableModule(ModuleType):
        def __call__(self, *arguments, **options):
            return load(self.__name__.rpartition(".")[2])(*arguments, **options)

    class LazyPackage(ModuleType):
        def __getattr__(self, name: str):
            if name not in module_of:
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            return import_module(f"{package}.{name}") if find_spec(f"{package}.{name}") else load(name)

        def __setattr__(self, name: str, value) -> None:
            if name in module_of and type(value) is ModuleType:  # what importing a module does last
                value.__class__ = CallableModule
            super().__setattr__(name, value)

        def __dir__(self) -> list[str]:
            return sorted({*vars(self), *module_of})

    sys.modules[package].__class__ = LazyPackage


_lazy(__name__, _MODULE_OF)
