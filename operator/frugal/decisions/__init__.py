"""From one frozen snapshot to a plan: launch, wait, resize, refuse, and why. Pure; the shells observe and apply."""
