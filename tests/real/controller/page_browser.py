"""A real Chromium with the page in it, driven by Playwright. Never here: stories, expectations."""

from contextlib import asynccontextmanager

import pytest

from local_stack import binaries, npm_packages


@asynccontextmanager
async def chromium():
    """A browser; skips the test where this system has none."""
    from playwright.async_api import async_playwright  # noqa: PLC0415  # a second that other tests need not wait

    lacking = binaries.missing(["chromium"])
    if lacking:
        pytest.skip(f"chromium: {lacking['chromium']}")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=str(binaries.find("chromium")),
            args=["--no-sandbox", "--disable-dev-shm-usage"],
            env=binaries.environment(),
        )
        try:
            yield browser
        finally:
            await browser.close()


@asynccontextmanager
async def person(browser, service, who="act-1", **settings):
    """A person who has logged in, at the overview; what their browser complained of must be nothing."""
    context = await browser.new_context(**settings)
    complaints = []
    context.on("weberror", lambda error: complaints.append(str(error.error)))
    page = await context.new_page()
    page.set_default_timeout(40_000)
    page.on("console", lambda said: complaints.append(said.text) if "Content Security" in said.text else None)
    await page.goto(f"{service.url}/")
    await page.fill("#token", who)
    await page.click("button.main")
    await page.wait_for_selector("h1")
    try:
        yield page
        assert complaints == []
    finally:
        await context.close()


async def faults(page):
    """What axe-core finds wrong with a page; the page's context must bypass its policy, or axe is no part of it."""
    await page.evaluate(npm_packages.find_axe().read_text(encoding="utf-8"))
    result = await page.evaluate("axe.run()")
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in result["violations"]]
