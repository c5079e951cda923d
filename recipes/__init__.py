"""Recipes: how the models that ship are made from data folders. One sub-package per model."""
