"""GPUs that are full or lost, in the words of the runtimes; an engine that says them stands for a GPU."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toys import lump, pointwise_network

from haruspex_infer.devicefaults import first_line, says_gpu_lost, says_no_memory
from haruspex_infer.mapfile import Map, write_map_like

CONV = "[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : Non-zero status code returned while running Conv node. "
CALL = (
    "Name:'/stages.0/Conv' Status Message: /onnxruntime_src/onnxruntime/core/providers/cuda/cuda_call.cc:121 "
    "std::conditional_t<THRW, void, onnxruntime::common::Status> onnxruntime::CudaCall(ERRTYPE, const char*, "
    "const char*, ERRTYPE, const char*, const char*, int) [with ERRTYPE = cudaError; bool THRW = true] "
)
PLACE = (
    " ; GPU=0 ; hostname=node7 ; file=/onnxruntime_src/gpu_data_transfer.cc ; line=73 ; expr=cudaMemcpyAsync"
)
HINT = (
    "\nCUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace "
    "below might be incorrect.\nFor debugging consider passing CUDA_LAUNCH_BLOCKING=1\n"
)

FULL = {
    f"{CONV}{CALL}CUDA failure 2: out of memory{PLACE}": "CUDA failure 2: out of memory",
    f"{CONV}{CALL}CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED{PLACE}": (
        "CUBLAS failure 3: CUBLAS_STATUS_ALLOC_FAILED"
    ),
    f"{CONV}Name:'/fc1/Conv' Status Message: \n/onnxruntime_src/onnxruntime/core/framework/bfc_arena.cc:376 "
    "void* onnxruntime::BFCArena::AllocateRawInternal(size_t, bool, onnxruntime::Stream*, bool, "
    "onnxruntime::WaitNotificationFn) Failed to allocate memory for requested buffer of size 4585490524": (
        "Failed to allocate memory for requested buffer of size 4585490524"
    ),
    "CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED ; GPU=0": (
        "CUDNN failure 4002: CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED"
    ),
    "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which "
    "4 MiB is free.": "CUDA out of memory. Tried to allocate 20.00 MiB",
    "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory: you tried to "
    "allocate 4000 bytes. Error code 12 (Cannot allocate memory)": "[enforce fail at alloc_cpu.cpp:127]",
}
LOST = {
    f"[ONNXRuntimeError] : 1 : FAIL : CUDA failure 719: unspecified launch failure{PLACE}": (
        "CUDA failure 719: unspecified launch failure"
    ),
    f"{CONV}{CALL}CUDA failure 999: unknown error{PLACE}": "CUDA failure 999: unknown error",
    f"{CONV}CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR{PLACE}": (
        "CUDNN failure 4: CUDNN_STATUS_INTERNAL_ERROR"
    ),
    f"CUDA error: uncorrectable ECC error encountered{HINT}": (
        "CUDA error: uncorrectable ECC error encountered"
    ),
    f"CUDA error: unspecified launch failure{HINT}": "CUDA error: unspecified launch failure",
}


@pytest.mark.parametrize("message", FULL)
def test_a_device_that_is_full(message):
    error = RuntimeError(message)
    assert says_no_memory(error)
    assert not says_gpu_lost(error)
    assert first_line(error).startswith(FULL[message])
    assert len(first_line(error)) <= 200


@pytest.mark.parametrize("message", LOST)
def test_a_gpu_that_is_lost(message):
    error = RuntimeError(message)
    assert says_gpu_lost(error)
    assert not says_no_memory(error)
    assert first_line(error) == LOST[message]


def test_other_faults_are_neither():
    error = RuntimeError(
        "[ONNXRuntimeError] : 2 : INVALID_ARGUMENT :\nGot invalid dimensions for input: density"
    )
    assert not says_no_memory(error)
    assert not says_gpu_lost(error)
    assert "\n" not in first_line(error)


# the command, on a GPU that answers one tile and then says MESSAGE; what CUDA does at the end of a process
# that lost its GPU is an abort
COMMAND = """
import atexit, os
from onnxruntime.capi.onnxruntime_pybind11_state import RuntimeException
from haruspex_infer import __main__, engines, session

class Gpu(engines.OnnxRuntimeEngine):
    tiles = 0

    def run(self, tiles, out, last=False):
        Gpu.tiles += 1
        if Gpu.tiles > 1:
            raise RuntimeException(os.environ["MESSAGE"])
        return super().run(tiles, out)

def gpu(model, number, threads, held):
    cpu = engines.onnxruntime_engine(model, "toy", threads)
    return Gpu(cpu._session, "onnxruntime float16", 7.5), ""

session.cuda_engine = gpu
if "lost" in os.environ:
    atexit.register(os.abort)
__main__.main()
"""


def annotate(folder: Path, message: str, environment: dict[str, str]):
    network, density = pointwise_network(folder / "toy.onnx"), lump((96, 96, 96))
    write_map_like(Map.from_array(density, 1.1), density, folder / "map.mrc", "a lump")
    command = [sys.executable, "-c", COMMAND, "map.mrc", "--network", network, "--device", "cuda"]
    return subprocess.run(
        [*command, "--quiet"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env=environment | {"MESSAGE": message},
    )


@pytest.mark.parametrize("message", [next(iter(LOST)), next(iter(FULL))], ids=["lost", "full"])
def test_the_command_ends_with_one_sentence_and_code_2(tmp_path, message):
    lost = message in LOST
    done = annotate(tmp_path, message, os.environ | ({"lost": "yes"} if lost else {}))
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    said = done.stderr.splitlines()
    if lost:
        sentence = (
            "The GPU failed (cuda:0, CUDA failure 719: unspecified launch failure): see with nvidia-smi "
            "whether it is still there, and start again, on another with --device cuda:N or on the CPU with "
            "--device cpu."
        )
    else:
        sentence = (
            "The network ran out of memory on cuda:0 (CUDA failure 2: out of memory); free its memory or use "
            "--device cpu."
        )
    assert said == [f"haruspex-infer: error: {sentence}"]
    assert not list(tmp_path.glob("*_haruspex"))
