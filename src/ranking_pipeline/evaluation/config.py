"""Parameters of the evaluation."""

from pydantic import Field

from ranking_pipeline.config import Config


class EvaluationConfig(Config):
    """How scores are measured, held and shown."""

    primary_target: str = Field(
        min_length=1, description="target for which one model row is chosen"
    )
    min_symbols_per_timestamp: int = Field(
        ge=2,
        description="fewest symbols with which a bar is measured or traded; in a "
        "universe of fewer, min_symbols_for_ranks takes its place",
    )
    min_symbols_for_ranks: int = Field(
        ge=2,
        description="fewest symbols of a universe that is ranked within bars; a smaller "
        "one is measured over time, each symbol against its own past",
    )
    min_coverage: float = Field(
        ge=0,
        le=1,
        description="share of the cells that a row must score to be listed: models of a "
        "few symbols show in the routed rows",
    )
    tail_share: float = Field(
        gt=0, le=0.5, description="share of the symbols in the long and the short tail"
    )
    cost_bps_per_side: float = Field(
        ge=0, description="basis points of traded notional, entry included"
    )
    periods_per_year: float | None = Field(
        gt=0, description="bars per year of the Sharpe ratio; null: from the timestamps"
    )
    random_seed: int = Field(
        ge=0, description="of the random baseline and of the bootstrap"
    )
    shown_models_per_target: int = Field(
        ge=1, description="model rows drawn in figures, best on validation first"
    )
