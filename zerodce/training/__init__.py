"""How a network learns: losses, recipes, the teacher, the model and its run."""
