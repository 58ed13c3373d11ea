"""How models are made: recipes, networks, the training run, export. The only room that imports torch."""
