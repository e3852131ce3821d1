"""The embedded data set ``python-operators``, made of the Python source that every installation has."""
