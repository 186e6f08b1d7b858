"""The judgement over the timeline of events: rules, the state they share, and the engine that feeds them."""
