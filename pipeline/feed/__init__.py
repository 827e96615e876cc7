"""What training steps read: prepared pictures, crops of them, and what is made of a crop on its way to a network."""
