"""Pages for the people who use Tollgate, and the generator of their tables."""
