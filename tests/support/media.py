"""Beginnings of files, as their formats want them."""

MP3 = b"ID3\x04\x00\x00\x00\x00\x00\x00" + b"\x00" * 500
MP3_WITHOUT_TAG = b"\xff\xfb\x90\x64" + b"\x00" * 500
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00" + b"\x00" * 500
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00" * 500
MP4 = b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00isomiso2avc1mp41" + b"\x00" * 500
HTML = b"<!DOCTYPE html><html><body>Forbidden</body></html>"
