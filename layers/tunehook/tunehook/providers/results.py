"""The normalised result of a task: clips in one shape, with the provider's own object beside them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from itertools import islice, zip_longest
from typing import Any, Final
from urllib.parse import urlsplit

from tunehook.clips import Clip
from tunehook.providers import coerce
from tunehook.providers.outcomes import Completed, CompletedWithoutResults, InlineFile, TaskResult
from tunehook.providers.payload import UnreadablePayloadError, bounded, json_size, parse

MAX_OBJECT_BYTES = 200_000
MAX_CLIPS_BYTES = 100_000

INTERNAL_FIELDS: Final = frozenset({"user_id", "channel_id", "group", "quota", "username"})
"""A gateway's own business in its task object: left out of all that tunehook keeps and emits."""

_PUBLIC_PROPERTIES: Final = frozenset({"input"})
_MAX_ID = 128
_MAX_LINE = 500
_MAX_PROMPT = 20_000
_MAX_TEXT_BYTES = 80_000
_MAX_UNUSABLE = 10
_MAX_QUOTED = 80

# The commonest first.
_AUDIO = coerce.names(
    "audio_url audioUrl song_url songUrl song_path songPath mp3_url mp3Url audio sound_url soundUrl music_url musicUrl"
    " audio_file audioFile wav_url wavUrl audio_wav_url audioWavUrl"
)
# Their ending says what they are; they count where there is no other.
_ANY_FILE = coerce.names("file_url fileUrl download_url downloadUrl play_url playUrl url")
_SOURCE_AUDIO = ("source_audio_url", "sourceAudioUrl")
_COVER = ("image_url", "imageUrl", "cover_url", "coverUrl", "image_path", "imagePath")
_SOURCE_COVER = ("source_image_url", "sourceImageUrl")
_LARGE_COVER = ("image_large_url", "imageLargeUrl")
_VIDEO = ("video_url", "videoUrl", "mp4_url", "mp4Url", "video")
_PLAYABLE = (*_AUDIO, *_SOURCE_AUDIO, *_VIDEO)
# Where each of a clip's files may be as a ``data:`` URI.
_INLINE = {
    "audio": (*_AUDIO, *_SOURCE_AUDIO, "media_urls"),
    "cover": (*_COVER, *_SOURCE_COVER),
    "large_cover": _LARGE_COVER,
    "video": _VIDEO,
}
_OUTSIDE = {"audio": "audio_url", "video": "video_url", "cover": "image_url"}
_TEXT = ("text", "lyrics", "lyric", "content")
_DURATION = coerce.names(
    "duration duration_s duration_seconds durationSeconds duration_formatted durationFormatted audio_length audioLength"
)
_SECRETS = frozenset({"secret", "webhook_secret"})
_AUDIO_EXTENSIONS = ("mp3", "m4a", "wav", "flac", "ogg", "opus", "aac", "aiff", "weba")
_VIDEO_EXTENSIONS = ("mp4", "m4v", "mov", "webm", "mkv")
_IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "avif", "heic")
_MORE_IMAGES = ("svg", "bmp", "tif", "tiff", "jxl", "ico")
_OUTPUT_LINKS = ("image_url", "audio_url", "video_url", "file_url")

OUTPUT_TYPES: Final = ("image", "audio", "video", "file")
"""What an output may be (`Clip.is_output`)."""


@dataclass(frozen=True, slots=True)
class Origin:
    """What an answer's relative links are relative to, and when it came, in UTC."""

    base_url: str = ""
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadClip:
    """A clip as an answer has it (its id may be empty), and the files that came inside the answer, by type.

    It is settled when it has its file, or is not expected to get one. `unusable` is as in `TaskResult.unusable_links`.
    """

    clip: Clip
    files: Mapping[str, bytes] = field(default_factory=dict)
    is_settled: bool = True
    unusable: tuple[str, ...] = ()


def read_clip(
    source: Mapping[str, Any],
    origin: Origin = Origin(),
    *,
    tags_split_at_spaces: bool = False,
    is_expected: bool = False,
) -> ReadClip:
    """Read one clip object of a provider, in any of the spellings that gateways use.

    Suno-API keeps some fields in an object `metadata`. Of several links to its audio the first that is more than a
    placeholder counts, and one of the others is the fallback. `is_expected` is whether it is still being made.
    """
    metadata = source.get("metadata")
    if isinstance(metadata, dict):
        source = {**metadata, **{name: value for name, value in source.items() if value not in (None, "")}}
    base = origin.base_url
    first = partial(coerce.first, source)

    def link(*names: str) -> str | None:
        return coerce.link(first(*names), base)

    media = [_media_link(entry, base) for entry in entries(source.get("media_urls"))]
    if not any(name in source for name in _PLAYABLE):
        media += [_media_link(source[name], base) for name in _ANY_FILE if is_media(source.get(name), base)]
    named = (coerce.link(source[name], base) for name in _AUDIO if source.get(name) not in (None, ""))
    audio = dict.fromkeys((*named, *(url for kind, url in media if kind == "audio")))
    urls = [url for url in audio if url is not None]
    streams = [url for url in urls if coerce.is_stream(url)]
    files = sorted((url for url in urls if not coerce.is_stream(url)), key=coerce.is_placeholder)
    audio_source = coerce.file_link(first(*_SOURCE_AUDIO), base)
    if audio_source is not None and files and coerce.is_placeholder(files[0]):
        files = []
    videos = [coerce.link(source.get(name), base) for name in _VIDEO]
    videos += [url for kind, url in media if kind == "video"]
    contents = {name: _inline(source, keys) for name, keys in _INLINE.items()}
    inline = {name: content for name, content in contents.items() if content is not None}
    clip = Clip(
        clip_id=coerce.text(first("clip_id", "clipId", "id"), _MAX_ID) or "",
        title=coerce.text(first("title", "song_name", "songName"), _MAX_LINE),
        tags=coerce.tags(source.get("tags"), split_at_spaces=tags_split_at_spaces),
        prompt=coerce.text(first("prompt", "lyric", "lyrics"), _MAX_PROMPT),
        duration_s=_duration_s(source),
        model=coerce.text(first("mv", "model_name", "modelName", "model"), _MAX_LINE),
        created_at=coerce.moment(first("create_time", "createTime", "created_at", "createdAt")),
        expires_at=coerce.moment(
            first("expire_at", "expireAt", "expires_at", "expiresAt"), zoneless_after=origin.received_at
        ),
        audio_url=files[0] if files else None,
        audio_source_url=audio_source or (files[1] if len(files) > 1 else None),
        cover_url=link(*_COVER),
        cover_source_url=link(*_SOURCE_COVER),
        large_cover_url=link(*_LARGE_COVER),
        video_url=next((url for url in videos if url is not None), None),
        stream_url=link("stream_audio_url", "streamAudioUrl") or (streams[0] if streams else None),
        stream_source_url=link("source_stream_audio_url", "sourceStreamAudioUrl"),
        inline=tuple(inline),
    )
    is_settled = has_audio(clip) or not (is_expected or clip.stream_url or clip.stream_source_url)
    return ReadClip(clip, inline, is_settled, () if has_file(clip) else tuple(_unusable(source, base)))


def read_text(source: Mapping[str, Any], task_id: str, *, is_wanted: bool | None = None) -> ReadClip | None:
    """Read a text that is itself the result, such as lyrics; None where an object holds none.

    An object with a link to audio or video is a clip, whatever texts it has; so is one whose links are empty so far,
    unless its task is one for texts (`is_wanted`; None where it does not say).
    """
    links = [source[name] for name in (*_PLAYABLE, "media_urls") if name in source]
    if any(each not in (None, "", [], {}) for each in links):
        return None
    if links and not is_wanted:
        names: tuple[str, ...] = () if is_wanted is False else ("text",)
    else:
        names = (*_TEXT, "prompt") if is_wanted else _TEXT
    value = coerce.first(source, *names)
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        value = "\n".join(value)
    text = coerce.text(value, _MAX_TEXT_BYTES)
    return None if text is None else text_clip(text, task_id, source)


def text_clip(text: str, task_id: str, source: Mapping[str, Any]) -> ReadClip:
    clip_id = coerce.first(source, "id", "clip_id", "lyrics_id") or task_id
    bare = read_clip({"id": clip_id, "title": source.get("title")}).clip
    encoded = coerce.without_data(text).encode("utf-8", "replace")[:_MAX_TEXT_BYTES]
    tags = coerce.tags(source.get("tags"))
    return ReadClip(dataclasses.replace(bare, tags=tags, text=encoded.decode("utf-8", "ignore")))


def read_links(links: Iterable[Any], clip_id: str, origin: Origin) -> list[ReadClip]:
    """Return the clips of a task's links outside of all clips: one an audio file, or a video where there is no audio.

    Videos and covers belong to the audio files in their order.
    """
    urls: dict[str, dict[str, None]] = {kind: {} for kind in _OUTSIDE}
    files: dict[str, dict[bytes, None]] = {kind: {} for kind in _OUTSIDE}
    for entry in links:
        kind, url = _media_link(entry, origin.base_url)
        if url is not None:
            urls[kind][url] = None
        elif (content := coerce.data_file(entry)) is not None:
            files[kind][content] = None
    videos = 0 if urls["audio"] else len(urls["video"])
    count = max(len(urls["audio"]), len(files["audio"]), videos, 1)
    rows: Iterable[tuple[Any, ...]] = zip_longest(*urls.values(), *files.values())
    read: list[ReadClip] = []
    for row in islice(rows, count):
        source = dict(zip(_OUTSIDE.values(), row, strict=False))
        inside = {kind: each for kind, each in zip(files, row[len(urls) :], strict=True) if each is not None}
        clip = read_clip({"id": clip_id, **source})
        with_files = dataclasses.replace(clip.clip, inline=tuple(inside))
        read.append(ReadClip(with_files, inside, clip.is_settled))
    return read


def read_output(value: Any, clip_id: str, type: Any = None, origin: Origin = Origin()) -> ReadClip:  # noqa: A002
    """Return the clip of one output of a task: a link, an object with one, or a ``data:`` URI of any type.

    `type` is what the provider calls it: ``image``, ``audio``, ``video``, ``file``, a media type, or an ending. Without
    it, or where it says none of these, the object's own type counts, then that of the ``data:`` URI, then the link's
    ending, and else the output is a ``file``. Where there is no usable link, `ReadClip.unusable` says so.
    """
    url = coerce.link(value, origin.base_url)
    kind = _output_type(type)
    if kind is None and isinstance(value, dict):
        kind = _output_type(coerce.first(value, "content_type", "mime_type", "type"))
    kind = kind or _output_type(coerce.data_type(value)) or _output_type(_extension(url)) or "file"
    bare = dataclasses.replace(read_clip({"id": clip_id}).clip, is_output=True)
    if url is not None:
        field_name = "stream_url" if kind == "audio" and coerce.is_stream(url) else f"{kind}_url"
        links: dict[str, Any] = {field_name: url}
        return ReadClip(dataclasses.replace(bare, **links))
    if (content := coerce.data_file(value, of_any_type=True)) is not None:
        return ReadClip(dataclasses.replace(bare, inline=(kind,)), {kind: content})
    said = coerce.address(value)
    is_named = isinstance(said, str) and said.strip()
    return ReadClip(bare, unusable=(f"output: {quoted(said)}",) if is_named else ())


def _output_type(named: Any) -> str | None:
    """Return which type of output a word, a media type or a file's ending means; None where it means none."""
    word = (coerce.text(named, 64) or "").lower()
    family = word.partition("/")[0]
    if family in OUTPUT_TYPES:
        return family
    by_ending = {
        "image": (*_IMAGE_EXTENSIONS, *_MORE_IMAGES),
        "audio": _AUDIO_EXTENSIONS,
        "video": _VIDEO_EXTENSIONS,
    }
    return next((kind for kind, extensions in by_ending.items() if word in extensions), None)


def with_files_of(clip: ReadClip, other: ReadClip) -> ReadClip:
    """Return a clip that has no file, with those of another."""
    links = ("audio_url", "video_url", "cover_url", "stream_url")
    given = {name: url for name in links if (url := getattr(other.clip, name)) is not None}
    merged = dataclasses.replace(clip.clip, **given, inline=other.clip.inline or clip.clip.inline)
    settled = has_audio(merged) or (clip.is_settled and other.is_settled)
    return ReadClip(merged, {**clip.files, **other.files}, settled, () if has_file(merged) else clip.unusable)


def read_result(
    task: Mapping[str, Any],
    clips: Iterable[ReadClip],
    *,
    submitted_at: Any = None,
    started_at: Any = None,
    finished_at: Any = None,
    unusable: Sequence[str] = (),
) -> TaskResult:
    """Build a task's result within its bounds; the times are as the provider wrote them.

    Beyond `MAX_OBJECT_BYTES` the longest texts of the task object are cut. Beyond `MAX_CLIPS_BYTES` prompts and tags go
    first, then clips from the end. A missing or repeated id is made unique, since files are kept under it.
    """
    read = tuple(_with_unique_ids(clips))
    given = tuple(each.clip for each in read)
    kept = tuple(_within(given, MAX_CLIPS_BYTES))
    provider_object, cut = bounded(published(task), MAX_OBJECT_BYTES)
    kept_ids = {clip.clip_id for clip in kept}
    files = (
        InlineFile(each.clip.clip_id, name, content)
        for each in read
        if each.clip.clip_id in kept_ids
        for name, content in each.files.items()
    )
    return TaskResult(
        clips=kept,
        submitted_at=coerce.moment(submitted_at),
        started_at=coerce.moment(started_at),
        finished_at=coerce.moment(finished_at),
        provider_object=provider_object,
        truncated=cut or kept != given,
        inline_files=tuple(files),
        unusable_links=(*(link for each in read for link in each.unusable), *unusable)[:_MAX_UNUSABLE],
    )


def completed(
    result: TaskResult, *, is_streaming: bool = False, reason: str = ""
) -> Completed | CompletedWithoutResults:
    """Return which of the two good ends this is; a clip that is still a stream is a result that is coming."""
    if is_streaming or any(has_file(clip) for clip in result.clips):
        return Completed(result, is_streaming=is_streaming)
    return CompletedWithoutResults(result, reason)


def has_file(clip: Clip) -> bool:
    """Return whether a clip has what a task is for: audio, a video, or a text; an output has a file of any type."""
    if clip.is_output:
        urls = (getattr(clip, name) for name in _OUTPUT_LINKS)
        return bool(clip.inline) or any(url is not None and not coerce.is_placeholder(url) for url in urls)
    return has_audio(clip) or clip.text is not None or clip.video_url is not None or "video" in clip.inline


def has_audio(clip: Clip) -> bool:
    """Return whether a clip has audio; a link that is known to stand where there is no file does not count."""
    urls = (clip.audio_url, clip.audio_source_url)
    return "audio" in clip.inline or any(url is not None and not coerce.is_placeholder(url) for url in urls)


def stream_link(clip: Clip) -> str | None:
    """Return the link by which a clip can be streamed, if there is one."""
    return clip.stream_url or clip.stream_source_url


def file_link(clip: Clip) -> str | None:
    """Return the link to the file that a clip is for; one that is known to stand where there is no file is none."""
    urls = (clip.audio_url, clip.audio_source_url, clip.video_url, clip.image_url, clip.file_url)
    return next((url for url in urls if url is not None and not coerce.is_placeholder(url)), None)


def percentage(task: Mapping[str, Any]) -> int | None:
    """Return how far a provider's task object says that the task is, in whole per cent; None if it does not say.

    A fraction below 1 may be of 1 or of 100, and says nothing.
    """
    said = task.get("progress")
    number = coerce.number(said.strip().removesuffix("%") if isinstance(said, str) else said)
    if number is None or not 0 <= number <= 100 or 0 < number < 1:
        return None
    return int(number)


def published(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provider's task object without its internal fields, and without files inside it."""
    kept = {name: value for name, value in task.items() if name not in INTERNAL_FIELDS}
    if isinstance(properties := kept.get("properties"), dict):
        kept["properties"] = {name: value for name, value in properties.items() if name in _PUBLIC_PROPERTIES}
    return dict(_without_data(kept))


def _without_data(value: Any) -> Any:
    if isinstance(value, str):
        return None if coerce.is_data(value) else coerce.without_data(value)
    if isinstance(value, dict):
        return {name: _without_data(each) for name, each in value.items() if name not in _SECRETS}
    return [_without_data(each) for each in value] if isinstance(value, list) else value


def entries(value: Any) -> Sequence[Any]:
    """Return the links in a list, or in an object by what they are, or in the JSON of either; or one link alone."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        value = unwrapped(value)
    if isinstance(value, dict) and coerce.address(value) is None:
        return [{"url": each, "type": name} for name, each in value.items() if isinstance(each, str) and each]
    if isinstance(value, list):
        return value
    return () if value in (None, "") else (value,)


def unwrapped(value: Any) -> Any:
    """Return what a text holds as JSON, once or twice encoded; anything else as it is."""
    for _ in range(2):
        if not isinstance(value, str) or not value.strip():
            break
        try:
            value = parse(value.encode("utf-8", "replace"))
        except UnreadablePayloadError:
            break
    return value


def _duration_s(source: Mapping[str, Any]) -> float | None:
    for name in _DURATION:
        if (seconds := coerce.duration_s(source.get(name))) is not None:
            return seconds
    milliseconds = coerce.number(coerce.first(source, "duration_ms", "durationMs"))
    return None if milliseconds is None else coerce.duration_s(milliseconds / 1000)


def _media_link(entry: Any, base_url: str) -> tuple[str, str | None]:
    """Return which of a clip's files a link leads to, by its type or its ending, and the link."""
    url = coerce.link(entry, base_url)
    named = coerce.first(entry, "content_type", "mime_type", "type") if isinstance(entry, dict) else None
    kind = (coerce.text(named, 64) or coerce.data_type(entry)).lower()
    extension = "" if kind else _extension(url)
    if "video" in kind or kind == "mp4" or extension in _VIDEO_EXTENSIONS:
        return "video", url
    if any(part in kind for part in ("image", "cover", "thumb")) or extension in _IMAGE_EXTENSIONS:
        return "cover", url
    return "audio", url


def is_media(value: Any, base_url: str = "") -> bool:
    return _extension(coerce.link(value, base_url)) in (*_AUDIO_EXTENSIONS, *_VIDEO_EXTENSIONS)


def _extension(url: str | None) -> str:
    return urlsplit(url).path.rpartition(".")[2].lower() if url else ""


def is_message(entry: Any) -> bool:
    """Return whether a text is more than a link: `result_url` holds a failure's message on failed tasks."""
    if not isinstance(entry, str):
        return False
    entry = entry.strip()
    return len(entry.split()) > 1 and coerce.link(entry) is None and not coerce.is_data(entry)


def quoted(value: Any) -> str:
    """Return the beginning of what cannot be made a link; never what a ``data:`` URI holds."""
    value = "data: (not a file that can be read)" if coerce.is_data(value := coerce.address(value)) else value
    return coerce.without_data(str(value).strip())[:_MAX_QUOTED]


def _inline(source: Mapping[str, Any], keys: Iterable[str]) -> bytes | None:
    contents = (coerce.data_file(entry) for key in keys for entry in entries(source.get(key)))
    return next((content for content in contents if content is not None), None)


def _unusable(source: Mapping[str, Any], base_url: str) -> Iterator[str]:
    for name in (*_PLAYABLE, "media_urls"):
        for entry in entries(source.get(name)):
            value = coerce.address(entry)
            if isinstance(value, str) and value.strip() and coerce.link(value, base_url) is None:
                yield f"{name}: {quoted(value)}"


def _with_unique_ids(clips: Iterable[ReadClip]) -> Iterable[ReadClip]:
    seen = set[str]()
    for position, each in enumerate(clips, start=1):
        clip_id = each.clip.clip_id or f"clip-{position}"
        while clip_id in seen:
            clip_id = f"{clip_id}-{position}"
        seen.add(clip_id)
        yield dataclasses.replace(each, clip=dataclasses.replace(each.clip, clip_id=clip_id))


def _within(clips: Iterable[Clip], limit: int) -> Iterable[Clip]:
    left = limit
    for clip in clips:
        for candidate in (clip, dataclasses.replace(clip, prompt=None, tags=())):
            size = json_size({name: str(value) for name, value in dataclasses.asdict(candidate).items()})
            if size <= left:
                left -= size
                yield candidate
                break
