"""The page to explore: one file that shows every record and opens without a network."""
