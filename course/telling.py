"""What a learner is told: which mistake it is, what went in, what was expected and what came out."""

import dis
import inspect
import linecache
import re
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from numbers import Number
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

import numpy as np
import torch

import course.exercises
from course.comparing import Raised, kind, same
from course.edits import EditedMistake
from course.exercise import Exercise, Mistake
from course.relations import more_at_an_end, of_shapes, relation
from course.running import Attempt

NOT_YET = "That isn't the right result yet."
LONGEST = 300  # characters of one value
MEANINGS = {
    "Boolean value of Tensor": "A tensor of several numbers is neither true nor false. Did you mean `is not None`, or ~x for `not x`?",
    "only one element tensors": "The functions of math take one number. For a tensor use torch's: torch.tanh, torch.sqrt.",
    r"must be Tensor, not (float|int)": "torch's functions take tensors. For a single number use math: math.sqrt.",
    "before Module.__init__": "A module begins with super().__init__().",
    "must be tuple of ints,but got float|'float' object cannot be interpreted as an integer": (
        "Sizes are whole numbers: divide with //, not with /."
    ),
    "same dtype|expected scalar type": (
        "Both factors of a product need the same dtype: b.to(a.dtype) turns b into that of a."
    ),
    "loading state_dict": "The weights and the model differ in names or shapes. Was it built with the same config?",
    "mat1 and mat2 shapes|expected m1 and m2|size mismatch|Expected size for first two dimensions": (
        "In a @ b the last size of a has to be the size of b before its last. Print both shapes."
    ),
    "size of tensor a": (
        "Shapes are lined up from the last axis on, and a size of 1 fits any. Print both shapes: is an axis missing "
        "in one of them (keepdim=True, or [:, None]), is there one too many (squeeze), or is a slice too long or too short?"
    ),
    "tuple index out of range": (
        "Something is shorter than this place. If it's a shape, an axis is missing: tokens[i] is one text of shape "
        "(T,), tokens[i : i + 1] a batch of one, (1, T)."
    ),
    r"takes from 1 to 0 positional|sort\(\) received an invalid": (
        "With stable=True, sort and argsort take dim by its name: dim=-1."
    ),
    "values to unpack": (
        "There are more or fewer names on the left than values to take apart. A loop over a dict gives only its keys; "
        "over .items() it gives pairs."
    ),
    "expected str instance, bytes found": "To join bytes, use b''.join(...).",
    "unhashable type: 'list'": "A list can't be a key. Make a tuple of it: tuple(...).",
    "self must be a matrix": "One of the two is a vector. A @ B takes any axes; mm takes two matrices.",
    "is invalid for input of size": "The new sizes have to multiply to the number of elements there are.",
    "view size is not compatible": "The axes were moved, so view can't join them. Use reshape or flatten.",
    "Dimension out of range": "Count axes from the end, -1 and -2: how many stand in front isn't always the same.",
    "'NoneType' object|unsupported operand type.*NoneType": (
        "Something here is None: a function without return, or a cache that isn't there."
    ),
    "'(builtin_function_or_)?method' object is not": "It's the method itself, without a call: parentheses are missing.",
    "'math' has no attribute 'ln'": "The natural logarithm is math.log.",
    "Index tensor must have the same number": "gather's index needs as many axes as its tensor: index[..., None].",
    "stack expects each tensor to be equal size": "A slice that runs over the end is cut short without a word.",
    "'from' to be less than 'to'": "randint is left without a number to draw: is its upper bound too small?",
    r"randint\(\) received an invalid": "The size is a tuple: (n,) for n numbers.",
    "element 0 of tensors does not require grad": (
        "backward finds nothing to go back through: that was computed under no_grad, or made into a bare number."
    ),
    "Expected input batch_size": (
        "cross_entropy needs one target for each row of logits: were both cut alike, and passed in this order?"
    ),
    r"(operand type|object of type|must be Tensor, not).*\b(Embedding|Linear|LayerNorm)\b": (
        "A layer is not a tensor. Call it, layer(x), or take its matrix, layer.weight."
    ),
    "modified by an inplace operation": "Training still needs the old numbers: write x = x + y, not x += y.",
}  # pattern in an error's text -> what it means, in a beginner's words; the first that fits counts


def message(exercise: Exercise, mistake: Mistake | EditedMistake, got: Any, want: Any) -> str:
    """Return the message of a mistake, with its fields filled in."""
    if callable(mistake.says):
        return mistake.says(got, want)

    def fill(match: re.Match) -> str:
        name, form = match.groups()
        if name in exercise.fields:
            return format(exercise.fields[name](got, want), form)
        _, *both = first_part(got, want, exercise.tolerance)
        value = both[name == "want"]
        return format(value, form) if form else brief(value)

    names = "|".join(map(re.escape, [*exercise.fields, "got", "want"]))
    return re.sub(rf"\{{({names}):?([^{{}}]*)\}}", fill, mistake.says)


def symptom(
    exercise: Exercise, attempt: Attempt, case: int, want: Any, answer: Callable
) -> tuple[str | None, str]:
    """Return what is wrong with a result at first sight, where no known mistake explains it."""
    result = attempt.results[case]
    if isinstance(result, Raised):
        error = result.error
        if isinstance(error, NotImplementedError) and not error.args:
            return "raises", "It calls something that isn't written yet. Run that exercise's check first."
        if raised_by_the_check(error):
            return "raises", sentence(str(error))
        return "raises", f"It raises {where(error, answer)}"
    if isinstance(want, Raised):
        return "accepts", f"It should raise {type(want.error).__name__} here, but it returned a result."
    whole = result
    if isinstance(want, Mapping):  # the exercise looks at several results: take the first that is wrong
        _, result, want = first_part(result, want, exercise.tolerance)
    it = "It returns" if result is whole else "One of its results is"
    if result is None:
        if attempt.printed:
            return "printed", "It prints its result and returns None. Return the result instead."
        if result is not whole:
            return "nothing", f"{it} None here, but should be {a(want)}."
        return "nothing", f"{it} None here. Does every path through it end in a `return`?"
    stand_in = ((list, tuple), Number, torch.Tensor)  # of each, one type may stand in for another
    alike = any(isinstance(result, like) and isinstance(want, like) for like in stand_in)
    if isinstance(want, bool) != isinstance(result, bool) or (type(result) is not type(want) and not alike):
        should = "should return" if result is whole else "should be"
        return "type", f"{it} {a(result)}, but {should} {a(want)}."
    whose = "Its result" if result is whole else "One of its results"
    known = of_parts(result, want, exercise.tolerance, whose) or of_counts(result, want)
    if known:
        return known
    _, part, of = first_part(result, want, exercise.tolerance)
    if isinstance(of, torch.Tensor) and isinstance(part, torch.Tensor):
        known = of_tensors(part, of, exercise.tolerance)
    else:
        known = not_yet(relation(part, of, exercise.tolerance))
    return known if known[0] else not_yet(relation(result, want, exercise.tolerance))


def not_yet(known: tuple[str, str] | None) -> tuple[str | None, str]:
    """Return an id and a message on a wrong result, with what is known about it."""
    name, says = known or (None, "")
    return name, f"{NOT_YET} {says}".rstrip()


def of_parts(got: Any, want: Any, tolerance: float, whose: str) -> tuple[str, str] | None:
    """Return what is wrong with a dict or a list at first sight: its keys, types, length or order."""
    if isinstance(want, Mapping):
        lacking, surplus = ([k for k in one if k not in other] for one, other in ((want, got), (got, want)))
        if kinds := other_part(surplus, lacking, tolerance):
            return "type", f"In its keys there is {kinds}."
        if lacking:
            return "keys", f"{whose} has no entry for {brief(lacking[0])}."
        if surplus:
            return "keys", f"{whose} has an entry for {brief(surplus[0])}, which shouldn't be there."
        return of_entries(got, want, tolerance)
    if isinstance(want, (list, tuple)):
        if kinds := other_part(got, want, tolerance):
            return "type", f"In its result there is {kinds}."
        if len(got) != len(want):
            entries = "entry" if len(got) == 1 else "entries"
            says = f"{whose} has {len(got)} {entries}, but should have {len(want)}."
            return "length", f"{says} {of_lengths(got, want, tolerance)}".rstrip()
        if sorted(map(repr, got)) == sorted(map(repr, want)):
            return "order", f"{whose} has the right entries, but in another order."
    return None


def of_lengths(got: Sequence, want: Sequence, tolerance: float) -> str:
    """Return what two lists of different lengths have in common, as a sentence; "" for nothing."""
    shorter, longer = sorted((list(got), list(want)), key=len)
    n = len(shorter)
    return more_at_an_end(
        len(got) - len(want), lambda start: n > 0 and same(longer[start : start + n], shorter, tolerance)
    )


def of_entries(got: Mapping, want: Mapping, tolerance: float) -> tuple[str, str] | None:
    """Return how the numbers in two dicts with the same keys are related, or how many entries are wrong."""
    both = [[*part.values()] for part in ({key: got[key] for key in want}, want)]
    wrong = [key for key in want if not same(got[key], want[key], tolerance)]
    if all(isinstance(value, Number) for part in both for value in part):
        known = relation(*both, tolerance)
        if known and known[0] not in ("place", "from-there-on", "up-to-there"):
            return not_yet(known)
    if wrong and len(wrong) < len(want):
        only = f"the one for {brief(wrong[0])} is" if len(wrong) == 1 else f"{len(wrong)} are"
        return "entries", f"Of the {len(want)} entries, {only} wrong."
    return None


def other_part(got: Any, want: Any, tolerance: float) -> str | None:
    """Return what the first part of a wrong type in a list is, and what it should be, if there is one."""
    if all(isinstance(value, (list, tuple)) for value in (got, want)):
        return next(filter(None, (other_part(g, w, tolerance) for g, w in zip(got, want))), None)
    alike = (Number, Mapping, type(want))  # the first two stand in for each other
    if same(got, want, tolerance) or any(isinstance(got, t) and isinstance(want, t) for t in alike):
        return None
    return f"{a(got)} where {a(want)} belongs"


def of_counts(got: Any, want: Any) -> tuple[str, str] | None:
    """Return by what whole factor a large count is wrong, if there is one."""
    if type(want) is int and want > 99 and isinstance(got, Number) and got:
        for factor, says in ((got / want, "{:.0f} times"), (want / got, "1/{:.0f} of")):
            if factor > 1 and factor % 1 == 0:
                return (
                    "factor",
                    f"{NOT_YET} Here it's {says.format(factor)} the right number.",
                )
    return None


def of_tensors(got: torch.Tensor, want: torch.Tensor, tolerance: float) -> tuple[str | None, str]:
    """Return what is wrong with a tensor at first sight."""
    if got.shape != want.shape:
        says = f"Its result has shape {tuple(got.shape)}, but should have {tuple(want.shape)}."
        return "shape", f"{says} {of_shapes(got, want, tolerance)}".rstrip()
    if got.device != want.device:
        return "device", f"Its result is on the device {got.device}, but should be on {want.device}."
    if kind(got) != kind(want):
        return (
            "dtype",
            f"Its result holds {kind(got)} ({got.dtype}), but should hold {kind(want)} ({want.dtype}).",
        )
    if got.is_floating_point() and not got.is_meta and got.isnan().any() and not want.isnan().any():
        return "nan", (
            "There's NaN in its result: somewhere it computes 0/0, 0 · inf or inf - inf, or a row is all -inf."
        )
    if want.is_floating_point() and not got.is_meta:
        gone = want.isneginf()
        rest = [part[~gone].double() for part in (got, want)]
        far_below = gone.any() and not gone.all() and bool((got[gone] < rest[1].min() - 90).all())
        if far_below and got[gone].isfinite().any() and torch.allclose(*rest, equal_nan=True):
            return "finite-instead-of-inf", (
                f"Where -inf belongs, your result has {got[gone].max().item():.4g}. However low it is, "
                "that's not the same: code that uses `isfinite` to see what is left relies on -inf."
            )
    return not_yet(relation(got, want, tolerance))


def a(value: Any) -> str:
    """Return what a value is, with an article."""
    name = {
        "NoneType": "None",
        "Tensor": "a tensor",
        "str": "a string",
        "bytes": "a bytes object",
        "int": "an int",
        "ndarray": "a numpy array",
    }
    kind_of = type(value).__name__
    if type(value).__module__.startswith(course.exercises.__name__):  # a stand-in, whose name says nothing
        return "something that the check passed in"
    return name.get(kind_of, f"{'an' if kind_of[0] in 'aeiouAEIOU' else 'a'} {kind_of}")


def sentence(text: str) -> str:
    """Return a text with a capital letter and a full stop."""
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def where(error: BaseException, answer: Callable) -> str:
    """Return an error in one line, what it means, and the learner's own line that raised it."""
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    says = next((says for pattern, says in MEANINGS.items() if re.search(pattern, str(error))), None)
    text += f"\n    {says}" if says else ""
    own = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == source_file(answer)]
    return f"{text}\n    in {own[-1].name}, line {own[-1].lineno}: {own[-1].line}" if own else text


def raised_by_the_check(error: BaseException) -> bool:
    """Tell whether the exercise itself raised an error, about what it got from the answer."""
    frames = traceback.extract_tb(error.__traceback__)
    folder = Path(course.exercises.__path__[0])
    return (
        bool(frames) and folder in Path(frames[-1].filename).parents and frames[-1].line.startswith("raise")
    )


def source_file(answer: Callable) -> str | None:
    """Return the file (in a notebook: the cell) that an answer was written in."""
    return next((code.co_filename for code in codes(answer)), None)


def codes(answer: Callable) -> Iterator[CodeType]:
    """Go through the code of a function, or of a class's methods."""
    functions = vars(answer).values() if isinstance(answer, type) else [answer]
    for function in functions:
        function = getattr(function, "fget", None) or getattr(function, "__func__", function)
        if isinstance(code := getattr(inspect.unwrap(function), "__code__", None), CodeType):
            yield code


def left_behind(exercise: Exercise, answer: Callable) -> list[str]:
    """Return the names of data that an answer reads and that neither it, its cell nor the chapter's code defines.

    In a notebook an earlier cell may have left such a name behind, so there is no NameError.
    """
    space, given = names_around(answer), names_around(exercise.reference)
    found = []
    pending = list(codes(answer))
    own = "".join(linecache.getlines(pending[0].co_filename)) if pending else ""
    while pending:
        code = pending.pop()
        pending += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
        for instruction in dis.get_instructions(code):
            name = instruction.argval
            if instruction.opname not in ("LOAD_GLOBAL", "LOAD_NAME") or name in found or name in given:
                continue
            if name not in space or re.search(rf"^{name}\b[^=\n]*=(?!=)", own, re.M):
                continue
            if not (callable(space[name]) or isinstance(space[name], ModuleType)):
                found.append(name)
    return found


def names_around(answer: Callable) -> dict:
    """Return the global names that the code of a function or class sees."""
    functions = vars(answer).values() if isinstance(answer, type) else [answer]
    return next((f.__globals__ for f in functions if hasattr(f, "__globals__")), {})


def on_left_behind(exercise: Exercise, answer: Callable) -> str:
    """Return a sentence about names that an answer takes from other cells, or nothing."""
    if not (names := left_behind(exercise, answer)):
        return ""
    one = len(names) == 1
    return (
        f"By the way, your code reads {' and '.join(f'`{name}`' for name in names)}, which "
        f"{'is' if one else 'are'} neither {'an argument' if one else 'arguments'} nor made in it: "
        f"{'it comes' if one else 'they come'} from another cell, with whatever value {'it has' if one else 'they have'} "
        f"there."
    )


def named(exercise: Exercise, attempt: Attempt, case: int) -> dict[str, Any]:
    """Return the arguments of a case by their names."""
    names = exercise.arguments or tuple(inspect.signature(exercise.reference).parameters)
    return dict(zip(names, attempt.arguments[case]))


def table(exercise: Exercise, attempt: Attempt, case: int, want: Any) -> str:
    """Return a small table of one case: what went in, what was expected, what came out."""
    got = attempt.results[case]
    rows = [("with", "\n".join(f"{name} = {brief(v)}" for name, v in named(exercise, attempt, case).items()))]
    if not (isinstance(got, Raised) and not isinstance(want, Raised)):  # else the message has said it
        part, got, want = first_part(got, want, exercise.tolerance)
        rows += [("in", part)] if part else []
        rows += zip(("expected", "got"), side_by_side(want, got))
        if place := first_difference(got, want, exercise.tolerance):
            rows.append(("differs", place))
    return "\n".join(f"{name:>8}  {text}".replace("\n", "\n" + " " * 10) for name, text in rows)


def first_part(got: Any, want: Any, tolerance: float) -> tuple[str, Any, Any]:
    """Return the first part in which two nested results differ: its name, and what it is in either."""
    path = []
    while True:
        if isinstance(want, Mapping) and isinstance(got, Mapping):
            if got.keys() != want.keys():
                got, want = other_entries(got, want, tolerance)
                break
            parts = [(str(key), got[key], want[key]) for key in want]
        elif isinstance(want, (list, tuple)) and isinstance(got, (list, tuple)) and len(got) == len(want):
            parts = [(f"[{i}]", g, w) for i, (g, w) in enumerate(zip(got, want))]
        else:
            break
        if all(isinstance(w, (Number, str)) for _, _, w in parts) and len(parts) < 13 and not path:
            break  # a few plain things read best as a whole
        part = next((part for part in parts if not same(part[1], part[2], tolerance)), None)
        if part is None:
            break
        name, got, want = part
        path.append(name)
    return ", ".join(path), got, want


def other_entries(got: Mapping, want: Mapping, tolerance: float, most: int = 12) -> tuple[Mapping, Mapping]:
    """Return two dicts with other keys; long ones without the entries that they share."""
    if max(len(got), len(want)) <= most:
        return got, want
    keys = [k for k in [*want, *got] if k not in got or k not in want or not same(got[k], want[k], tolerance)]
    keys = list(dict.fromkeys(keys))[:3]
    return {k: got[k] for k in keys if k in got}, {k: want[k] for k in keys if k in want}


def first_difference(got: Any, want: Any, tolerance: float) -> str | None:
    """Return the first place at which two tensors of one shape differ."""
    if not (isinstance(got, torch.Tensor) and isinstance(want, torch.Tensor) and got.shape == want.shape):
        return None
    if want.ndim == 0 or want.is_meta or got.is_meta:
        return None
    close = torch.isclose(got.detach().double(), want.detach().double(), tolerance, tolerance, equal_nan=True)
    if close.all():
        return None
    index = (~close).nonzero()[0].tolist()
    texts = side_by_side(want[tuple(index)], got[tuple(index)])
    more = f" ({int((~close).sum())} of {close.numel()} numbers differ)" if close.numel() > 36 else ""
    return f"first at {index}: expected {texts[0]}, got {texts[1]}{more}"


def side_by_side(want: Any, got: Any) -> tuple[str, str]:
    """Return two different values as texts that differ: cut around the first difference, with digits enough."""
    for digits in (4, 8):
        texts = [brief(value, most=10_000, digits=digits) for value in (want, got)]
        if texts[0] != texts[1]:
            break
    else:
        if isinstance(want, torch.Tensor) and want.numel() > 36:
            return texts[0], texts[1]  # `first_difference` tells them apart
        kinds = [getattr(value, "dtype", type(value).__name__) for value in (want, got)]
        texts = [f"{text} ({of})" if kinds[0] != kinds[1] else text for text, of in zip(texts, kinds)]
    at = next((i for i, (x, y) in enumerate(zip(*texts)) if x != y), min(map(len, texts)))
    start = max(0, at - LONGEST // 2) if max(map(len, texts)) > LONGEST else 0
    return tuple(cut(text, start) for text in texts)


def cut(text: str, start: int = 0, most: int = LONGEST) -> str:
    """Return a piece of a text, with dots where more of it stands."""
    end = start + most
    return ("..." if start else "") + text[start:end] + ("..." if end < len(text) else "")


def brief(value: Any, most: int = LONGEST, digits: int = 4) -> str:
    """Return a value as a short text: large tensors by their shape, floats with 4 digits."""
    if isinstance(value, Raised):
        return cut(f"{type(value.error).__name__}: {value.error}".splitlines()[0], 0, most)
    if isinstance(value, torch.Tensor):
        value = value.detach()
        if value.is_meta:
            return f"a tensor {tuple(value.shape)} on the device meta"
        if value.numel() > 36:
            short = value.dtype in (torch.float16, torch.bfloat16)
            return f"a tensor {tuple(value.shape)}" + f" of {value.dtype}" * short
        if value.is_floating_point():
            with np.printoptions(precision=digits, suppress=digits == 4):
                return str(value.double().numpy()) if value.ndim else f"{value.item():.{digits}g}"
        return str(value.tolist())
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, (list, tuple)):
        text = ", ".join(brief(part, most, digits) for part in value)
        return cut(f"[{text}]" if isinstance(value, list) else f"({text})", 0, most)
    if isinstance(value, torch.nn.Module):
        return type(value).__name__
    if inspect.isfunction(value):
        return f"{value.__name__}: {inspect.getdoc(value) or 'a function'}"
    if isinstance(value, Mapping):
        entries = (f"{key!r}: {' '.join(brief(part, most, digits).split())}" for key, part in value.items())
        return cut("{" + ", ".join(entries) + "}", 0, most)
    return cut(repr(value), 0, most)
