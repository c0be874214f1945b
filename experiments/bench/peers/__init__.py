"""The same work in other frameworks; nothing of this project is needed to read them."""
