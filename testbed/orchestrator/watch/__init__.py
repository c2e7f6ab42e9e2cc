"""What is watched beside a replay: CPUs, idle links, threads that wait."""
