"""Checkpoints that have their name only when they are whole, wherever temporary files go."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins.io.torch_io import TorchCheckpointIO

from mien.whole import write_whole


class WholeCheckpoints(TorchCheckpointIO):
    """Writes each beside its name first.

    Lightning's own goes to the system's place for temporary files, where a kill leaves it; and from another file
    system than the run's it is copied to its name, byte by byte.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write a checkpoint in place of the one that is there.

        Raises:
            OutputError: it cannot be written; the one that is there stays.

        """
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_whole(Path(path), content.getvalue())
