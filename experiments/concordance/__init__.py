"""The same metrics by other libraries, compared with this project's values."""
