"""What a bundle has to hold: images found by rendering, and the lock of their digests."""
