"""Real pictures that need no folder of the user: inside the dependencies, or fetched by hash."""
