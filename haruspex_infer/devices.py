"""GPUs: how users name them, how many there are, and how much of their memory is free."""

import ctypes
import re
import sys

from haruspex_infer.errors import HaruspexError


def gpu_numbers(device: str) -> tuple[int, ...]:
    """Return the GPUs that a device names: ``cuda``, ``cuda:N`` or ``cuda:N,M``; number 0 for ``auto``.

    Raises
    ------
    HaruspexError
        If there is no such kind of device.
    """
    if device in ("auto", "cpu", "cuda"):
        return (0,)
    match = re.fullmatch(r"cuda:(\d+(?:,\d+)*)", str(device))  # other programs take numbers
    if not match:
        raise HaruspexError(f"There is no device {device!r}: use auto, cpu, cuda, cuda:N or cuda:N,M.")
    return tuple(dict.fromkeys(int(number) for number in match[1].split(",")))


def has_driver() -> bool:
    """Return whether NVIDIA's driver is installed: asking for it costs nothing where it is not."""
    return _driver() is not None


def gpu_count() -> int | None:
    """Return the number of GPUs that this process may use, or None where the driver does not tell."""
    driver, count = _driver(), ctypes.c_int()
    if driver is None or driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return None
    return count.value


def free_gpu_memory(number: int) -> int | None:
    """Return the free bytes of a GPU, or None where the driver does not tell.

    Call it when a session runs there: the driver then has a context already, which takes long to make.
    """
    driver = _driver()
    if driver is None:
        return None
    device, context = ctypes.c_int(), ctypes.c_void_p()
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    try:
        if driver.cuInit(0) or driver.cuDeviceGet(ctypes.byref(device), number):
            return None
        if driver.cuDevicePrimaryCtxRetain(ctypes.byref(context), device):
            return None
        failed = driver.cuCtxPushCurrent_v2(context)
        if not failed:
            failed = driver.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total))
            driver.cuCtxPopCurrent_v2(ctypes.byref(ctypes.c_void_p()))
        driver.cuDevicePrimaryCtxRelease_v2(device)
    except AttributeError:  # a driver without these functions
        return None
    return None if failed else free.value


def _driver() -> ctypes.CDLL | None:
    try:
        return ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
