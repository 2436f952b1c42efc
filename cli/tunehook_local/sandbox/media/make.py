"""Synthesise the media of the sandbox, which are nobody's copyright, with ``ffmpeg`` 5, libmp3lame and libx264."""

from __future__ import annotations

import array
import math
import shlex
import subprocess
import tempfile
import wave
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
RATE = 44_100


class Song(NamedTuple):
    """Four bars of four beats; notes are MIDI numbers, 60 is the middle C."""

    beat_s: float
    chords: list[tuple[int, int, int]]
    melody: list[int]


MORNING = Song(
    beat_s=0.375,
    chords=[(48, 55, 64), (45, 52, 60), (41, 48, 57), (43, 50, 59)],
    melody=[72, 76, 79, 76, 72, 76, 81, 76, 72, 77, 81, 77, 74, 79, 83, 84],
)
EVENING = Song(
    beat_s=0.5,
    chords=[(45, 52, 60), (41, 48, 57), (48, 55, 64), (43, 50, 59)],
    melody=[69, 72, 76, 72, 69, 72, 77, 72, 67, 72, 76, 72, 71, 74, 79, 69],
)


def tone(note: int, seconds: float, loudness: float) -> list[float]:
    """Return one plucked note: four harmonics that die away, the higher the sooner."""
    pitch = 440 * 2 ** ((note - 69) / 12)
    samples = []
    for index in range(int(seconds * RATE)):
        t = index / RATE
        attack = min(1.0, t / 0.01)
        release = min(1.0, (seconds - t) / 0.05)
        wave_sum = sum(
            math.sin(2 * math.pi * pitch * n * t) * math.exp(-n * 2.2 * t) / n for n in (1, 2, 3, 4)
        )
        samples.append(loudness * attack * release * wave_sum)
    return samples


def render(song: Song, path: Path) -> None:
    """Write `song` as a mono WAV file: four beats a chord, one melody note a beat."""
    beat_s, melody = song.beat_s, song.melody
    mix = [0.0] * int(len(melody) * beat_s * RATE)

    def add(samples: list[float], start_s: float) -> None:
        offset = int(start_s * RATE)
        for index, sample in enumerate(samples[: len(mix) - offset]):
            mix[offset + index] += sample

    for beat, note in enumerate(melody):
        add(tone(note, beat_s, 0.35), beat * beat_s)
    for bar, chord in enumerate(song.chords):
        for note in chord:
            add(tone(note, 4 * beat_s, 0.15), bar * 4 * beat_s)
    peak = max(map(abs, mix))
    with wave.open(str(path), "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(RATE)
        out.writeframes(array.array("h", (int(30_000 * sample / peak) for sample in mix)).tobytes())


def ffmpeg(inputs: list[str], options: str, name: str, **tags: str) -> None:
    """Make a file of this folder, without the version and the date that ffmpeg would write into it."""
    metadata = [word for tag, value in tags.items() for word in ("-metadata", f"{tag}={value}")]
    command = ["ffmpeg", "-loglevel", "error", "-y", *inputs, *shlex.split(options), *metadata]
    subprocess.run([*command, "-bitexact", name], check=True, cwd=HERE, stdin=subprocess.DEVNULL)


def make_audio(song: Song, title: str, wav: Path, name: str) -> None:
    """Make an mp3 with ID3v1 and ID3v2 tags; `wav` is kept."""
    render(song, wav)
    options = "-c:a libmp3lame -b:a 64k -id3v2_version 3 -write_id3v1 1"
    ffmpeg(["-i", str(wav)], options, name, title=title, artist="tunehook sandbox", genre="Synthesised")


def make_cover(pixels: int, c0: str, c1: str, name: str) -> None:
    end = pixels - 1
    source = f"gradients=s={pixels}x{pixels}:c0={c0}:c1={c1}:n=2:x0=0:y0=0:x1={end}:y1={end}:d=1:r=1:seed=1"
    options = "-frames:v 1 -vf noise=alls=6:allf=t,vignette=PI/5 -q:v 5"
    ffmpeg(["-f", "lavfi", "-i", source], options, name)


def make_video(wav: Path, name: str) -> None:
    """Make three seconds of H.264 and AAC: a turning gradient, and the beginning of `wav`."""
    source = "gradients=s=320x320:c0=0xf7b733:c1=0x8e54e9:n=2:d=3:r=24:speed=0.02:seed=1"
    picture = "-c:v libx264 -pix_fmt yuv420p -crf 28 -threads 1"
    sound = "-c:a aac -b:a 64k -movflags +faststart"
    ffmpeg(["-f", "lavfi", "-i", source, "-i", str(wav)], f"-t 3 {picture} {sound}", name)


def make_m4a(wav: Path, name: str) -> None:
    """Make a short AAC in an MP4 whose brand does not say that it holds sound alone; hosts serve such files as mp3."""
    ffmpeg(["-i", str(wav)], "-t 0.5 -c:a aac -b:a 32k -f mp4", name)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        morning_wav, evening_wav = Path(folder) / "morning.wav", Path(folder) / "evening.wav"
        make_audio(MORNING, "Sandbox Morning", morning_wav, "morning.mp3")
        make_audio(EVENING, "Sandbox Evening", evening_wav, "evening.mp3")
        make_video(morning_wav, "video.mp4")
        make_m4a(morning_wav, "tone.m4a")
    make_cover(256, "0xf7b733", "0xfc4a1a", "cover-morning.jpeg")
    make_cover(256, "0x243b55", "0x8e54e9", "cover-evening.jpeg")
    make_cover(1024, "0xf7b733", "0x8e54e9", "cover-large.jpeg")


if __name__ == "__main__":
    main()
