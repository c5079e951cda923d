"""How a call is scored where one pass over its documents is not all: each strategy runs waves of them."""
