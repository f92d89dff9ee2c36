"""How the product runs in production."""
