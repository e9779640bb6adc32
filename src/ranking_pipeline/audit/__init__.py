"""audit: the proof that nothing looks ahead, and the planted leaks that test it."""

from ranking_pipeline.audit.config import AuditConfig
from ranking_pipeline.audit.factor import audit_factor
from ranking_pipeline.audit.panel_audit import audit_panel
from ranking_pipeline.audit.report import (
    LookaheadReport,
    lookahead_section,
    require_clean,
)

__all__ = [
    "AuditConfig",
    "LookaheadReport",
    "audit_factor",
    "audit_panel",
    "lookahead_section",
    "require_clean",
]
