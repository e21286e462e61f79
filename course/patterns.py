"""What the cases that an answer gets wrong have in common, where no known mistake explains them."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from numbers import Number
from typing import Any

import torch

from course.comparing import same

LARGE = 80  # beyond it, float32's exp is infinite or nearly 0
MANY = 6  # cases, from which on chance is less likely
SETTINGS = ("settings", "options")  # arguments by name, of which a case gives some
MOST = 16  # the largest whole number that a size is taken times
SHORT = 12  # characters of a text that is a choice, such as "gpt2"
Pair = tuple[Any, Any]  # what came out of a case, and what should have


def of_results(
    cases: Sequence[Mapping], both: Sequence[Pair], wrong: Sequence[bool]
) -> tuple[str, str] | None:
    """Return an id and a sentence for what holds of all wrong results at once, or None.

    cases are the arguments by their names, both what came out and what should have, wrong which of them differ.
    """
    amiss = list(itertools.compress(zip(cases, both), wrong))
    for name, value in amiss[0][0].items():
        if isinstance(value, (torch.Tensor, list)) and all(
            same(got, case.get(name), 0.0) for case, (got, _) in amiss
        ):
            return "unchanged", f"What comes out is `{name}`, just as it went in."
    if all(isinstance(value, (str, bool)) for pair in both for value in pair):
        return of_words(both, [pair for _, pair in amiss])
    return of_sizes([(sizes(case), *pair) for case, pair in amiss])


def of_words(both: Sequence[Pair], wrong: Sequence[Pair]) -> tuple[str, str] | None:
    """Return what is wrong with words or truth values that are returned in all cases."""
    given, wanted = ({pair[i]: None for pair in both} for i in (0, 1))
    if len(given) == 1 and len(both) > 2 and len(wanted) > 1:
        return "constant", f"It returns {next(iter(given))!r} in every case tried."
    mixed_up = dict.fromkeys(wrong)
    if len(wrong) == len(both) and {(True, False), (False, True)} == mixed_up.keys():
        return "inverted", "True and False are exchanged in every case tried."
    if len(mixed_up) == 1 < len(wrong) and len(wanted) > 1:
        got, want = next(iter(mixed_up))
        return "confused", f"Each time that it's wrong, it returns {got!r} where {want!r} is right."
    never = [word for word in wanted if word not in given]
    if 0 < len(never) < len(wanted):
        return "never", f"It never returns {' or '.join(map(repr, never))}."
    return None


def sizes(case: Mapping) -> dict[str, float]:
    """Return the numbers among arguments, those in a config included."""
    found = {}
    for name, value in case.items():
        if is_dataclass(value):
            found |= sizes({field.name: getattr(value, field.name) for field in fields(value)})
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and value > 0:
            found[name] = value
    return found


def of_sizes(wrong: Sequence[tuple[Mapping, Any, Any]]) -> tuple[str, str] | None:
    """Return by what numbers are too large or too small in all wrong cases, in terms of the arguments."""
    if isinstance(wrong[0][2], Mapping):
        return of_entries(wrong)
    if not all(isinstance(n, Number) and not isinstance(n, bool) for _, *both in wrong for n in both):
        return None
    if len({want for *_, want in wrong}) < 2:
        return None
    names = [name for name in wrong[0][0] if all(name in case for case, *_ in wrong)]
    names = [name for name in names if len({case[name] for case, *_ in wrong}) > 1]
    terms = [(), *((name,) for name in names), *itertools.combinations_with_replacement(names, 2)]
    for term in terms if len(wrong) > 2 else terms[:1]:
        if found := of_term(term, wrong):
            return found
    return None


def of_term(term: tuple[str, ...], wrong: Sequence[tuple[Mapping, float, float]]) -> tuple[str, str] | None:
    """Return whether numbers are off by a whole number times a product of sizes, as a sum or as a factor."""
    sized = [(torch.tensor([case[name] for name in term]).double().prod().item(), *b) for case, *b in wrong]
    if by := common((got - want) / size for size, got, want in sized):
        large = "large" if by > 0 else "small"
        if whole := whole_number(abs(by)):
            return "offset", f"Each time, it's too {large} by {product(whole, term)}."
        if not term:
            return "offset", f"Each time, it's too {large} by {abs(by):.4g}."
    if any(not want for *_, want in sized):
        return None
    for form, power in (("{}", 1), ("1/({})" if len(term) > 1 else "1/{}", -1)):
        by = common((got / want) ** power / size for size, got, want in sized if got)
        if (whole := whole_number(by or 0)) and (term or whole > 1) and all(got for _, got, _ in sized):
            times = "times" if power == 1 else "of"
            return "factor", f"Each time, it's {form.format(product(whole, term))} {times} what it should be."
    return None


def of_entries(wrong: Sequence[tuple[Mapping, Any, Any]]) -> tuple[str, str] | None:
    """Return the same for the first entry that is wrong in dicts of numbers."""
    if not all(isinstance(n, Mapping) and n.keys() == wrong[0][2].keys() for _, *both in wrong for n in both):
        return None
    for key in wrong[0][2]:
        amiss = [(case, got[key], want[key]) for case, got, want in wrong if not same(got[key], want[key], 0)]
        if amiss:
            known = None if isinstance(amiss[0][2], Mapping) else of_sizes(amiss)
            return known and (known[0], f"In {key!r}: {known[1][:1].lower()}{known[1][1:]}")
    return None


def common(values: Iterator[float]) -> float | None:
    """Return the number that all of several are, or None."""
    first, *others = values
    return first if first and all(same(other, first, 1e-6) for other in others) else None


def whole_number(value: float) -> int:
    """Return a number as a small whole one; 0 if it isn't."""
    return round(value) if abs(value) < MOST + 1 and abs(value - round(value)) < 1e-6 else 0


def product(whole: int, names: tuple[str, ...]) -> str:
    """Return a product as text."""
    return " · ".join([str(whole)] * (whole > 1 or not names) + [f"`{name}`" for name in names])


def where_wrong(cases: Sequence[Mapping], wrong: Sequence[bool]) -> str:
    """Return a sentence on which cases are wrong, told by the arguments; "" where nothing simple tells them apart.

    Of a single case that's right, only what makes it easier counts: all else is so by chance.
    """
    if all(wrong) or len(cases) < 3:
        return ""
    right = [not w for w in wrong]
    every = []
    for about in (traits, comparisons) if len(cases) >= MANY else (traits,):
        found = [dict(about(case)) for case in cases]
        names = {trait: easier for own in found for trait, easier in own.items()}
        every += [(trait, easier, [trait in own for own in found]) for trait, easier in names.items()]
    for trait, easier, has in every:
        if has == wrong or (has == right and (easier or sum(right) > 1)):
            return f"It's {'wrong' if has == wrong else 'right'} whenever {trait}, and only then."
    for trait, _, has in every:
        if sum(has) < len(has) - 1 and all(itertools.compress(has, wrong)):
            return f"It's wrong only where {trait}."
    for trait, _, has in every:
        if sum(has) >= max(2, sum(right) / 2) and all(itertools.compress(right, has)):
            return f"It's right wherever {trait}."
    return "Only the one below is wrong." if sum(wrong) == 1 else ""


def traits(case: Mapping) -> Iterator[tuple[str, bool]]:
    """Go through what can be said about arguments in a few words, and whether it makes a case easier.

    What says most comes first.
    """
    for name in SETTINGS:
        yield from ((f"`{key}` is given", False) for key in case.get(name, ()))
    flat = flattened(case)
    tensors = [name for name, value in flat.items() if isinstance(value, torch.Tensor)]
    for one, other in itertools.combinations(tensors, 2):
        if same(flat[one], flat[other], 0.0):
            yield f"`{one}` and `{other}` are equal", True
    for name, value in flat.items():
        yield from traits_of(name, value)


def comparisons(case: Mapping) -> Iterator[tuple[str, bool]]:
    """Go through how the sizes among arguments compare. In a few cases something is always so by chance."""
    flat = flattened(case)
    whole = {f"`{name}`": size for name, size in flat.items() if type(size) is int}
    lengths = {
        f"axis {axis} of `{name}`": size
        for name, value in flat.items()
        if isinstance(value, torch.Tensor)
        for axis, size in enumerate(value.shape)
    }
    size_of = whole | lengths
    for one, other in [
        *itertools.combinations(whole, 2),
        *itertools.product(whole, lengths),
        *itertools.combinations(lengths, 2),
    ]:
        difference = size_of[one] - size_of[other]
        sign = "larger than" if difference > 0 else "smaller than" if difference else "the same as"
        yield f"{one} is {sign} {other}", True


def flattened(case: Mapping) -> dict[str, Any]:
    """Return the arguments, with the settings among them one by one."""
    flat = {}
    for name, value in case.items():
        flat |= value if name in SETTINGS else {name: value}
    return flat


def traits_of(name: str, value: Any) -> Iterator[tuple[str, bool]]:
    """Go through what can be said about one argument."""
    if isinstance(value, str) and len(value) > SHORT:
        return
    if value is None or isinstance(value, (bool, str)) or (isinstance(value, Number) and value in (0, 1)):
        yield f"`{name}` is {value!r}", True
    elif isinstance(value, (list, tuple)) and len(value) < 2:
        yield f"`{name}` has {len(value) or 'no'} entr{'y' if value else 'ies'}", True
    elif isinstance(value, torch.Tensor):
        for axis, size in enumerate(value.shape):
            if size < 2:
                yield f"axis {axis} of `{name}` has size {size}", True
        yield from ((trait, False) for trait in difficulties(name, value))
        yield f"`{name}` has {value.ndim} {'axis' if value.ndim == 1 else 'axes'}", True


def difficulties(name: str, value: torch.Tensor) -> Iterator[str]:
    """Go through what is unusual about a tensor."""
    if value.dtype not in (torch.float32, torch.int64, torch.bool):
        yield f"`{name}` holds {value.dtype}"
    if value.is_meta:
        yield f"`{name}` is on another device"
    elif not value.is_contiguous():
        yield f"`{name}` isn't contiguous"
    if value.is_floating_point() and value.numel() and not value.is_meta:
        if value.isinf().any():
            yield f"`{name}` has an infinite number"
        if (value.abs() > LARGE).any():
            yield f"`{name}` has numbers beyond {LARGE}"
        if value.ndim and (value.sort(-1).values.diff(dim=-1) == 0).any():
            yield f"two numbers in a row of `{name}` are equal"
        if not value.any():
            yield f"`{name}` is all zeros"
