"""Training: from the plan to fitted models and the rows they predict."""
