"""What reaches the verdicts on a planned call's documents: the engine, known scores, and models one after another."""
