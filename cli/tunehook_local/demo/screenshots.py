"""Takes the pictures of a console, in Playwright's own environment: nothing of tunehook is there.

usage: screenshots.py < what        (JSON: the console's `url`, a `folder`, and `pages`, paths by a picture's name)
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

WIDTH, HEIGHT = 1080, 760
SETTLED_MS = 1_000
"""How long a player's wheel takes to fade once the file is there."""

READY = """() => [...document.querySelectorAll("audio, video")].every((each) => each.readyState > 0)
  && [...document.images].every((each) => each.complete)
  && !document.querySelector("[data-hx-get]:not(button)")?.textContent.includes("Reading the last tasks")"""

SEEK = """() => Promise.all([...document.querySelectorAll("audio, video")].map((each) => new Promise((done) => {
  const isLoaded = () => each.readyState === 4 ? done() : setTimeout(isLoaded, 50);
  each.preload = "auto";
  each.addEventListener("seeked", isLoaded, { once: true });
  each.currentTime = each.duration / 3;
})))"""


def main() -> int:
    what = json.load(sys.stdin)
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser_path is None:
        print("there is no Chromium: `apt-get install chromium`", file=sys.stderr)
        return 1
    base = "{0.scheme}://{0.netloc}".format(urlsplit(what["url"]))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        page.goto(what["url"])
        for name, path in what["pages"].items():
            page.goto(base + path)
            page.wait_for_function(READY)
            page.evaluate(SEEK)
            page.wait_for_timeout(SETTLED_MS)
            page.screenshot(path=Path(what["folder"]) / f"{name}.png")
        browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
