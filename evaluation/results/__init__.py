"""Results as dataclasses, one for each kind of result file. Only this package writes and reads their JSON."""
