"""The library: one folder or file a stage, data flowing down and only down."""

from research.compiler import tell_compiler

tell_compiler()
