"""Measure our layers against others on the user's own machine: what ``throughtime bench`` runs."""
