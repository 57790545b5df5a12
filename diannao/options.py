"""Options that several commands have."""

from typing import Annotated

import typer

__all__ = ["Configuration", "Settings"]

Configuration = Annotated[
    str, typer.Option("--config", metavar="NAME|FILE.toml", help="Configuration of the core.")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one field of the configuration."),
]
