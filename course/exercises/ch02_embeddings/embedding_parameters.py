"""2.6 embedding_parameters: what is computed. What is said stands in embedding_parameters.md."""

import math

import torch

from gpt2lib.config import GPT2Config

tolerance = 0.0


def cases():
    """The text's example, another one with all sizes different, and GPT-2 itself."""
    return [
        (GPT2Config(vocab_size=10, n_positions=4, n_embd=6, n_layer=3, n_head=2),),
        (GPT2Config(vocab_size=300, n_positions=32, n_embd=20, n_layer=2, n_head=5),),
        (GPT2Config(),),
    ]


def by_tables(config):
    tables = (config.vocab_size, config.n_embd), (config.n_positions, config.n_embd)
    return sum(math.prod(shape) for shape in tables)


def by_modules(config):
    with torch.device("meta"):
        wte = torch.nn.Embedding(config.vocab_size, config.n_embd)
        wpe = torch.nn.Embedding(config.n_positions, config.n_embd)
    return wte.weight.numel() + wpe.weight.numel()


def by_factoring(config):
    return config.n_embd * (config.vocab_size + config.n_positions)


styles = [by_tables, by_modules, by_factoring]
