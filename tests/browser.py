"""Headless Chromium: Debian's packages `chromium` and `chromium-driver`, or binaries of that name."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.support.wait import WebDriverWait

_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_PATIENCE_SECONDS = 60


def start(folder: Path) -> Chrome:
    """Start a browser with an empty profile in `folder`, where it also puts downloads.

    Without a browser, the test is skipped, or fails if SCALEPROF_REQUIRE_BROWSER is 1.
    """
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if browser is None or driver is None:
        missing = "no browser: Debian has it in the packages chromium and chromium-driver"
        if os.environ.get("SCALEPROF_REQUIRE_BROWSER") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    options = ChromeOptions()
    options.binary_location = browser
    for flag in (*_FLAGS, f"--user-data-dir={folder / 'profile'}"):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(folder)})
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = Chrome(options=options, service=ChromeService(driver))
    chrome.set_page_load_timeout(_PATIENCE_SECONDS)
    chrome.set_script_timeout(_PATIENCE_SECONDS)
    return chrome


def show(chrome: Chrome, page: Path, *, width: int = 1280, dark: bool = False) -> None:
    """Show `page` in a window `width` pixels wide; load it if needed and wait for its script."""
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
    if chrome.current_url != page.as_uri():
        requests(chrome)  # discards those of the browser's first, empty page
        chrome.get(page.as_uri())
        until(chrome, lambda: chrome.execute_script("return document.documentElement.dataset.ready === 'yes'"))


def until(chrome: Chrome, happened: Callable[[], object]) -> None:
    """Wait until `happened` is true."""
    WebDriverWait(chrome, _PATIENCE_SECONDS).until(lambda _: happened())


def console(chrome: Chrome) -> list[str]:
    """Console messages since the last call: errors, warnings and refused requests."""
    return [entry["message"] for entry in _log(chrome, "browser")]


def requests(chrome: Chrome) -> list[str]:
    """The addresses requested since the last call."""
    messages = [json.loads(entry["message"])["message"] for entry in _log(chrome, "performance")]
    return [
        message["params"]["request"]["url"] for message in messages if message["method"] == "Network.requestWillBeSent"
    ]


def _log(chrome: Chrome, kind: str) -> list[dict[str, str]]:
    found: list[dict[str, str]] = chrome.get_log(kind)  # type: ignore[no-untyped-call]
    return found
