"""Learn GPT-2 by building it: the library that the notebooks of this course become.

Names are loaded when they are first used, so that `import gpt2lib` is quick and a tokenizer needs
no torch.
"""

from importlib import import_module

_MODULE_OF = {
    "Block": "model",
    "CausalSelfAttention": "attention",
    "FastBlock": "fast",
    "FastGPT2": "fast",
    "GPT2": "model",
    "GPT2Config": "config",
    "KVCache": "cache",
    "LayerCache": "cache",
    "MLP": "mlp",
    "Progress": "training",
    "Sampler": "sampling",
    "Tokenizer": "tokenizer",
    "Trainer": "training",
    "TrainingConfig": "training",
    "aten_int8": "fast",
    "attend": "attention",
    "attend_in_bfloat16": "fast",
    "bits_per_byte": "training",
    "bpe": "tokenizer",
    "bytes_to_unicode": "tokenizer",
    "causal_mask": "attention",
    "check_tokens": "model",
    "complete": "generation",
    "count_pairs": "tokenizer",
    "decay_groups": "training",
    "embed": "embeddings",
    "empty_model": "checkpoint",
    "fbgemm_float16": "fast",
    "fbgemm_int8": "fast",
    "first_that_suits": "fast",
    "float32_in_parts": "fast",
    "from_pretrained": "checkpoint",
    "gelu": "mlp",
    "generate": "generation",
    "greedy": "sampling",
    "initial_std": "model",
    "is_near": "fast",
    "keep_freed_memory": "training",
    "keep_top_k": "sampling",
    "keep_top_p": "sampling",
    "layer_norm": "model",
    "learning_rate": "training",
    "mean_loss": "training",
    "merge_heads": "attention",
    "merge_pair": "tokenizer",
    "multiplies_bfloat16": "fast",
    "next_token_loss": "training",
    "onednn": "fast",
    "onednn_bfloat16": "fast",
    "plain": "fast",
    "plain_bfloat16": "fast",
    "plain_float16": "fast",
    "plain_int8": "fast",
    "quantize_rows": "fast",
    "quantized_linear": "fast",
    "read_config": "checkpoint",
    "read_merges": "tokenizer",
    "read_weights": "checkpoint",
    "rename_weight": "checkpoint",
    "replacing": "files",
    "sample_batch": "training",
    "save_pretrained": "checkpoint",
    "scale_temperature": "sampling",
    "shortlisted": "fast",
    "split_heads": "attention",
    "split_text": "tokenizer",
    "train_merges": "tokenizer",
    "unembed": "embeddings",
    "vectors_met": "fast",
}

__all__ = list(_MODULE_OF)


def __getattr__(name: str):
    """Import a public name from its module."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'gpt2lib' has no attribute {name!r}")
    return getattr(import_module(f"gpt2lib.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted([*globals(), *_MODULE_OF])
