"""The torch room: windows, losses, networks and the one training loop."""
