"""The README's picture: the first exhibit of a demo report, as a PNG.

make demo && .venv/bin/python scripts/figure.py demo/audit/report.html docs/images/figure.png
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

report, out = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
with sync_playwright() as p:
    browser = p.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
    page = browser.new_page(viewport={"width": 1000, "height": 800})
    page.goto(report.as_uri())
    page.locator(".exhibit").first.screenshot(path=str(out))
    browser.close()
