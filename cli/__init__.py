"""The parts of a command line that all programs share: settings, subcommands, errors and output."""
