"""Opens a report in a headless browser at laptop and phone width, light and
dark, and checks that it loads nothing, says nothing on the console, does not
overflow to the side and has no texts that lie on each other.

    python3 -m venv venv && venv/bin/pip install playwright
    venv/bin/python scripts/check_report.py RUN/report.html [FOLDER]

`cargo test` does so with the Python of RECSYS_BROWSER_PYTHON, else with that of
~/.cache/recsys/browser-venv, else with python3. Screenshots go to FOLDER. The browser is playwright's own, or Chromium as the
system has it (`apt install chromium`). Exits with 0 when all is well, 1 when
something is wrong, and 77 when there is no browser to try it in.
"""

import shutil
import sys
from pathlib import Path

NO_BROWSER = 77

SCREENS = [
    ("laptop-light", 1366, 850, "light"),
    ("laptop-dark", 1366, 850, "dark"),
    ("phone-light", 375, 720, "light"),
    ("phone-dark", 375, 720, "dark"),
]

SECTIONS = [
    "verdict", "metrics", "learning", "cutoffs", "users", "items", "long-tail",
    "trade-off", "map", "examples", "data", "provenance",
]

# Pairs of texts of one chart that lie on each other.
OVERLAPS = """() => {
  const found = [];
  for (const svg of document.querySelectorAll('svg[role=img]')) {
    const texts = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
    texts.forEach(([a, p], i) => texts.slice(i + 1).forEach(([b, q]) => {
      const wide = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      const high = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      if (wide > 1 && high > 4) found.push(`${svg.getAttribute('aria-label')}: "${a}" and "${b}"`);
    }));
  }
  return found;
}"""

# Texts that stick out of their chart.
OUTSIDE = """() => [...document.querySelectorAll('svg[role=img]')].flatMap(svg => {
  const box = svg.getBoundingClientRect();
  return [...svg.querySelectorAll('text')].filter(t => {
    const r = t.getBoundingClientRect();
    return r.left < box.left - 1 || r.right > box.right + 1 || r.bottom > box.bottom + 1;
  }).map(t => `${svg.getAttribute('aria-label')}: "${t.textContent}"`);
})"""


def launch(playwright):
    """A browser, or None and why not."""
    options = {"args": ["--no-sandbox"]}
    for name in (None, "chromium", "chromium-browser", "google-chrome"):
        path = name and shutil.which(name)
        if name and not path:
            continue
        try:
            return playwright.chromium.launch(executable_path=path, **options), None
        except Exception as error:  # whatever the launcher raises
            why = str(error).strip().splitlines()[0]
    return None, why


def check(browser, page_path, folder, screen):
    """What is wrong at one size and color scheme."""
    name, width, height, scheme = screen
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        device_scale_factor=1 if width > 600 else 2,
    )
    page = context.new_page()
    wrong = []
    page.on("console", lambda m: wrong.append(f"console: {m.text}"))
    page.on("pageerror", lambda e: wrong.append(f"error: {e}"))
    address = page_path.resolve().as_uri()
    page.on("request", lambda r: r.url == address or wrong.append(f"request: {r.url}"))
    page.goto(address)
    widest = page.evaluate("document.documentElement.scrollWidth")
    if widest > width:
        wrong.append(f"the page is {widest} wide")
    wrong += [f"overlap in {pair}" for pair in page.evaluate(OVERLAPS)]
    wrong += [f"cut off in {text}" for text in page.evaluate(OUTSIDE)]
    wrong += [f"no section {s}" for s in SECTIONS if page.locator(f"#{s}").count() != 1]
    coloring = page.locator("#coloring")
    if coloring.count():
        before = page.locator("#map circle[data-c]").first.get_attribute("class")
        last = coloring.locator("option").count() - 1
        coloring.select_option(str(last))
        shown = page.locator("#map .legend:visible").count()
        if shown != 1:
            wrong.append(f"{shown} legends of the map after another coloring")
        coloring.select_option("0")
        if page.locator("#map circle[data-c]").first.get_attribute("class") != before:
            wrong.append("the first coloring does not come back")
    point = page.locator("svg[role=img] .m").first
    if point.count():
        point.dispatch_event("click")
        if not page.locator("#tip").is_visible():
            wrong.append("no title when a point is touched")
        page.locator("h1").click()
    if folder:
        page.screenshot(path=folder / f"{name}.png", full_page=True)
    context.close()
    return [f"{name}: {what}" for what in wrong]


def main():
    page = Path(sys.argv[1])
    folder = Path(sys.argv[2]) if len(sys.argv) > 2 else None
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("skipped: the Python package playwright is not here")
        return NO_BROWSER
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser, why = launch(playwright)
        if browser is None:
            print(f"skipped: no browser starts ({why})")
            return NO_BROWSER
        wrong = [w for screen in SCREENS for w in check(browser, page, folder, screen)]
        version = browser.version
        browser.close()
    print("\n".join(wrong) or f"{page}: all is well at {len(SCREENS)} sizes (Chromium {version})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
