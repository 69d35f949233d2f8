"""The checks that every page in a browser goes through: each finds what it is for."""

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOP = "<!doctype html><html lang=en><title>x</title>"


def test_errors_and_requests_to_another_host_are_problems(page: "Page", problems: list[str]) -> None:
    page.set_content("<script>console.log('fine')</script><p>fine</p>")
    assert problems == []
    page.set_content("<script>console.error('a'); throw Error('b')</script><img src='http://elsewhere.invalid/c'>")
    assert problems[0] == "console: a" and "error: b" in problems[1]
    assert "request: http://elsewhere.invalid/c" in problems
    problems.clear()


def test_axe_finds_a_picture_without_text_and_pale_words(page: "Page", axe: "Callable[[Page], list[str]]") -> None:
    page.set_content(f"{TOP}<main><h1>Words</h1><p>Words</p></main>")
    assert axe(page) == []
    page.set_content(f"{TOP}<main><h1>Words</h1><p style='color: #aaa'>pale</p><img src='data:,'></main>")
    assert sorted(line.partition(":")[0] for line in axe(page)) == ["color-contrast", "image-alt"]
