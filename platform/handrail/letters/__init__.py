"""Dead letters: what Handrail gave up on by itself, as one list, with an owner and an end that somebody answers for."""
