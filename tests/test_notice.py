"""NOTICE is true of what is installed: every package that mien brings, and the libraries in them that matter most."""

import ctypes
import importlib.metadata
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from conftest import ROOT

NOTICE = (ROOT / "NOTICE").read_text("utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
COPYLEFT = re.compile(r"GPL|MPL|Mozilla|proprietary", re.IGNORECASE)


def installed_with(requirements: list[str]) -> dict[str, str]:
    """Return the licence of each package that comes with some, as its metadata have it, where it is installed."""
    found: dict[str, str] = {}
    wanted = [Requirement(one) for one in requirements]
    while wanted:
        one = wanted.pop()
        name = re.sub(r"[-_.]+", "-", one.name).lower()
        if name in found or (one.marker and not one.marker.evaluate({"extra": ""})):
            continue
        try:
            metadata = importlib.metadata.metadata(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        kinds = [line for line in metadata.get_all("Classifier", []) if line.startswith("License")]
        found[name] = " ".join([metadata["License-Expression"] or "", (metadata["License"] or "")[:80], *kinds])
        wanted += [Requirement(line) for line in importlib.metadata.requires(name) or []]
    return found


BASE = installed_with(PROJECT["dependencies"])


def test_every_package_that_comes_with_mien_is_named():
    told = NOTICE.partition("What is installed with mien")[2].partition("Extras bring more")[0]
    for name in BASE:
        assert re.search(rf"\b{re.escape(name)}\b", told), name
    assert not [name for name, licence in BASE.items() if COPYLEFT.search(licence)]


@pytest.mark.slow
def test_what_extras_bring_under_other_than_permissive_terms_is_named():
    told = NOTICE.partition("Extras bring more")[2]
    for extra, requirements in PROJECT["optional-dependencies"].items():
        if extra not in ("dev", "docs", "all"):
            for name, licence in installed_with(requirements).items():
                if name not in BASE and COPYLEFT.search(licence) and not name.startswith("nvidia"):
                    assert re.search(rf"{extra}.*\b{re.escape(name)}\b", told), f"{extra}: {name}, {licence}"


def libraries(package: str) -> set[str]:
    """Return the names of the shared libraries in a package's wheel."""
    files = importlib.metadata.files(package) or []
    paths = [Path(str(file.locate())) if hasattr(file, "locate") else Path(str(file)) for file in files]
    return {re.split(r"[-.]", path.name)[0].removeprefix("lib") for path in paths if f"{package}.libs" in str(path)}


@pytest.mark.parametrize("package", ["av", "numpy", "pillow"])
def test_every_library_in_a_wheel_is_named(package):
    there = libraries(package)
    if not there:
        pytest.skip("built without libraries of its own")
    section = NOTICE.partition(f"\n- {package} ")[2].partition("\n- ")[0].lower()
    of_one_project = {
        "avcodec": "ffmpeg", "avdevice": "ffmpeg", "avfilter": "ffmpeg", "avformat": "ffmpeg", "avutil": "ffmpeg",
        "swresample": "ffmpeg", "swscale": "ffmpeg", "asound": "alsa", "mp3lame": "lame", "svtav1enc": "svt-av1",
        "opencore": "opencore-amr", "sharpyuv": "libwebp", "webpmux": "libwebp", "webpdemux": "libwebp",
        "vpl": "libvpl",
        "scipy_openblas64_": "openblas", "openjp2": "openjpeg", "jpeg": "libjpeg-turbo", "lcms2": "little cms",
        "brotlicommon": "brotli", "brotlidec": "brotli", "png16": "libpng", "xcb": "libxcb", "lzma": "liblzma",
    }  # fmt: skip
    for name in there:
        assert of_one_project.get(name.lower(), name.lower()) in section, name


def test_ffmpeg_is_under_the_licence_that_it_states():
    import av

    (path,) = Path(av.__file__).parent.parent.glob("av.libs/libavutil-*")
    library = ctypes.CDLL(str(path))
    library.avutil_license.restype = library.avutil_configuration.restype = ctypes.c_char_p
    assert f'"{library.avutil_license().decode()}"' in NOTICE
    for name in ("x264", "x265"):
        assert f"--enable-lib{name}" in library.avutil_configuration().decode()
