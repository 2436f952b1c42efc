"""The normalised result of a task: clips in one shape, with the provider's own object beside them."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from tunehook.clips import Clip
from tunehook.providers import fields
from tunehook.providers.outcomes import Completed, CompletedWithoutResults, InlineFile, TaskResult
from tunehook.providers.payload import bounded, json_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

MAX_OBJECT_BYTES = 200_000
MAX_CLIPS_BYTES = 100_000

INTERNAL_FIELDS: Final = frozenset({"user_id", "channel_id", "group", "quota", "username"})
"""What is a gateway's own business in its task object: it is left out of all that tunehook keeps and tells."""

_PUBLIC_PROPERTIES: Final = frozenset({"input"})
"""What stays of a gateway's `properties`."""

_MAX_ID = 128
_MAX_LINE = 500
_MAX_PROMPT = 20_000
_MAX_TEXT_BYTES = 80_000
_MAX_UNUSABLE = 10
_MAX_QUOTED = 80

_AUDIO = ("audio_url", "audioUrl", "song_url", "songUrl", "mp3_url")
_COVER = ("image_url", "imageUrl", "cover_url", "coverUrl")
_LARGE_COVER = ("image_large_url", "imageLargeUrl")
_VIDEO = ("video_url", "videoUrl", "mp4_url")
_TEXT = ("text", "lyrics", "lyric", "content")
_VIDEO_EXTENSIONS = ("mp4", "m4v", "mov", "webm", "mkv")
_IMAGE_EXTENSIONS = ("jpg", "jpeg", "png", "webp", "gif", "avif", "heic")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an answer comes from, as far as that says what its parts mean.

    Parameters
    ----------
    base_url : str
        What its relative links are relative to.
    received_at : datetime or None
        When it came, in UTC.
    """

    base_url: str = ""
    received_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ReadClip:
    """A clip as an answer has it, with what no `Clip` holds.

    Parameters
    ----------
    clip : Clip
        Its id may be empty; `read_result` sees to that.
    files : mapping of str to bytes
        Those of its files that came inside the answer, by type.
    is_settled : bool
        Whether it has its file, or is not expected to get one.
    unusable : tuple of str
        Links that cannot be made URLs: the field, and the beginning of what it holds.
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
    """Read one clip object, in any of the spellings that gateways use.

    Snake case and camel case stand for the same field; Suno-API keeps some fields in an object `metadata`. Of several
    links to its audio the first that is more than a placeholder counts, and one of the others is the fallback.

    Parameters
    ----------
    source : mapping
        The provider's object.
    origin : Origin
    tags_split_at_spaces : bool
        Whether tags without any comma are parted by spaces.
    is_expected : bool
        Whether its own status says that it is still being made.
    """
    metadata = source.get("metadata")
    if isinstance(metadata, dict):
        source = {**metadata, **{name: value for name, value in source.items() if value not in (None, "")}}
    first = fields.first
    base = origin.base_url
    media = [_media_link(entry, base) for entry in _entries(source.get("media_urls"))]
    audio = [fields.link(first(source, *_AUDIO), base), *(url for kind, url in media if kind == "audio")]
    files, streams = _parted(url for url in audio if url is not None)
    audio_source = fields.file_link(first(source, "source_audio_url", "sourceAudioUrl"), base)
    if audio_source is not None and files and fields.is_placeholder(files[0]):
        files = []
    stream = fields.link(first(source, "stream_audio_url", "streamAudioUrl"), base)
    video = fields.link(first(source, *_VIDEO), base)
    inline = {
        name: content
        for name, keys in (
            ("audio", (*_AUDIO, "media_urls")),
            ("cover", _COVER),
            ("large_cover", _LARGE_COVER),
            ("video", _VIDEO),
        )
        if (content := _inline(source, keys)) is not None
    }
    clip = Clip(
        clip_id=fields.text(first(source, "clip_id", "clipId", "id"), _MAX_ID) or "",
        title=fields.text(source.get("title"), _MAX_LINE),
        tags=fields.tags(source.get("tags"), split_at_spaces=tags_split_at_spaces),
        prompt=fields.text(first(source, "prompt", "lyric", "lyrics"), _MAX_PROMPT),
        duration_s=next(
            (
                seconds
                for name in ("duration", "duration_s", "duration_formatted", "durationFormatted")
                if (seconds := fields.duration_s(source.get(name))) is not None
            ),
            None,
        ),
        model=fields.text(first(source, "mv", "model_name", "modelName", "model"), _MAX_LINE),
        created_at=fields.moment(first(source, "create_time", "createTime", "created_at", "createdAt")),
        expires_at=fields.moment(
            first(source, "expire_at", "expireAt", "expires_at", "expiresAt"),
            zoneless_after=origin.received_at,
        ),
        audio_url=files[0] if files else None,
        audio_source_url=audio_source or (files[1] if len(files) > 1 else None),
        cover_url=fields.link(first(source, *_COVER), base),
        cover_source_url=fields.link(first(source, "source_image_url", "sourceImageUrl"), base),
        large_cover_url=fields.link(first(source, *_LARGE_COVER), base),
        video_url=video or next((url for kind, url in media if kind == "video"), None),
        stream_url=stream or (streams[0] if streams else None),
        stream_source_url=fields.link(first(source, "source_stream_audio_url", "sourceStreamAudioUrl"), base),
        inline=tuple(inline),
    )
    is_there = has_file(clip)
    return ReadClip(
        clip=clip,
        files=inline,
        is_settled=is_there or not (is_expected or clip.stream_url or clip.stream_source_url),
        unusable=() if is_there else tuple(_unusable(source, base)),
    )


def read_text(source: Mapping[str, Any], task_id: str) -> ReadClip | None:
    """Read a text that is itself the result, such as lyrics; None where an object holds none.

    An object with a field for audio or video is a clip, whatever texts stand in it.
    """
    if any(name in source for name in (*_AUDIO, *_VIDEO, "media_urls")):
        return None
    text = fields.text(fields.first(source, *_TEXT), _MAX_TEXT_BYTES)
    if text is None:
        return None
    return text_clip(text, task_id, source)


def text_clip(text: str, task_id: str, source: Mapping[str, Any]) -> ReadClip:
    """Return the clip of a text, which goes by the text's id, or else by the task's."""
    bare = read_clip(
        {"id": fields.first(source, "id", "clip_id", "lyrics_id") or task_id, "title": source.get("title")}
    )
    bounded_text = text.encode("utf-8", "replace")[:_MAX_TEXT_BYTES].decode("utf-8", "ignore")
    clip = dataclasses.replace(bare.clip, tags=fields.tags(source.get("tags")), text=bounded_text)
    return ReadClip(clip)


def read_links(links: Iterable[Any], clip_id: str, origin: Origin) -> Iterator[ReadClip]:
    """Yield one clip for each link that stands outside of all clips: `result_url` and `media_urls` of a task."""
    names = {"audio": "audio_url", "video": "video_url", "cover": "cover_url"}
    for entry in links:
        kind, url = _media_link(entry, origin.base_url)
        if url is not None:
            yield read_clip({"id": clip_id, names[kind]: url})
        elif (content := fields.data_file(_address(entry))) is not None:
            bare = read_clip({"id": clip_id}).clip
            yield ReadClip(dataclasses.replace(bare, inline=("audio",)), {"audio": content})


def read_result(
    task: Mapping[str, Any],
    clips: Iterable[ReadClip],
    *,
    submitted_at: Any = None,
    started_at: Any = None,
    finished_at: Any = None,
) -> TaskResult:
    """Put a task's result together and keep it within its bounds.

    Parameters
    ----------
    task : mapping
        The provider's own task object, but for what is its own business and for files inside it; kept whole up to
        `MAX_OBJECT_BYTES`, then with its longest texts cut.
    clips : iterable of ReadClip
        Kept whole up to `MAX_CLIPS_BYTES` together; beyond that prompts and tags go first, then clips from
        the end. A missing or repeated id is made unique, since files are kept under it.
    submitted_at, started_at, finished_at : Any
        As the provider wrote them.
    """
    read = tuple(_with_unique_ids(clips))
    given = tuple(each.clip for each in read)
    kept = tuple(_within(given, MAX_CLIPS_BYTES))
    provider_object, cut = bounded(published(task), MAX_OBJECT_BYTES)
    kept_ids = {clip.clip_id for clip in kept}
    return TaskResult(
        clips=kept,
        submitted_at=fields.moment(submitted_at),
        started_at=fields.moment(started_at),
        finished_at=fields.moment(finished_at),
        provider_object=provider_object,
        truncated=cut or kept != given,
        inline_files=tuple(
            InlineFile(each.clip.clip_id, name, content)
            for each in read
            if each.clip.clip_id in kept_ids
            for name, content in each.files.items()
        ),
        unusable_links=tuple(link for each in read for link in each.unusable)[:_MAX_UNUSABLE],
    )


def completed(result: TaskResult, *, is_streaming: bool = False) -> Completed | CompletedWithoutResults:
    """Return which of the two good ends this is: with a result, or without.

    A clip that is still a stream counts as a result that is coming; a link that is known to stand where there is no
    file does not count.
    """
    if is_streaming or any(has_file(clip) for clip in result.clips):
        return Completed(result, is_streaming=is_streaming)
    return CompletedWithoutResults(result)


def has_file(clip: Clip) -> bool:
    """Return whether a clip has what a task is for: audio, a video, or a text."""
    if clip.text is not None or clip.video_url is not None or {"audio", "video"} & set(clip.inline):
        return True
    links = (clip.audio_url, clip.audio_source_url)
    return any(url is not None and not fields.is_placeholder(url) for url in links)


def published(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a provider's task object without what is its own business, and without files inside it."""
    kept = {name: value for name, value in task.items() if name not in INTERNAL_FIELDS}
    if isinstance(properties := kept.get("properties"), dict):
        kept["properties"] = {name: value for name, value in properties.items() if name in _PUBLIC_PROPERTIES}
    return dict(_without_data(kept))


def _without_data(value: Any) -> Any:
    if isinstance(value, str):
        return None if "data:" in value[:64].lower() and fields.data_file(value) is not None else value
    if isinstance(value, dict):
        return {name: _without_data(each) for name, each in value.items()}
    return [_without_data(each) for each in value] if isinstance(value, list) else value


def _entries(value: Any) -> Sequence[Any]:
    if isinstance(value, list):
        return value
    return () if value in (None, "") else (value,)


def _address(entry: Any) -> Any:
    return fields.first(entry, "url", "src", "href") if isinstance(entry, dict) else entry


def _media_link(entry: Any, base_url: str) -> tuple[str, str | None]:
    """Return which of a clip's files a link of a list leads to, by its type or its name, and the link."""
    url = fields.link(_address(entry), base_url)
    said = (
        fields.text(fields.first(entry, "content_type", "mime_type", "type"), 64)
        if isinstance(entry, dict)
        else None
    )
    said = (said or "").lower()
    extension = urlsplit(url).path.rpartition(".")[2].lower() if url else ""
    if "video" in said or (not said and extension in _VIDEO_EXTENSIONS):
        return "video", url
    if "image" in said or "cover" in said or (not said and extension in _IMAGE_EXTENSIONS):
        return "cover", url
    return "audio", url


def _parted(urls: Iterable[str]) -> tuple[list[str], list[str]]:
    """Part links into those to files, placeholders last, and live streams."""
    found = dict.fromkeys(urls)
    files = [url for url in found if not fields.is_stream(url)]
    return sorted(files, key=fields.is_placeholder), [url for url in found if fields.is_stream(url)]


def _inline(source: Mapping[str, Any], keys: Iterable[str]) -> bytes | None:
    for key in keys:
        for entry in _entries(source.get(key)):
            if (content := fields.data_file(_address(entry))) is not None:
                return content
    return None


def _unusable(source: Mapping[str, Any], base_url: str) -> Iterator[str]:
    for name in (*_AUDIO, "source_audio_url", "sourceAudioUrl", *_VIDEO):
        value = source.get(name)
        if isinstance(value, str) and value.strip() and fields.link(value, base_url) is None:
            yield f"{name}: {value.strip()[:_MAX_QUOTED]}"


def _with_unique_ids(clips: Iterable[ReadClip]) -> Iterable[ReadClip]:
    seen: set[str] = set()
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
