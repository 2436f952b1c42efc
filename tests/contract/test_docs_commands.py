"""Every command that README.md, docs/ and the console show is there with its options, be it of ours, `aws` or `sam`."""

from __future__ import annotations

import functools
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any, NamedTuple

import botocore.session
import pytest
import typer
from botocore import xform_name
from tests.support.template import ROOT

from tunehook_local.main import app, load_command

PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
CONSOLE = ROOT / "cli" / "tunehook_cli" / "console" / "templates"
MAKEFILE = (ROOT / "Makefile").read_text()
SAM = ROOT / ".tunehook" / "tools" / "sam" / "bin" / "sam"

OF_EVERY_AWS_COMMAND = {"query", "output", "region", "profile"}
OF_THE_CLI_ALONE = {("s3", "rb"): {"force"}}
"""Commands of the AWS CLI that are no operations of a service, and their options."""


class Shown(NamedTuple):
    """A command of a page: whole where it stands in a block of shell, perhaps a mention of it in the text."""

    page: str
    words: tuple[str, ...]
    whole: bool

    def __str__(self) -> str:
        return f"{self.page}: {' '.join(self.words)}"


def blocks(text: str) -> Iterator[str]:
    """Yield the lines of all blocks of shell, each with what goes on in the next."""
    for block in re.findall(r"^ *```sh\n(.*?)^ *```$", text, re.MULTILINE | re.DOTALL):
        open_quote = ""
        for line in re.sub(r"\\\n|(?<=\|)\n", " ", block).splitlines():
            whole = open_quote + line
            open_quote = "" if is_closed(whole) else f"{whole}\n"
            if not open_quote:
                yield whole
        assert not open_quote, f"a quote is not closed: {open_quote}"


def lexer_of(line: str) -> shlex.shlex:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return lexer


def is_closed(line: str) -> bool:
    try:
        list(lexer_of(line))
    except ValueError:
        return False
    return True


def split(line: str) -> Iterator[tuple[str, ...]]:
    """Yield the simple commands of a line of shell, those in substitutions too."""
    words: list[str] = []
    for token in [*lexer_of(line), ";"]:
        if set(token) <= set("();<>|&"):
            if words:
                yield tuple(words)
            words = []
            continue
        for inner in re.findall(r"\$\((.*)\)", token):
            yield from split(inner)
        if words or "=" not in token or token.startswith("-"):
            words.append(token.removeprefix(".venv/bin/") if not words else token)


def shown() -> Iterator[Shown]:
    for path in PAGES:
        page, text = str(path.relative_to(ROOT)), path.read_text()
        for line in blocks(text):
            for words in split(line):
                yield Shown(page, words, whole=True)
        outside = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
        for code in re.findall(r"`([^`\n]+)`", outside):
            if re.match(r"(tunehook|make|aws|sam|python -m) ", code):
                yield from (Shown(page, words, whole=False) for words in split(code))
    for path in sorted(CONSOLE.glob("*.html")):
        for code in re.findall(r"<code>(tunehook [^<]+)</code>", path.read_text()):
            line = re.sub(r"\{\{.*?\}\}", "VALUE", code)
            yield from (Shown(str(path.relative_to(ROOT)), words, whole=True) for words in split(line))


ALL = list(dict.fromkeys(shown()))


def of(*start: str) -> list[Shown]:
    return [each for each in ALL if each.words[: len(start)] == start and len(each.words) > len(start)]


def test_the_pages_show_commands_of_every_kind() -> None:
    assert len(of("tunehook")) > 40
    assert {each.page for each in of("tunehook")} >= {"README.md", "docs/deploying.md", "docs/webhooks.md"}
    assert sum(each.page.startswith(str(CONSOLE.relative_to(ROOT))) for each in of("tunehook")) > 6
    assert all(of(*start) for start in (("make",), ("aws",), ("sam",), ("python", "-m")))


def test_a_line_of_shell_is_taken_apart() -> None:
    line = """X=$(aws a b --c 'd e') && eval "$(.venv/bin/tunehook local env)" | tunehook watch "$T"  # tunehook x"""
    assert list(split(line)) == [
        ("aws", "a", "b", "--c", "d e"),
        ("tunehook", "local", "env"),
        ("eval", "$(.venv/bin/tunehook local env)"),
        ("tunehook", "watch", "$T"),
    ]


@pytest.mark.parametrize("command", of("tunehook"), ids=str)
def test_a_command_of_tunehook_is_there_and_takes_what_it_is_given(command: Shown) -> None:
    _, *words = command.words
    named = bool(words) and not words[0].startswith("-")
    found: Any = load_command(words.pop(0)) if named else typer.main.get_command(app)
    while words and hasattr(found, "commands") and not words[0].startswith("-"):
        found = found.commands[words.pop(0)]
    if command.whole:
        assert words or not hasattr(found, "commands"), "a group does nothing by itself"
        found.make_context("tunehook", words)
    else:
        options = {option for parameter in found.params for option in parameter.opts} | {"--help"}
        assert {word for word in words if word.startswith("-") and word != "-"} <= options


@pytest.mark.parametrize("command", of("make"), ids=str)
def test_a_target_of_make_is_there_with_its_variables(command: Shown) -> None:
    for word in command.words[1:]:
        name, equals, _ = word.partition("=")
        assert re.search(rf"\b{name}\b" if equals else rf"^{re.escape(name)}:", MAKEFILE, re.MULTILINE), word


@pytest.mark.parametrize("command", of("python", "-m"), ids=str)
def test_a_module_that_is_to_be_run_is_there(command: Shown) -> None:
    path = command.words[2].replace(".", "/")
    assert any(
        (ROOT / root / f"{path}{end}").is_file()
        for root in ("", "cli", "functions")
        for end in (".py", "/__main__.py")
    )


@functools.cache
def operations(service: str) -> dict[str, Any]:
    model = botocore.session.get_session().get_service_model(service)
    return {xform_name(name, "-"): model.operation_model(name) for name in model.operation_names}


@pytest.mark.parametrize("command", of("aws"), ids=str)
def test_a_command_of_the_aws_cli_is_an_operation_with_its_options(command: Shown) -> None:
    _, service, operation, *words = command.words
    given = {word.removeprefix("--") for word in words if word.startswith("--")} - OF_EVERY_AWS_COMMAND
    if (service, operation) in OF_THE_CLI_ALONE:
        assert given <= OF_THE_CLI_ALONE[service, operation]
        return
    shape = operations(service)[operation].input_shape
    members = {xform_name(name, "-"): member.type_name for name, member in shape.members.items()}
    switches = {f"no-{name}" for name, kind in members.items() if kind == "boolean"}
    assert given <= {*members, *switches}
    if command.whole:
        assert {xform_name(name, "-") for name in shape.required_members} <= given


@functools.cache
def help_of(*names: str) -> str:
    """Return what the SAM CLI says of a command."""
    ran = subprocess.run(
        [SAM, *names, "--help"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": os.environ["HOME"],
            "SAM_CLI_TELEMETRY": "0",
            "COLUMNS": "300",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ran.returncode == 0, f"{names}: {ran.stderr}"
    return ran.stdout


@pytest.mark.skipif(not SAM.exists(), reason="the SAM CLI is not set up: `make setup`")
@pytest.mark.parametrize("command", of("sam"), ids=str)
def test_a_command_of_the_sam_cli_is_there_with_its_options(command: Shown) -> None:
    words = command.words[1:]
    names = words[:2] if words[0] == "local" else words[:1]
    text = help_of(*names)
    for option in (word for word in words if word.startswith("--")):
        assert re.search(rf"{option}\b", text), option
