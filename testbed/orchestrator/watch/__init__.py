"""Watches CPUs, idle links and waiting threads during a replay."""
