"""What the extras of the package bring."""

from importlib import metadata


def required(extra: str) -> str:
    """Return the requirements of an extra, as a shell takes them after `pip install`."""
    marked = (text.partition("; extra == ") for text in metadata.requires("logcommon") or ())
    return " ".join(f"'{name}'" for name, _, of in marked if of.strip("'\"") == extra)
