"""`python -m trainer.train`: the same as `limrank-train`, for launchers that take a module (torchrun)."""

from __future__ import annotations

from trainer.cli import main

if __name__ == "__main__":
    main()
