"""Tables outside, towers apart: rows and dense features of one side in, vectors out."""
