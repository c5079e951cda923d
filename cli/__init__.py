"""The command-line parts that all programs share: settings, subcommands, errors and output."""
