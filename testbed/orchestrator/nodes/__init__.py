"""The processes of the tiers: what they are told, and how they are asked."""
