"""Pages over many grids: the list of results, the claims, the page to explore."""
