"""Configurations as users give them: a name or a TOML file, and KEY=VALUE changes."""

import os
import tomllib
from dataclasses import asdict, fields
from pathlib import Path

from hw.diannao.config import CONFIGS, Config
from hw.errors import UserError

__all__ = ["DEFAULT", "load_config", "to_toml"]

DEFAULT = "diannao-16x16"
"""The configuration that is used if none is named: the paper's machine."""

_TYPES = {field.name: field.type for field in fields(Config)}
_BOOLEANS = {"true": True, "false": False}


def load_config(
    source: str | os.PathLike | Config | None = None, settings: tuple[str, ...] | list[str] = ()
) -> Config:
    """The configuration ``source`` with ``settings`` applied.

    Parameters
    ----------
    source : name of a configuration, a TOML file (recognised by ``.toml``), or a configuration. A
        file holds fields of ``Config``; ``base = "NAME"`` says where the others come from.
    settings : changes, each ``KEY=VALUE``; the result is then called ``custom`` unless
        ``name=...`` is among them

    Raises
    ------
    UserError
        For an unknown name, an unreadable file, an unknown key or a value that cannot be.
    """
    config = _base(source)
    if settings:
        changes = dict(map(_setting, settings))
        config = config.replace(**{"name": "custom", **changes})
    return config


def _base(source) -> Config:
    if isinstance(source, Config):
        return source
    text = os.fspath(DEFAULT if source is None else source)
    if text.endswith(".toml"):
        return _from_file(Path(text))
    if text not in CONFIGS:
        raise UserError(
            f"unknown configuration {text!r}; known: {', '.join(CONFIGS)}, or a .toml file"
        )
    return CONFIGS[text]


def _from_file(path: Path) -> Config:
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UserError(f"cannot read configuration {str(path)!r}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{str(path)!r} is not a TOML file: {error}") from None
    base = content.pop("base", None)
    if base is not None and base not in CONFIGS:
        raise UserError(f"{str(path)!r}: base must be one of {', '.join(CONFIGS)}, not {base!r}")
    start = Config() if base is None else CONFIGS[base]
    try:
        return start.replace(**{"name": path.stem, **content})
    except UserError as error:
        raise type(error)(f"{str(path)!r}: {error}") from None


def _setting(text: str) -> tuple[str, int | bool | str]:
    key, equals, value = text.partition("=")
    key = key.strip()
    value = value.strip()
    if not equals:
        raise UserError(f"a setting must be KEY=VALUE, not {text!r}")
    kind = _TYPES.get(key)
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


def to_toml(config: Config) -> str:
    """A TOML file that ``load_config`` reads back as ``config``."""

    def literal(value) -> str:
        if isinstance(value, bool):
            return str(value).lower()
        return f'"{value}"' if isinstance(value, str) else str(value)

    return "".join(f"{key} = {literal(value)}\n" for key, value in asdict(config).items())
