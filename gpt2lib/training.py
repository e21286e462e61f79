"""Learning: the loss, the schedule, the optimizer and the loop. Built in chapter 08."""

import contextlib
import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gpt2lib.tokenizer import Tokenizer, check_tokenizer


def next_token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Return the mean cross-entropy, in nats, of the actual next tokens.

    logits (B, T, V), targets (B, T) -> scalar. Every position is one example. A model that knows
    nothing scores ln V. Source: Radford et al. 2018, equation 1. `F.cross_entropy` is the fused form.
    """
    return F.cross_entropy(logits.flatten(0, -2).float(), targets.flatten())


def sample_batch(
    tokens: torch.Tensor, batch_size: int, context: int, generator: torch.Generator | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut random stretches out of a text: what the model reads, and what it should have said.

    tokens (N,) -> inputs (batch_size, context) and targets (batch_size, context), the same stretch
    one token further on. Raises ValueError if N is not larger than context.
    """
    if len(tokens) <= context:
        raise ValueError(
            f"the text has {len(tokens)} tokens but a context of {context} needs at least {context + 1}; "
            f"choose a shorter context or a longer text"
        )
    starts = torch.randint(len(tokens) - context, (batch_size, 1), generator=generator)
    stretches = tokens[starts + torch.arange(context + 1)]
    return stretches[:, :-1], stretches[:, 1:]


def decay_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """Return the optimizer's two groups: matrices, which decay, and gains and biases, which do not.

    Each parameter is in one of them, once. Source: GPT-3 (Brown et al. 2020, appendix B) for the
    0.1; GPT-1 (Radford et al. 2018, section 4.1) already left out gains and biases.
    """
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]


def learning_rate(
    step: int, *, peak: float, total_steps: int, warmup_steps: int = 0, floor: float = 0.0
) -> float:
    """Return the learning rate of a step (the first is 0): a straight rise, then half a cosine.

    The rise reaches `peak` at the last of warmup_steps and starts above 0, since a step at 0 is
    wasted. The cosine reaches `floor` at total_steps and stays there. Source: Loshchilov and Hutter
    2016, section 3, as in GPT-3 (Brown et al. 2020, appendix B).
    """
    if step < warmup_steps:
        return peak * (step + 1) / warmup_steps
    done = min(1.0, (step - warmup_steps) / max(1, total_steps - warmup_steps))
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * done))


# The settings of a training run, with a sentence for each that is impossible
@dataclass(frozen=True)
class TrainingConfig:
    """Settings of a training run. Raises ValueError for impossible ones."""

    steps: int  # updates of the weights
    batch_size: int = 16  # stretches in an update, over all processes
    context: int = 256  # tokens in a stretch
    peak_lr: float = 1e-3
    final_lr: float = 1e-4
    warmup_steps: int = 100
    weight_decay: float = 0.1
    clip: float = 1.0  # the largest norm that the gradient of an update may have; math.inf for any
    micro_batches: int = 1  # parts that a batch is cut into where it does not fit into memory whole
    dtype: str = "float32"  # of the matrix products: float32 or bfloat16
    average: float = 0.0  # the last part of the run over which the weights are averaged, 0.1 for a tenth
    seed: int = 0  # of the choice of stretches and of dropout

    def __post_init__(self):
        least = dict.fromkeys(("steps", "batch_size", "context", "micro_batches"), 1)
        for name, smallest in (least | {"warmup_steps": 0, "seed": 0}).items():
            number = getattr(self, name)
            if not isinstance(number, Integral) or not smallest <= number <= 2**48:
                raise ValueError(
                    f"{name} is {number!r}, but it must be a whole number from {smallest} to 2**48"
                )
        for name in ("peak_lr", "final_lr", "weight_decay", "clip"):
            number, positive = getattr(self, name), name in ("peak_lr", "clip")  # at 0 it learns nothing
            is_number = isinstance(number, Real) and number >= 0 and (number > 0 or not positive)
            if not is_number or math.isinf(number) and name != "clip":
                least = "above 0" if positive else "of at least 0"
                remedy = "; inf (math.inf) clips nothing" if name == "clip" else ""
                raise ValueError(f"{name} is {number!r}, but it must be a number {least}{remedy}")
        if not isinstance(self.average, Real) or not 0 <= self.average <= 1:
            raise ValueError(f"average is {self.average!r}, but it is a part of the run, from 0 to 1")
        if self.dtype not in ("float32", "bfloat16"):
            raise ValueError(f"dtype is {self.dtype!r}; choose 'float32' or 'bfloat16', as a string")


# What an update tells
@dataclass(frozen=True)
class Progress:
    """What one update did."""

    step: int  # updates so far, this one included
    loss: float  # nats per token of the batch, before the update
    lr: float
    gradient_norm: float  # before clipping


# What tokens may be passed as
Tokens = torch.Tensor | np.ndarray | Sequence[int]


def _row_of_ids(tokens: Tokens) -> torch.Tensor:
    """Return tokens as a tensor (N,), which shares the memory of a tensor, an array or a memory map.

    Raises ValueError for another shape, and for what is not ids.
    """
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # nothing is written to it
            tokens = torch.as_tensor(tokens)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(
            f"tokens are a {type(tokens).__name__} that is no row of whole numbers ({error}); pass token ids "
            f"as a tensor, an array or a list, as Tokenizer.encode returns them"
        ) from error
    if tokens.ndim != 1:
        raise ValueError(
            f"tokens have the shape {tuple(tokens.shape)}, but a text is one row of ids, (N,); "
            f"pass tokens.flatten() if the rows belong to one text"
        )
    whole = not (tokens.dtype.is_floating_point or tokens.dtype.is_complex or tokens.dtype == torch.bool)
    if len(tokens) and not whole:
        raise ValueError(f"tokens are {tokens.dtype}, but ids are whole numbers; pass token ids, not text")
    return tokens


def _check_context(model: nn.Module, context: int) -> None:
    """Raise ValueError unless a model can read so many tokens at once."""
    longest = getattr(getattr(model, "config", None), "n_positions", math.inf)
    if not isinstance(context, Integral) or not 1 <= context <= longest:
        raise ValueError(
            f"context is {context!r}, but this model reads at most {longest} tokens (n_positions); choose a "
            f"whole number up to {longest}"
        )


def _to_device(ids: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Return ids as int64 on the device; a GPU fetches them while it is still busy with something else."""
    ids = ids.long()
    if ids.is_cpu and device.type == "cuda":
        return ids.pin_memory().to(device, non_blocking=True)
    return ids.to(device)


# The loop, with 16-bit numbers, several processes, averaged weights and exact resuming
class Trainer:
    """Update a model's weights, one batch at a time; iterating over it trains.

    Under torch.distributed each process works on its share of every batch, and
    DistributedDataParallel averages the gradients. One process or several, the same stretches of
    text make up the same update.
    """

    def __init__(self, model: nn.Module, tokens: Tokens, config: TrainingConfig):
        """Prepare to train model on tokens (N,), ids of any integer type; a memory map is not copied.

        Raises ValueError if N is not larger than the context, the context is longer than what the model
        reads, the batch cannot be shared out evenly over the processes and micro-batches, or the model has
        no weights that training could change; TypeError if config isn't a TrainingConfig.
        """
        if not hasattr(config, "batch_size"):
            raise TypeError(
                f"config is a {type(config).__name__}, but it must be a TrainingConfig, as "
                f"TrainingConfig(steps=100)"
            )
        dtypes = {weight.dtype for weight in model.parameters() if weight.requires_grad}
        if not dtypes:
            raise ValueError(
                f"no weight of this {type(model).__name__} may change (requires_grad is False); call "
                f"model.requires_grad_(True), or pass the GPT2 that a fast model was made from"
            )
        if dtypes & {torch.float16, torch.bfloat16}:
            raise ValueError(
                f"the weights are {min(map(str, dtypes))}, too coarse for the small steps of training; load "
                f"the model as float32, and pass dtype='bfloat16' to make the products in it"
            )
        self.model, self.tokens, self.config = model, _row_of_ids(tokens), config
        self.processes = dist.get_world_size() if dist.is_initialized() else 1
        self.rank = dist.get_rank() if dist.is_initialized() else 0
        if config.batch_size % (self.processes * config.micro_batches):
            raise ValueError(
                f"a batch of {config.batch_size} cannot be cut into {self.processes} processes x "
                f"{config.micro_batches} micro-batches of one size; choose a multiple of "
                f"{self.processes * config.micro_batches}"
            )
        _check_context(model, config.context)
        sample_batch(self.tokens, 1, config.context)  # refuses a text that is too short now, not later
        self.replica = DistributedDataParallel(model) if self.processes > 1 else model
        self.generator = torch.Generator().manual_seed(config.seed)
        self.optimizer = torch.optim.AdamW(
            decay_groups(model, config.weight_decay),
            lr=config.peak_lr,
            betas=(0.9, 0.95),
            fused=True,
        )
        self.step = 0
        self.mean = None  # the mean of the weights over the last part of the run
        self.stopping = self.stopped = False

    def __iter__(self) -> Iterator[Progress]:
        """Train to the last step, or to a `stop`, yielding the progress of each update."""
        while self.step < self.config.steps and not self.stopped:
            yield self.update()

    def stop(self) -> None:
        """End the iteration; where several processes train, all of them, after one more update."""
        self.stopping = True
        self.stopped = self.processes == 1

    @torch.inference_mode(False)
    @torch.enable_grad()  # whatever the mode around it
    def update(self) -> Progress:
        """Make one update of the weights and return its progress.

        Raises FloatingPointError if the run has diverged: the loss or the gradient is not finite. The
        weights are then those that the last good update left.
        """
        config = self.config
        lr = learning_rate(
            self.step,
            peak=config.peak_lr,
            total_steps=config.steps,
            warmup_steps=config.warmup_steps,
            floor=config.final_lr,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        device = next(self.model.parameters()).device
        inputs, targets = sample_batch(self.tokens, config.batch_size, config.context, self.generator)
        inputs, targets = (
            _to_device(part.chunk(self.processes)[self.rank], device) for part in (inputs, targets)
        )
        loss = torch.zeros((), device=device)
        micro_batches = zip(inputs.chunk(config.micro_batches), targets.chunk(config.micro_batches))
        with self._dropout_of_this_step(device):
            for i, (x, y) in enumerate(micro_batches):
                with self._no_sync_before_the_last(i < config.micro_batches - 1):
                    with torch.autocast(device.type, torch.bfloat16, enabled=config.dtype == "bfloat16"):
                        logits = self.replica(x)
                    part = next_token_loss(logits, y) / config.micro_batches  # the mean over the whole batch
                    part.backward()
                loss += part.detach()
        told = torch.stack([loss / self.processes, torch.full_like(loss, self.stopping)])
        if self.processes > 1:
            dist.all_reduce(told)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), config.clip)
        loss, stopping, norm = torch.cat([told, norm[None]]).tolist()  # the one wait for the device
        if not math.isfinite(loss + norm):
            self.optimizer.zero_grad(set_to_none=True)
            raise FloatingPointError(
                f"the run diverged: in update {self.step + 1} the loss is {loss} and the gradient's norm "
                f"{norm}; choose a lower learning rate (its peak is {config.peak_lr}) or a longer warm-up"
            )
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        self._average()
        self.stopped = stopping > 0
        return Progress(self.step, loss, lr, norm)

    @contextlib.contextmanager
    def _dropout_of_this_step(self, device: torch.device) -> Iterator[None]:
        """Let dropout draw from the seed and the step alone, so that a resumed run drops the same."""
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed((self.config.seed + self.step) * self.processes + self.rank)
            yield

    def _no_sync_before_the_last(self, before: bool) -> contextlib.AbstractContextManager:
        """Keep DistributedDataParallel from exchanging gradients before the last micro-batch."""
        return self.replica.no_sync() if before and self.processes > 1 else contextlib.nullcontext()

    @torch.no_grad()
    def _average(self) -> None:
        """Take the present weights into the mean, once the last part of the run has begun."""
        done = self.step - math.floor(self.config.steps * (1 - self.config.average))  # weights to be in it
        weights = list(self.model.parameters())
        if done == 1:
            self.mean = [weight.detach().clone() for weight in weights]
        elif done > 1:
            torch._foreach_lerp_(self.mean, weights, 1 / done)

    @contextlib.contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Let the model have the averaged weights inside a `with`, to be measured or saved.

        Nothing changes before the averaging has begun. Source: Izmailov et al. 2018, section 3.2.
        """
        if self.mean is None:
            yield
            return
        weights = list(self.model.parameters())
        present = [weight.detach().clone() for weight in weights]
        with torch.no_grad():
            torch._foreach_copy_(weights, self.mean)
        try:
            yield
        finally:
            with torch.no_grad():
                torch._foreach_copy_(weights, present)

    def state_dict(self) -> dict:
        """Return all that a run needs to go on exactly as if it had never stopped."""
        return {
            "step": self.step,
            "mean": self.mean,
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` returned, here or on another device."""
        device = next(self.model.parameters()).device
        self.step = state["step"]
        self.mean = state["mean"] and [weight.to(device) for weight in state["mean"]]
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])


# The loop as a function
def train(model: nn.Module, tokens: Tokens, config: TrainingConfig) -> Iterator[Progress]:
    """Train a model on tokens (N,), in place, and yield the progress of each update.

    Nothing happens until the iterator is asked: `for progress in train(...)`. Raises ValueError as
    `Trainer` does.
    """
    return iter(Trainer(model, tokens, config))


# Judging a model on a whole text
@torch.no_grad()
def mean_loss(model: nn.Module, tokens: Tokens, context: int, batch_size: int = 16) -> float:
    """Return the mean loss, in nats per token, over a whole text: tokens (N,).

    The text is read in stretches of `context` tokens that overlap by half, and the first half of a
    stretch only counts where nothing came before it, so that each token is predicted once and, but
    for the first, from at least context / 2 tokens. Raises ValueError if N is below 2, batch_size below 1 or
    context more than the model reads.
    """
    tokens = _row_of_ids(tokens)
    if len(tokens) < 2:
        raise ValueError(
            f"the text has {len(tokens)} tokens, but at least 2 are needed to predict one from another"
        )
    last = len(tokens) - 1
    _check_context(model, context)
    context = min(context, last)
    if batch_size < 1:
        raise ValueError(f"batch_size is {batch_size}, but it must be at least 1")
    stride = max(1, context // 2)
    starts = torch.tensor(sorted({*range(0, last - context, stride), last - context}))
    scored = torch.cat(
        [torch.zeros(1, dtype=torch.int64), starts[:-1] + context]
    )  # up to here, by earlier stretches
    device = next(model.parameters()).device
    total = 0.0
    for start, done in zip(starts.split(batch_size), scored.split(batch_size)):
        places = start[:, None] + torch.arange(context + 1)  # (B, context + 1)
        stretches = _to_device(tokens[places], device)
        logits = model(stretches[:, :-1])
        losses = F.cross_entropy(logits.flatten(0, 1), stretches[:, 1:].flatten(), reduction="none")
        total += losses[(places[:, 1:] > done[:, None]).flatten().to(device)].cpu().double().sum().item()
    return total / last


# The same in bits per byte
def bits_per_byte(model: nn.Module, tokenizer: Tokenizer, text: str, context: int | None = None) -> float:
    """Return the bits that the model needs to tell each byte of a text: (str) -> float.

    Unlike the loss per token it can be compared between tokenizers. `<|endoftext|>` in the text is
    read as the token; it is predicted like any other, and counts as its 13 bytes. context is
    n_positions by default. Raises ValueError if the text has fewer than 2 tokens.
    """
    check_tokenizer(tokenizer)
    tokens = torch.tensor(tokenizer.encode(text, allow_special=True))
    nats = mean_loss(model, tokens, context or model.config.n_positions) * (len(tokens) - 1)
    return nats / math.log(2) / len(text.encode("utf-8", "surrogatepass"))
