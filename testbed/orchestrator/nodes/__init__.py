"""The processes of the tiers: how they are configured, started and controlled."""
