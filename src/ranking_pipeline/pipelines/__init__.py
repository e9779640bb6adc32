"""The Kedro pipelines: graphs, thin nodes, typed parameters."""
