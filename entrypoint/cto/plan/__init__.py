"""Decides what to do. Pure: data in, frozen data out."""
