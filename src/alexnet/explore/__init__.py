"""The explorer: a local page in the browser that shows what a network makes of an image, and the server behind it."""
