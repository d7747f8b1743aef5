"""What ONNX Runtime, CUDA and PyTorch say when a device fails them, and what it means.

Their errors share no class that would tell; their words do.
"""

import re

_NO_MEMORY = re.compile(
    r"Failed to allocate memory|Available memory of \d+ is smaller than requested|bad_alloc|bad allocation"
    r"|out of memory|ALLOC_FAILED|ALLOCATION_FAILED|not enough memory|can't allocate memory",
    re.IGNORECASE,
)
# the words that matter, out of lines of C++
_TELLING = re.compile(
    r"Failed to allocate memory for requested buffer of size \d+"
    r"|Available memory of \d+ is smaller than requested bytes of \d+"
    r"|CUDA out of memory\. Tried to allocate [\d.]+ \w+"
    r"|CU\w+ failure \d+: [^;\n]*"
    r"|(?:CUDA|cuDNN|NCCL) error: [^;\n]*"
)
_ADVICE = {
    "driver version is insufficient": "update NVIDIA's driver, which is too old",
    "no kernel image": "this installation is for other kinds of GPU",
}
_GPU = re.compile(r"CU\w+ failure \d+|(?:CUDA|cuDNN|NCCL) error")


def first_line(error: BaseException) -> str:
    """Return an error's message in one line, or the failure of a device, with what to do."""
    text = str(error)
    found = _TELLING.search(text)
    said = " ".join((found[0] if found else text).split())[:200].strip()
    return ", ".join([said, *(advice for words, advice in _ADVICE.items() if words in said)])


def says_no_memory(error: BaseException) -> bool:
    """Return whether a runtime failed for lack of memory."""
    return isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)) is not None


def says_gpu_lost(error: BaseException) -> bool:
    """Return whether a GPU failed, other than for lack of memory: nothing more will run on it."""
    return not says_no_memory(error) and _GPU.search(str(error)) is not None
