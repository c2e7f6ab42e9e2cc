"""Events of a scenario, played on a network that is up."""
