"""The timeline: what events are, and how they are recorded and read."""
