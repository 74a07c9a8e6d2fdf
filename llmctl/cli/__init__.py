"""The command line: one file a command, each taking values and returning an exit code."""
