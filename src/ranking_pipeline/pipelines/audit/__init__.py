"""The proof that nothing in a run sees what it cannot know yet."""

from ranking_pipeline.pipelines.audit.pipeline import create_pipeline

__all__ = ["create_pipeline"]
