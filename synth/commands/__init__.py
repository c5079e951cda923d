"""The commands that call no model: `import`, `distil`, `verify`, `audit` and `export`. Each file has the settings of
one command, and `run`.

Heavy imports are inside `run`, because some take seconds.
"""
