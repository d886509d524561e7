"""Environments and installation, and the first cell of a notebook. Standard library only: any Python may run it."""
