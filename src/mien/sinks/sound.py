"""The sound of a film, copied into its annotated version packet by packet."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import chain, islice
from typing import TYPE_CHECKING

from mien.errors import OutputError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_LEAD = 0.1  # seconds before the first picture from which a decoder gets going; MP4 holds them, and players hide them
_TRIED = 8  # packets of each track, about
_SEEK = 5.0  # seconds at the beginning that are rather read than skipped: seeking is not exact in every format


class Sound:
    """The tracks of sound of an original, read along with the pictures and never ahead of them."""

    def __init__(self, original: InputContainer, output: OutputContainer, target: object, begin: float) -> None:
        """Add the tracks to the output, before anything is written to it.

        Args:
            original: read for its sound from here on.
            output: where the tracks go.
            target: the output by its final name, for messages.
            begin: time stamp in the original, in seconds, that becomes 0 in the output.

        Raises:
            OutputError: the format cannot hold the sound.

        """
        self._original, self._output, self._begin = original, output, begin
        self._hides_lead = output.format.name != "matroska"
        self._tracks: dict[int, AudioStream] = {}
        self.codecs: list[str] = []
        for track in original.streams.audio:
            self.codecs.append(track.codec_context.name if track.codec_context else "unknown")
            try:
                copy = output.add_stream_from_template(track)
            except ValueError as error:
                raise self.refused(target) from error
            copy.metadata.update({key: track.metadata[key] for key in ("language", "title") if key in track.metadata})
            copy.disposition = track.disposition
            self._tracks[track.index] = copy
        packets = self._read()
        firsts = list(islice(packets, _TRIED * len(self._tracks)))
        self._try(firsts, target)
        self._packets = chain(firsts, packets)
        self._next: Packet[AudioStream] | None = next(self._packets, None)

    def _try(self, packets: Sequence[Packet[AudioStream]], target: object) -> None:
        """Write the first packets to memory: that a format cannot hold a codec may show only at the end."""
        import av

        try:
            with av.open(io.BytesIO(), "w", format=self._output.format.name) as trial:
                tracks = {t.index: trial.add_stream_from_template(t) for t in self._original.streams.audio}
                for packet in packets:
                    copy = av.Packet(bytes(packet))
                    copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
                    copy.stream = tracks[packet.stream_index]
                    trial.mux_one(copy)
        except (av.error.FFmpegError, ValueError) as error:
            raise self.refused(target) from error

    def refused(self, target: object) -> OutputError:
        """Return the error for a format that cannot hold these tracks."""
        format_name = self._output.format.name
        way_out = "" if format_name == "matroska" else "; .mkv can: name NAME.mkv"
        return OutputError(f"{target}: {format_name} cannot hold its sound ({', '.join(self.codecs)}){way_out}")

    def copy(self, until: float) -> None:
        """Write what begins before `until`, in seconds of the output.

        Raises:
            OSError: it cannot be written.

        """
        while self._next is not None:
            packet = self._next
            time_base = packet.time_base
            assert packet.pts is not None
            if float(packet.pts * time_base) - self._begin >= until:
                return
            shift = round(self._begin / time_base)
            packet.pts -= shift
            packet.dts = packet.pts if packet.dts is None else packet.dts - shift
            packet.stream = self._tracks[packet.stream_index]
            self._output.mux_one(packet)
            self._next = next(self._packets, None)

    def _read(self) -> Iterator[Packet[AudioStream]]:
        """Yield the packets from the beginning on; where the original breaks off, its sound has ended."""
        from av.error import FFmpegError

        if not self._tracks:
            return
        if self._begin > _SEEK:
            with suppress(FFmpegError):
                self._original.seek(round((self._begin - _SEEK / 2) * 1_000_000))
        packets = self._original.demux(self._original.streams.audio)
        while True:
            try:
                packet = next(packets)
            except (FFmpegError, IndexError, StopIteration):  # the second as in `sources.video`
                return
            if packet.pts is None:
                packet.pts = packet.dts
            if packet.size and packet.pts is not None and self._is_wanted(packet, packet.pts):
                yield packet

    def _is_wanted(self, packet: Packet[AudioStream], start: int) -> bool:
        """Return whether a packet belongs to what is shown, or is needed to decode what does."""
        first, last = (float(at * packet.time_base) - self._begin for at in (start, start + (packet.duration or 0)))
        if first >= 0:
            return True
        if self._hides_lead:
            return last >= -_LEAD
        # Matroska would move everything by a time below 0, but for what it calls the delay of a codec
        return start < 0 and last >= 0 and self._original.format.name.startswith("matroska")
