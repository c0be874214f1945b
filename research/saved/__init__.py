"""Models apart from their data sets: saved, loaded, encoding users, going on."""
