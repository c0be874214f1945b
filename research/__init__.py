"""The library: one folder or file a stage, data flowing down and only down."""
