"""Parameters of the audit: the section ``audit``."""

from pydantic import Field

from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.config import Config


class LookaheadConfig(Config):
    """Two sizes of the same audit, and the reruns that only the full one makes."""

    quick: AuditConfig = Field(description="part of every whole run")
    full: AuditConfig = Field(description="what the pipeline audit does")
    strict: bool = Field(description="true: a finding stops the run")
    ingest_cuts: int = Field(
        ge=1, description="last dates at which the raw bars are cut and read again"
    )
