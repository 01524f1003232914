"""Stage 3: what is owed to the outside world goes out, with retries, and every try is kept."""
