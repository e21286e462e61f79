"""The keys and values that generation keeps between steps. Built in chapter 07."""

from numbers import Integral

import torch

from gpt2lib.config import GPT2Config


# What is said about keys and values that don't fit
def _checked_end(cache: "LayerCache", k: torch.Tensor, v: torch.Tensor) -> int:
    """Return the length of a layer's cache after k and v go in. Raises ValueError if they can't."""
    B, H, capacity, D = cache.k.shape
    if k.shape != v.shape or k.ndim != 4 or (*k.shape[:2], k.shape[3]) != (B, H, D):
        raise ValueError(
            f"k has shape {tuple(k.shape)} and v {tuple(v.shape)}, but this cache takes "
            f"(B={B}, H={H}, T, D={D}); "
            f"open it with the model's config and the batch size of the tokens"
        )
    # in a region of mixed precision (torch.autocast) k and v may come in another dtype than the memory's
    same_dtype = k.dtype == v.dtype == cache.k.dtype or torch.is_autocast_enabled(k.device.type)
    if not (same_dtype and k.device == v.device == cache.k.device):
        raise ValueError(
            f"k is {k.dtype} on {k.device} and v {v.dtype} on {v.device}, but this cache holds "
            f"{cache.k.dtype} on {cache.k.device}; open it with the dtype and device of the model's weights"
        )
    end = cache.length + k.shape[2]
    if end > capacity:
        raise ValueError(
            f"the cache would hold {end} tokens ({cache.length} so far), but it has room for {capacity}; "
            f"open one with a larger max_length, or read a shorter text into an empty one"
        )
    if cache.k.requires_grad:  # gradients flow through the new tokens only
        cache.k, cache.v = cache.k.detach(), cache.v.detach()
    return end


# What is said about sizes that no cache can have
def _checked_length(config: GPT2Config, batch_size: int, max_length: int | None) -> int:
    """Return max_length, or n_positions for None. Raises as `KVCache` does."""
    if not hasattr(config, "n_positions"):
        raise TypeError(f"config is a {type(config).__name__}, but KVCache takes the model's config")
    max_length = config.n_positions if max_length is None else max_length
    if not isinstance(batch_size, Integral) or batch_size < 1:
        raise ValueError(f"batch_size is {batch_size!r}, but a cache serves at least 1 text")
    if not isinstance(max_length, Integral) or not 1 <= max_length <= config.n_positions:
        raise ValueError(
            f"max_length is {max_length!r}, but this model reads 1 to "
            f"{config.n_positions} tokens (n_positions)"
        )
    return max_length


class LayerCache:
    """A preallocated key/value cache for one layer.

    `length` is the number of tokens it holds. Queries are not kept: no later token asks for them.
    It works with gradients on or off; on, they flow through the newest tokens only.
    """

    def __init__(self, k: torch.Tensor, v: torch.Tensor):
        """Use k and v (B, H, capacity, D) as the memory; their contents are ignored."""
        self.k, self.v = k.detach(), v.detach()
        self.length = 0

    def append(self, k: torch.Tensor, v: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the keys and values of new tokens and return all of them.

        k, v (B, H, T, D) -> k, v (B, H, S, D), views into the memory. Raises ValueError, and
        keeps what it has, if their shape, dtype or device is not that of the memory, or the
        tokens do not fit.
        """
        end = _checked_end(self, k, v)
        self.k[:, :, self.length : end] = k
        self.v[:, :, self.length : end] = v
        self.length = end
        return self.k[:, :, :end], self.v[:, :, :end]

    def __getstate__(self) -> dict:
        """Return what is copied or pickled: the numbers, without the way they were computed."""
        return self.__dict__ | {"k": self.k.detach(), "v": self.v.detach()}


class KVCache:
    """A key/value cache for every layer of one model and one batch of texts.

    `cache[i]` is the cache of layer i. Source: Pope et al. 2022, who call it the KV cache.
    """

    @torch.inference_mode(False)  # memory made in that mode could not be written to outside of it
    def __init__(
        self,
        config: GPT2Config,
        batch_size: int = 1,
        *,
        max_length: int | None = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ):
        """Set memory aside for `max_length` tokens in each of `batch_size` texts.

        max_length counts the prompt and the new tokens; None stands for n_positions. It stores
        2 * n_layer * n_embd numbers per token and text. Raises ValueError if either size is below
        1 or max_length is above n_positions, TypeError if config isn't the model's.
        """
        max_length = _checked_length(config, batch_size, max_length)
        size = (2, batch_size, config.n_head, max_length, config.n_embd // config.n_head)
        self.layers = [
            LayerCache(*torch.empty(size, dtype=dtype, device=device)) for _ in range(config.n_layer)
        ]

    @property
    def length(self) -> int:
        """Return how many tokens of each text the cache holds."""
        return self.layers[0].length

    def __getitem__(self, layer: int) -> LayerCache:
        """Return the cache of one layer. Raises IndexError if there is none."""
        if layer >= len(self.layers):
            raise IndexError(
                f"there is no layer {layer}: the cache was opened for {len(self.layers)} layers; "
                f"open it with the model's config"
            )
        return self.layers[layer]

    def truncate(self, length: int) -> None:
        """Forget all but the first `length` tokens of each text, so that generation can branch there.

        Raises ValueError if the cache holds fewer.
        """
        if not isinstance(length, Integral) or not 0 <= length <= self.length:
            raise ValueError(
                f"length is {length!r}, but the cache holds {self.length} tokens; pass 0 to {self.length}"
            )
        for layer in self.layers:
            layer.length = length
