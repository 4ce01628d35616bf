"""`python -m logcommon.cli` is `logcommon`."""

from logcommon.cli import main

main()
