"""Models and texts that several tests use."""

import signal

import pytest
import torch
import transformers

from gpt2lib import GPT2, GPT2Config, from_pretrained, save_pretrained
from gpt2lib.tokenizer import Tokenizer

transformers.utils.logging.set_verbosity_error()
transformers.utils.logging.disable_progress_bar()


def pytest_configure(config):
    # a script that runs in the background hands down that SIGINT is ignored
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # small models, big tokenizer
    config.addinivalue_line("filterwarnings", "ignore:the model has vocab_size")


@pytest.fixture(autouse=True)
def _gradients_are_on():
    """Every test begins as a user's program does; one that turned gradients off for all others fails."""
    assert torch.is_grad_enabled()
    yield
    assert torch.is_grad_enabled()


# Sizes that let nothing hide: 3 heads, D = 8 unlike any T, an eps that shows, V unlike C.
SIZES = dict(vocab_size=311, n_positions=24, n_embd=24, n_layer=3, n_head=3, layer_norm_epsilon=0.1)


def shake(model: torch.nn.Module, seed: int = 0) -> None:
    """Fill every parameter, gains and biases too, with random numbers that leave logits of size 1 to 10."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.3 if parameter.ndim == 1 else 0.05
            parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
            if "ln_" in name and name.endswith("weight"):
                parameter.add_(1.0)


def their_model(**sizes) -> transformers.GPT2LMHeadModel:
    """Return a GPT-2 of transformers with these sizes and random weights."""
    config = transformers.GPT2Config(**sizes, bos_token_id=0, eos_token_id=0)
    model = transformers.GPT2LMHeadModel(config).eval()
    shake(model)
    return model


def ours(theirs: transformers.GPT2LMHeadModel, directory) -> GPT2:
    """Return their model as ours, by way of the disk."""
    theirs.save_pretrained(directory)
    return from_pretrained(directory)[0]


@pytest.fixture(scope="session")
def pair(tmp_path_factory):
    """The same small model twice: (transformers', ours)."""
    theirs = their_model(**SIZES)
    return theirs, ours(theirs, tmp_path_factory.mktemp("pair"))


@pytest.fixture(scope="session")
def full_pair(tmp_path_factory):
    """The same model of GPT-2 small's shape twice: (transformers', ours)."""
    theirs = their_model()
    return theirs, ours(theirs, tmp_path_factory.mktemp("full"))


@pytest.fixture(scope="session")
def gpt2_tokenizer():
    return Tokenizer.gpt2()


@pytest.fixture
def small():
    """A small model of ours with random weights."""
    torch.manual_seed(0)
    model = GPT2(GPT2Config(**SIZES))
    shake(model)
    return model.eval()


@pytest.fixture
def saved(small, gpt2_tokenizer, tmp_path):
    """A directory that save_pretrained wrote."""
    save_pretrained(small, gpt2_tokenizer, tmp_path / "saved")
    return tmp_path / "saved"


def largest(difference: torch.Tensor) -> float:
    """Return the largest absolute value."""
    return difference.abs().max().item()


@pytest.fixture(scope="session")
def tales():
    """The model that comes with gpt2lib, and its tokenizer."""
    return from_pretrained("tales")


@pytest.fixture(scope="module")
def made(tales):
    """Each explorable under its name."""
    from course import play

    model, tokenizer = tales
    return {
        "attention": play.attention(model, tokenizer, layer=1, head=2),
        "cache": play.cache(model, tokenizer),
        "loop": play.loop(model, tokenizer, temperature=0.8, top_k=50, top_p=0.9),
        "neighbors": play.neighbors(model, tokenizer),
        "stream": play.stream(model, tokenizer),
        "tokenizer_box": play.tokenizer_box({"GPT-2": Tokenizer.gpt2(), "tales": tokenizer}),
    }
