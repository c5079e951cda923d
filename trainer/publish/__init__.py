"""From a finished run to a model that is served: merge, calibrate, model card, package."""
