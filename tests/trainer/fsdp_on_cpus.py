"""`limrank-train` whose library takes CPUs for GPUs when it decides whether weights can be spread (FSDP).

torch spreads them over CPUs as well; accelerate alone asks for an accelerator. So what is ours is tested without one.
"""

from __future__ import annotations

from typing import Any

from accelerate.state import DistributedType, PartialState  # type: ignore[import-untyped]  # it ships no types

from trainer.cli import main

_prepare = PartialState.__init__


def _as_on_gpus(self: PartialState, *args: Any, **kwargs: Any) -> None:
    _prepare(self, *args, **kwargs)
    if self.distributed_type is DistributedType.MULTI_CPU:
        self.distributed_type = DistributedType.MULTI_GPU


if __name__ == "__main__":
    PartialState.__init__ = _as_on_gpus
    main()
