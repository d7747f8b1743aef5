"""``python -m haruspex_train``, the same as ``haruspex``."""

from haruspex_train.cli import main

main()
