"""Which documents are worth reasoning about, and for how long: the policy of adaptive mode, without any I/O.

Shared by the service, which runs it on an engine, and by evaluation, which replays it on recorded traces. Standard
library only.
"""
