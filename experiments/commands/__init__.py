"""The commands of the command line, one file each, and the parsing of their words."""
