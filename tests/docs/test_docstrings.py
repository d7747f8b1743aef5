"""Docstrings of what others call: each says what it takes and what it gives back, as numpydoc has it."""

import re
from dataclasses import is_dataclass
from functools import reduce
from importlib import import_module
from inspect import getdoc, getmembers, isclass, isroutine
from pathlib import Path

import pytest

import haruspex_infer

validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed").validate

METHOD = Path(__file__).parents[2] / "docs" / "background" / "method.md"

FAULTS = {
    "GL08": "has no docstring",
    "PR01": "leaves out a parameter",
    "PR02": "documents a parameter that is not there",
    "PR03": "has the parameters in another order",
    "RT01": "does not say what it returns",
    "YD01": "does not say what it yields",
}


def public() -> list[str]:
    """What haruspex_infer offers by its own name, with the methods of its classes."""
    names = []
    for name in haruspex_infer.__all__:
        found = getattr(haruspex_infer, name)
        path = f"{found.__module__}.{name}"
        names.append(path)
        if isclass(found):
            # inherited ones too: what users have of a result is spread over two classes
            names += [f"{path}.{key}" for key, _ in getmembers(found, isroutine) if not key.startswith("_")]
    return names


def of_the_method() -> list[str]:
    """The functions and classes that carry out the paper's Methods."""
    text = METHOD.read_text(encoding="utf-8")
    return re.findall(r"\{py:(?:func|class)\}`(?:[^`<]*<)?~?([\w.]+)>?`", text)


def told_otherwise(name: str, fault: str) -> bool:
    """Whether a docstring says what a section would: attributes of a dataclass, or 'Return …' and no more."""
    module, _, rest = name.partition(".")
    module, rest = f"{module}.{rest.split('.')[0]}", rest.split(".")[1:]
    found = reduce(getattr, rest, import_module(module))
    if fault == "PR01" and is_dataclass(found):
        return any("Attributes\n----------" in (getdoc(one) or "") for one in found.__mro__)
    return fault == "RT01" and (getdoc(found) or "").startswith("Return ")


@pytest.mark.parametrize("name", sorted({*public(), *of_the_method()}))
def test_a_docstring_says_it_all(name):
    errors = {code: message for code, message in validate(name)["errors"] if code in FAULTS}
    told = [f"{name} {FAULTS[code]}: {errors[code]}" for code in errors if not told_otherwise(name, code)]
    assert not told, "\n".join(told)
