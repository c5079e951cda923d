"""Recipes: how the shipped models are made from data folders. One package per model family."""
