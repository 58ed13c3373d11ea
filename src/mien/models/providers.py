"""What networks are computed on: the processor, or an accelerator for which onnxruntime has a provider."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mien.errors import UsageError

_INSTEAD = "pip uninstall onnxruntime, and then pip install"  # both have the same files: what comes last wins


@dataclass(frozen=True, slots=True)
class Device:
    """Something to compute on.

    Attributes:
        name: by which it is asked for.
        what: it is, in words.
        provider: onnxruntime's name for what computes there.
        advice: how to get it.
        options: for onnxruntime's provider.
        one_at_a_time: onnxruntime's provider does not take a second run of a network before the first is done.

    """

    name: str
    what: str
    provider: str
    advice: str
    options: Mapping[str, str] = field(default_factory=dict)
    one_at_a_time: bool = False


CPU = Device("cpu", "the processor", "CPUExecutionProvider", "pip install onnxruntime")

DEVICES = (
    Device(
        "cuda",
        "an NVIDIA GPU",
        "CUDAExecutionProvider",
        f"{_INSTEAD} 'onnxruntime-gpu[cuda,cudnn]', with NVIDIA's driver on the machine",
        # Pictures differ in size: an exhaustive search for each would cost more than it brings. And the answers are
        # to be those of the processor, which TensorFloat's ten bits are not.
        {"cudnn_conv_algo_search": "HEURISTIC", "use_tf32": "0"},
    ),
    Device(
        "directml",
        "a GPU by DirectML",
        "DmlExecutionProvider",
        f"on Windows, {_INSTEAD} onnxruntime-directml",
        one_at_a_time=True,
    ),
    Device("coreml", "Apple's CoreML", "CoreMLExecutionProvider", "on a Mac, pip install onnxruntime has it"),
    Device(
        "openvino",
        "Intel's OpenVINO",
        "OpenVINOExecutionProvider",
        f"{_INSTEAD} onnxruntime-openvino",
    ),
    CPU,
)
"""In the order in which `auto` takes what works."""

AUTO = "auto"
NAMES = (AUTO, "cpu", *(device.name for device in DEVICES if device is not CPU))


def there(offered: Sequence[str]) -> list[Device]:
    """Return the devices of the providers that onnxruntime offers."""
    return [device for device in DEVICES if device.provider in offered]


def choose(name: str, offered: Sequence[str], *, works: Callable[[Device], bool]) -> Device:
    """Return the device that is asked for.

    Args:
        name: one of `NAMES`; `auto` is the first that works.
        offered: onnxruntime's providers here.
        works: tries whether a device does; `auto` asks it of all but the processor.

    Raises:
        UsageError: there is no such device, or onnxruntime does not offer it here.

    """
    if name == AUTO:
        return next((device for device in there(offered) if device is not CPU and works(device)), CPU)
    wanted = next((device for device in DEVICES if device.name == name), None)
    if wanted is None:
        raise UsageError(f"there is no device {name!r}: choose one of {', '.join(NAMES)}")
    if wanted.provider not in offered:
        raise UsageError(
            f"--device {name} (device=): onnxruntime cannot compute on {wanted.what} here; "
            f"{_rest(offered)}. To have it: {wanted.advice}"
        )
    return wanted


def check(device: Device, taken: Sequence[str], offered: Sequence[str]) -> None:
    """Check that onnxruntime has taken the device, which it leaves out in silence where a library is missing.

    Args:
        device: that was asked for.
        taken: the providers of the session.
        offered: onnxruntime's providers here.

    Raises:
        UsageError: it has not.

    """
    if device.provider not in taken:
        raise UsageError(
            f"--device {device.name} (device=): onnxruntime is made for {device.what}, but could not start there: a "
            f"driver or library is missing, or of another version; {_rest(offered, device)}. "
            f"To have it: {device.advice}"
        )


def _rest(offered: Sequence[str], failed: Device | None = None) -> str:
    names = [device.name for device in there(offered) if device is not failed]
    return f"what there is: {', '.join(names)}"
