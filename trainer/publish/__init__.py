"""From a finished run to a served model: merge, calibrate, model card, package."""
