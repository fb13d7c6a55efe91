"""How busy an instance is, and how large it should be; resizing its pod."""
