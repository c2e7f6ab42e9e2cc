"""Commands of the command line, by what they are about; `testbed/cli.py` has them under their names."""
