"""Selection: which targets can be predicted, and which features carry them."""
