"""docs/results.md: several scripts write their sections, each between its own markers."""

import os
from pathlib import Path

from diannao.files import replacing

__all__ = ["PAGE", "write_section"]

PAGE = Path(__file__).parent.parent / "docs" / "results.md"


def write_section(name: str, text: str, page: Path = PAGE) -> None:
    """Put ``text`` between the markers of ``name``, and leave the rest of the page as it is.

    Markers that are not there yet come at the end of the page, a page that is not there starts with
    its title.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    old = page.read_text() if page.exists() else "# Results\n"
    head, found, rest = old.partition(begin)
    if found:
        _, found, tail = rest.partition(end)
    else:
        head, tail = f"{old.rstrip()}\n\n", "\n"
    if begin in old and not found:
        raise ValueError(f"{os.fspath(page)} has {begin!r} but not {end!r} behind it")
    with replacing(page) as partial:
        partial.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")
