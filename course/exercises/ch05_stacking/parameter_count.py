"""5.3 parameter_count: what is computed. What is said stands in parameter_count.md."""

import torch

from gpt2lib.config import GPT2Config


def cases():
    """The text's example, GPT-2 small, then sizes that have nothing in common."""
    return [
        (GPT2Config(vocab_size=3, n_positions=4, n_embd=2, n_layer=1, n_head=1),),
        (GPT2Config(),),
        (GPT2Config(vocab_size=11, n_positions=7, n_embd=6, n_layer=2, n_head=3),),
        (GPT2Config(vocab_size=300, n_positions=50, n_embd=8, n_layer=5, n_head=1),),
    ]


def by_loop(config):
    C, total = config.n_embd, (config.vocab_size + config.n_positions) * config.n_embd
    for _ in range(config.n_layer):
        for rows, columns in ((C, 3 * C), (C, C), (C, 4 * C), (4 * C, C)):
            total += rows * columns + columns
        total += 2 * (C + C)
    return total + C + C


def by_formula(c):
    return c.n_embd * (c.vocab_size + c.n_positions + 2 + c.n_layer * (12 * c.n_embd + 13))


def by_tensors(c):
    C = c.n_embd
    shapes = [(c.vocab_size, C), (c.n_positions, C), (C,), (C,)]
    block = [(C,)] * 4 + [(3 * C, C), (3 * C,), (C, C), (C,), (4 * C, C), (4 * C,), (C, 4 * C), (C,)]
    return sum(torch.Size(shape).numel() for shape in shapes + block * c.n_layer)


styles = [by_loop, by_formula, by_tensors]
