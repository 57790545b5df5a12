"""Configurations as users give them: a name or a TOML file, and KEY=VALUE changes."""

import os
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path

from hw.diannao.config import Config
from hw.errors import UserError
from sim.devices import MachineConfig, device_of

from .accelerators import ACCELERATORS, accelerator_of, named_configs

__all__ = ["DEFAULT", "load_config", "load_core", "to_toml"]

DEFAULT = "diannao-16x16"
"""The configuration that is used if none is named: the paper's machine."""

_BOOLEANS = {"true": True, "false": False}


def load_config(
    source: str | os.PathLike | MachineConfig | None = None,
    settings: tuple[str, ...] | list[str] = (),
) -> MachineConfig:
    """The configuration ``source`` with ``settings`` applied.

    Parameters
    ----------
    source : name of a configuration, a TOML file (recognised by ``.toml``), or a configuration. A
        file holds fields of a core's ``Config``; ``base = "NAME"`` says where the others come from,
        and with a DaDianNao configuration's name that it holds fields of ``NodeConfig``.
    settings : changes, each ``KEY=VALUE``; the result is then called ``custom`` unless
        ``name=...`` is among them

    Raises
    ------
    UserError
        For an unknown name, an unreadable file, an unknown key or a value that cannot be.
    """
    config = _base(source)
    if settings:
        types = {field.name: field.type for field in fields(config)}
        changes = dict(_setting(text, types) for text in settings)
        config = config.replace(**{"name": "custom", **changes})
    return config


def load_core(
    what: str, source: str | os.PathLike | Config | None = None, settings: Sequence[str] = ()
) -> Config:
    """As ``load_config`` for ``what``, which knows DianNao cores only; else UserError."""
    config = load_config(source, list(settings))
    if not isinstance(config, Config):
        raise UserError(
            f"{what} must have the configuration of a DianNao core, not {config.name!r} of a "
            f"{device_of(config).name}"
        )
    return config


def _base(source) -> MachineConfig:
    if isinstance(source, tuple(each.config for each in ACCELERATORS)):
        return source
    text = os.fspath(DEFAULT if source is None else source)
    if text.endswith(".toml"):
        return _from_file(Path(text))
    known = named_configs()
    if text not in known:
        raise UserError(
            f"unknown configuration {text!r}; known: {', '.join(known)}, or a .toml file"
        )
    return known[text]


def _from_file(path: Path) -> MachineConfig:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read configuration {str(path)!r}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is not a TOML file: {error}") from None
    base = content.pop("base", None)
    known = named_configs()
    if base is not None and base not in known:
        raise UserError(f"{str(path)!r}: base must be one of {', '.join(known)}, not {base!r}")
    start = ACCELERATORS[0].config() if base is None else known[base]
    try:
        return start.replace(**{"name": path.stem, **content})
    except UserError as error:
        raise type(error)(f"{str(path)!r}: {error}") from None


def _setting(text: str, types: dict) -> tuple[str, int | bool | str]:
    key, equals, value = text.partition("=")
    key = key.strip()
    value = value.strip()
    if not equals:
        raise UserError(f"a setting must be KEY=VALUE, not {text!r}")
    kind = types.get(key)
    if kind is int:
        try:
            return key, int(value, 0)
        except ValueError:
            raise UserError(f"{key} must be an integer, not {value!r}") from None
    if kind is bool:
        if value.lower() not in _BOOLEANS:
            raise UserError(f"{key} must be true or false, not {value!r}")
        return key, _BOOLEANS[value.lower()]
    return key, value


def to_toml(config: MachineConfig) -> str:
    """A TOML file that ``load_config`` reads back as ``config``."""

    def literal(value) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return f'"{value}"' if isinstance(value, str) else str(value)

    lines = [f"{key} = {literal(value)}\n" for key, value in asdict(config).items()]
    if not isinstance(config, ACCELERATORS[0].config):
        # Says whose fields these are; which one of them does not matter, since all are given.
        lines.insert(0, f"base = {literal(next(iter(accelerator_of(config).configs)))}\n")
    return "".join(lines)
