"""A walk through the console in a real browser, in Playwright's own environment: no other module of the tests is there.

usage: console_walk.py < what        (`what` is a line of JSON; the fields of `Walk`)

Prints a line of JSON each time that something is to happen elsewhere, and goes on when a line comes back; the last line
is the report, by step. A step that fails is in the report with the browser's words.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Error, Page, sync_playwright

HANG_MS = 120_000
ARGUMENTS = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]

PLAY_AND_SEEK = """async () => {
  const player = document.querySelector("audio");
  const moved = (from) => new Promise((done) => {
    const look = () => player.currentTime > from ? done(player.currentTime) : setTimeout(look, 20);
    look();
  });
  await player.play();
  const played = await moved(0);
  const target = player.duration / 2;
  const seeked = new Promise((done) => player.addEventListener("seeked", done, { once: true }));
  player.currentTime = target;
  await seeked;
  const after = await moved(target);
  player.pause();
  return { duration: player.duration, played, target, after };
}"""

SHIFTED = """() => new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const each of list.getEntries()) sum += each.value; })
    .observe({ type: "layout-shift", buffered: true });
  setTimeout(() => done(sum), 100);
})"""

TOO_WIDE = """() => document.documentElement.scrollWidth - document.documentElement.clientWidth"""

FAINT = """() => {
  const parts = (colour) => [...colour.match(/[\\d.]+/g).map(Number), 1].slice(0, 4);
  const light = ([r, g, b]) => [r, g, b]
    .map((part) => part / 255)
    .map((part) => part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const found = [];
  for (const each of document.querySelectorAll("body *")) {
    if (![...each.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim())) continue;
    let ground = each;
    while (ground && parts(getComputedStyle(ground).backgroundColor)[3] < 1) ground = ground.parentElement;
    if (!ground) { found.push("no ground: " + each.textContent); continue; }
    const one = light(parts(getComputedStyle(each).color).slice(0, 3));
    const other = light(parts(getComputedStyle(ground).backgroundColor).slice(0, 3));
    const contrast = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (contrast < 4.5) found.push(`${contrast.toFixed(2)}: ${each.textContent.trim().slice(0, 60)}`);
  }
  return found;
}"""


class Walk:
    """The steps, each with what it found; `what` names the things of the stack to walk to."""

    def __init__(self, page: Page, what: dict[str, Any]) -> None:
        self.page, self.what = page, what
        self.base = "{0.scheme}://{0.netloc}".format(urlsplit(what["url"]))

    def go(self, path: str) -> None:
        self.page.goto(self.base + path)

    def entry(self) -> Any:
        """The token leaves the address, and is not asked for again."""
        self.page.goto(self.what["url"])
        first = self.page.url
        self.go("/tasks")
        return {"address": first.removeprefix(self.base), "heading": self.page.inner_text("h1")}

    def player(self) -> Any:
        self.go(self.what["task"])
        parts: list[int] = []
        self.page.on("response", lambda got: parts.append(got.status) if "/media" in got.url else None)
        self.page.reload()
        found = self.page.evaluate(PLAY_AND_SEEK)
        return {**found, "statuses": sorted(set(parts))}

    def live(self) -> Any:
        with self.page.expect_response(lambda got: "/tasks/live" in got.url):
            self.go("/tasks")
        self.page.evaluate("window.isTheSamePage = true")
        self.page.focus("a[href^='/task?']")
        focused = self.page.evaluate("document.activeElement.textContent")
        elsewhere("put", self.what["new_id"])
        self.page.get_by_role("link", name=self.what["new_id"], exact=True).wait_for()
        return {
            "is_same_page": self.page.evaluate("window.isTheSamePage === true"),
            "keeps_focus": self.page.evaluate("document.activeElement.textContent") == focused,
        }

    def filters(self) -> Any:
        self.go("/tasks")
        self.page.get_by_label("Id or its beginning").fill(self.what["beginning"])
        self.page.get_by_role("button", name="Filter").click()
        self.page.wait_for_url("**/tasks?*")
        return self.page.locator("tbody td.id a").all_inner_texts()

    def keyboard(self) -> Any:
        self.go("/tasks")
        passed = []
        for _ in range(60):
            self.page.keyboard.press("Tab")
            place = self.page.evaluate("document.activeElement.getAttribute('href')") or ""
            passed.append(place)
            if place.startswith("/task?"):
                break
        self.page.keyboard.press("Enter")
        self.page.wait_for_url("**/task?*")
        return {"first": passed[0], "reached": self.page.url.removeprefix(self.base)}

    def resend(self) -> Any:
        self.go(self.what["delivery"])
        self.page.get_by_role("button", name="Send again").click()
        return self.page.get_by_role("status").inner_text()

    def rotate(self) -> Any:
        self.go(self.what["subscription"])
        self.page.get_by_role("button", name="Rotate the secret").click()
        secret = self.page.locator("main pre").inner_text().strip()
        self.page.get_by_role("link", name="To the subscription").click()
        self.page.wait_for_url("**/subscription?*")
        return {"secret": secret, "is_shown_again": secret in self.page.content()}

    def pages(self) -> Any:
        """How each page looks on a telephone: what is too wide, what jumps, what is too faint."""
        found = {}
        self.page.set_viewport_size({"width": 360, "height": 780})
        listed = (
            "/",
            "/tasks",
            "/deliveries",
            "/subscriptions",
            "/subscriptions/new",
            "/providers",
            "/dead-letters",
        )
        for path in (*listed, self.what["task"], self.what["delivery"], self.what["subscription"]):
            self.go(path)
            if path == "/":
                self.page.get_by_role("heading", name="Ended in the last 24 hours").wait_for()
            faint = []
            for scheme in ("light", "dark"):
                self.page.emulate_media(color_scheme=scheme)
                faint += self.page.evaluate(FAINT)
            shift, wide = self.page.evaluate(SHIFTED), self.page.evaluate(TOO_WIDE)
            found[path] = {"too_wide_px": wide, "shift": shift, "too_faint": faint}
        return found


def elsewhere(*words: str) -> None:
    """Have something done by whoever started this, and wait until it is."""
    say({"do": words})
    sys.stdin.readline()


def say(document: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def main() -> None:
    what = json.loads(sys.stdin.readline())
    report: dict[str, Any] = {}
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=what["browser"], args=ARGUMENTS)
        page = browser.new_page(viewport={"width": 1440, "height": 900})
        page.set_default_timeout(HANG_MS)
        page.on("console", lambda said: complaints.append(said.text) if said.type != "log" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        walk = Walk(page, what)
        steps: list[Callable[[], Any]] = [
            *(walk.entry, walk.player, walk.live, walk.filters, walk.keyboard),
            *(walk.resend, walk.rotate, walk.pages),
        ]
        for step in steps:
            try:
                report[step.__name__] = step()
            except Error as error:
                report[step.__name__] = {"failed": str(error)}
        browser.close()
    say({"report": report | {"complaints": complaints}})


if __name__ == "__main__":
    main()
