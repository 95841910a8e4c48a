"""Ways in for people and programs; everything here answers through a bundle."""
