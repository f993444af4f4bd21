"""`digitset demo`: a page on this machine where a person draws digits, and the same service for programs."""
