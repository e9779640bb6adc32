"""Stage sections: what the stages before the training have to say in the report."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ranking_pipeline.evaluation import figures
from ranking_pipeline.evaluation.report_header import data_warnings, trading_dates
from ranking_pipeline.evaluation.section import Figure, Section, Table, table_of

TOP_FEATURES = 20
NOTHING = "Nothing predictable was found"


def data_section(
    summary: Mapping[str, Any],
    quality: pd.DataFrame,
    security_master: pd.DataFrame,
    missing: pd.DataFrame | None = None,
) -> Section:
    """Describe the bars: how many came in, what was wrong with them, who is missing.

    Parameters
    ----------
    summary : mapping
        The document ``data_summary``.
    quality : DataFrame
        The table ``data_quality``.
    security_master : DataFrame
    missing : DataFrame or None
        Share of missing bars: sectors by periods.

    Returns
    -------
    Section
    """
    bad = int(summary.get("rows_quarantined", 0))
    mended = int(summary.get("rows_repaired", 0))
    first, last = trading_dates(summary)
    lead = (
        f"{_count(summary, 'rows_in')} rows of {_symbols(summary)} over "
        f"{_count(summary, 'n_bars')} bars, {first} to {last}, interval "
        f"{summary.get('interval', 'unknown')}; {mended:,} repaired, {bad:,} in "
        "quarantine."
    )
    lead = " ".join([lead, *data_warnings(summary)])
    survivorship = summary.get("survivorship") or {}
    drawn = []
    if len(quality) and (quality["rows"] > 0).any():
        figure = figures.defects_bars(quality)
        drawn.append(Figure("Defects found", figure, "Rows touched by each check."))
    if missing is not None and missing.size:
        strip = figures.missing_strip(missing)
        note = "Share of a sector's bars that are absent in each period."
        drawn.append(Figure("Missing bars", strip, note))
    tables = (
        _facts(summary),
        _quality_table(quality),
        _members(survivorship.get("dates", [])),
        _sectors(security_master),
    )
    filled = tuple(table for table in tables if table.rows)
    return Section("data", "Data", lead, filled, tuple(drawn))


def target_ranking_section(
    target_rankings: pd.DataFrame,
    family_scores: pd.DataFrame,
    selected: Mapping[str, Any],
) -> Section:
    """Rank the targets by how predictable they were out of fold.

    Parameters
    ----------
    target_rankings : DataFrame
    family_scores : DataFrame
        The table ``target_family_scores``.
    selected : mapping
        The document ``selected_targets``.

    Returns
    -------
    Section
    """
    names = [str(name) for name in selected.get("targets", [])]
    reason = str(selected.get("reason", "")).strip(" .")
    lead = (
        f"{len(names)} of {len(target_rankings)} targets passed the gate: "
        f"{', '.join(names)}."
        if names
        else f"{NOTHING} among {len(target_rankings)} targets."
    )
    lead += f" {reason[:1].upper()}{reason[1:]}." if reason and not names else ""
    if target_rankings.empty:
        return Section("target_ranking", "Target ranking", lead)
    columns = [
        ("rank", "#", "int"), ("target", "target", "text"), ("task", "task", "text"),
        ("skill", "skill", "number"), ("z", "z", "t"), ("mean t", "mean (t)", "ic_t"),
        ("p", "p", "p"), ("q", "q", "p"), ("reference_mean", "reference", "ic"),
        ("n_blocks", "blocks", "int"), ("block_bars", "bars a block", "int"),
        ("n_bars", "bars", "int"), ("selected", "selected", "flag"),
        ("reason", "reason", "text"),
    ]  # fmt: skip
    rows = target_rankings.sort_values("rank", kind="stable")
    styles = ["" if chosen else "muted" for chosen in rows["selected"].astype(bool)]
    caption = (
        "Mean per bar of the rank IC (classes: 2 AUC − 1) out of fold on the train "
        "bars, t from block means. The gate is the Benjamini–Hochberg q over all "
        "evaluated targets; path targets count only what exceeds the reference."
    )
    table = table_of(rows, "Targets", columns, caption=caption, emphasis=styles)
    tables = (table, _family_table(family_scores, rows["target"].astype(str).tolist()))
    figure = Figure("Skill of each target", figures.target_ranking_bars(rows))
    kept = tuple(item for item in tables if item.rows)
    return Section("target_ranking", "Target ranking", lead, kept, (figure,))


def feature_selection_section(
    consensus: pd.DataFrame,
    leakage: pd.DataFrame,
    selected_features: Mapping[str, Any],
    outcomes: pd.DataFrame,
    stability: pd.DataFrame,
    agreement: pd.DataFrame,
    comparison: pd.DataFrame,
) -> Section:
    """Show which features carry each target, and which were refused as leaks.

    Parameters
    ----------
    consensus : DataFrame
        The table ``feature_consensus``.
    leakage : DataFrame
        The table ``leakage_report``.
    selected_features : mapping of target to list of str
    outcomes : DataFrame
        The table ``selection_outcomes``.
    stability, agreement, comparison : DataFrame
        The tables ``feature_stability``, ``model_agreement`` and
        ``importance_comparison``.

    Returns
    -------
    Section
    """
    counts = ", ".join(f"{len(v)} for {t}" for t, v in selected_features.items())
    suspect = leakage[leakage["status"] != "SAFE"] if len(leakage) else leakage
    others = [_outcome_table(outcomes, comparison), _stability_table(stability)]
    others.append(_agreement_table(agreement))
    lead = f"Features selected: {counts}." if counts else "No features were selected."
    lead += _leaks(len(suspect), len(leakage))
    drawn = tuple(
        Figure(
            f"Leading features for {target}",
            figures.feature_importance_bars(consensus, str(target), TOP_FEATURES),
            "Agreement of the families' importances; selected features in colour.",
        )
        for target in (consensus["target"].unique() if len(consensus) else ())
    )
    leaks = [
        ("target", "target", "text"), ("feature", "feature", "text"),
        ("rule", "rule", "text"), ("value", "value", "number"),
        ("lower_bound", "lower bound", "number"), ("threshold", "threshold", "number"),
        ("status", "status", "text"), ("evidence", "evidence", "text"),
    ]  # fmt: skip
    found = [table_of(suspect, "Doubtful features", leaks)] if len(suspect) else []
    tables = tuple(table for table in (*others, *found) if table.rows)
    return Section("feature_selection", "Feature selection", lead, tables, drawn)


def _leaks(n_doubts: int, n_checks: int) -> str:
    if n_doubts:
        return f" {n_doubts:,} of {n_checks:,} leakage checks raised a doubt."
    return f" All {n_checks:,} leakage checks passed." if n_checks else ""


def routing_section(
    candidates: pd.DataFrame,
    plan: Mapping[str, Any],
    training_plan: Mapping[str, Any],
) -> Section:
    """Show which targets get one model for all symbols and which one per symbol.

    Parameters
    ----------
    candidates : DataFrame
        The table ``routing_candidates``.
    plan, training_plan : mapping

    Returns
    -------
    Section
    """
    targets = plan.get("targets") or {}
    jobs = training_plan.get("jobs") or []
    if not targets:
        lead = f"{NOTHING}: there is no target to route and no job to run."
        return Section("routing", "Routing", lead)
    lead = (
        f"{len(targets)} target{'' if len(targets) == 1 else 's'} routed; the training "
        f"plan has {len(jobs)} job{'' if len(jobs) == 1 else 's'}."
    )
    rows = [_route_row(name, entry) for name, entry in sorted(targets.items())]
    columns = [
        ("target", "target", "text"), ("route", "route", "text"),
        ("own", "own models", "int"), ("decision", "decision", "text"),
    ]  # fmt: skip
    tables = [table_of(pd.DataFrame(rows), "Routes", columns)]
    if len(candidates):
        tables.append(_candidate_table(candidates, targets))
    drawn: tuple[Figure, ...] = ()
    if any(entry.get("symbols") for entry in targets.values()):
        note = "Symbols without an entry of their own follow the target's route."
        drawn = (Figure("Routing map", figures.routing_map(plan), note),)
    kept = tuple(table for table in tables if table.rows)
    return Section("routing", "Routing", lead, kept, drawn)


def _outcome_table(outcomes: pd.DataFrame, comparison: pd.DataFrame) -> Table:
    """What became of each target, and how its features divide by reach."""
    if outcomes.empty:
        return Table("Outcomes", (), ())
    counted = outcomes.set_index("target")
    if len(comparison):
        reach = comparison.groupby(["target", "label"]).size().unstack(fill_value=0)
        counted = counted.join(reach)
    columns = [
        ("target", "target", "text"), ("status", "status", "text"),
        ("n_features", "features", "int"), ("CORE", "core", "int"),
        ("CS_SPECIFIC", "pooled only", "int"),
        ("SYMBOL_SPECIFIC", "single symbols only", "int"), ("WEAK", "weak", "int"),
        ("reason", "note", "text"),
    ]  # fmt: skip
    caption = (
        "Core features matter to the pooled models and to models of single symbols; the "
        "others to one of the two, or to neither."
    )
    return table_of(counted.reset_index(), "Outcomes", columns, caption=caption)


def _stability_table(stability: pd.DataFrame) -> Table:
    columns = [
        ("target", "target", "text"), ("n_folds", "folds", "int"),
        ("jaccard", "overlap of top lists", "number"),
        ("null_jaccard", "of noise", "number"),
        ("kendall_tau", "Kendall tau", "number"),
        ("null_kendall_tau", "of noise", "number"),
        ("seed_jaccard", "overlap over seeds", "number"), ("state", "state", "text"),
    ]  # fmt: skip
    caption = (
        "Agreement of the folds about what is important, beside the agreement on "
        "shuffled labels: what exceeds it is signal, the rest is habit of the models. "
        "The state is reported and decides nothing."
    )
    return table_of(stability, "Stability of the importances", columns, caption=caption)


def _agreement_table(agreement: pd.DataFrame) -> Table:
    columns = [
        ("target", "target", "text"), ("family_a", "family", "text"),
        ("family_b", "and family", "text"),
        ("rank_correlation", "rank correlation", "number"),
        ("top_overlap", "overlap of top lists", "number"),
    ]  # fmt: skip
    return table_of(agreement, "Agreement of the families", columns)


def _facts(summary: Mapping[str, Any]) -> Table:
    names = {
        "source": "source", "interval": "interval", "timezone": "time zone",
        "rows_in": "rows read", "rows_kept": "rows kept",
        "rows_repaired": "rows repaired", "rows_quarantined": "rows in quarantine",
        "rows_outside_session": "of these outside the session",
        "rows_filled": "bars filled in gaps", "missing_bars": "bars missing in gaps",
        "n_symbols": "symbols", "n_bars": "bars", "calendar": "calendar",
    }  # fmt: skip
    rows = [
        {"fact": label, "value": _shown(summary[key])}
        for key, label in names.items()
        if summary.get(key) is not None
    ]
    columns = [("fact", "", "text"), ("value", "", "text")]
    return table_of(pd.DataFrame(rows), "The bars", columns)


def _members(dates: list[dict[str, Any]]) -> Table:
    if not dates:
        return Table("Members", (), ())
    columns = [
        ("date", "date", "text"), ("members", "members", "int"),
        ("held", "held by the bars", "int"), ("with_bar", "with a bar that day", "int"),
        ("share", "held", "percent"),
    ]  # fmt: skip
    caption = "Names that left the market are the first to be missing from bars."
    return table_of(pd.DataFrame(dates), "Members", columns, caption=caption)


def _quality_table(quality: pd.DataFrame) -> Table:
    columns = [
        ("rule", "check", "text"), ("action", "action", "text"),
        ("rows", "rows", "int"), ("symbols", "symbols", "int"),
        ("example", "example", "text"),
    ]  # fmt: skip
    return table_of(quality, "Checks", columns)


def _sectors(security_master: pd.DataFrame) -> Table:
    if security_master.empty:
        return Table("Sectors", (), ())
    grouped = security_master.groupby("sector", sort=True)
    rows = pd.DataFrame(
        {
            "symbols": grouped.size(),
            "delisted": grouped["delisted"].sum().astype(int),
            "bars": grouped["n_bars"].mean(),
        }
    ).reset_index()
    columns = [
        ("sector", "sector", "text"), ("symbols", "symbols", "int"),
        ("delisted", "ended early", "int"), ("bars", "bars per symbol", "int"),
    ]  # fmt: skip
    return table_of(rows, "Sectors", columns)


def _family_table(family_scores: pd.DataFrame, order: list[str]) -> Table:
    if family_scores.empty:
        return Table("Families", (), ())
    wide = family_scores.groupby(["target", "family"])["mean"].mean().unstack("family")
    wide = wide.loc[[target for target in order if target in wide.index]]
    columns = [("target", "target", "text")]
    columns += [(str(name), str(name), "ic") for name in wide.columns]
    caption = (
        "Mean of the metric over the folds, by model family; of path targets before the "
        "reference is taken off."
    )
    return table_of(wide.reset_index(), "Families", columns, caption=caption)


def _route_row(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    own = sum(map(_has_own_model, (entry.get("symbols") or {}).values()))
    decision = entry.get("decision") or entry.get("reason", "")
    route = entry.get("route", "")
    return {"target": name, "route": route, "own": own, "decision": decision}


def _has_own_model(choice: Mapping[str, Any]) -> bool:
    """Whether a symbol gets a model of its own, be it on trial."""
    route = choice.get("route")
    on_trial = route == choice.get("state") == "EXPERIMENTAL"
    return route in ("SYMBOL_SPECIFIC", "BOTH") or on_trial


def _candidate_table(
    candidates: pd.DataFrame, targets: Mapping[str, Mapping[str, Any]]
) -> Table:
    """Symbols with the strongest case, what each takes, and by which rule."""
    from ranking_pipeline.routing.states import RULES

    own = candidates[candidates["mode"] == "symbol_specific"]
    best = own.sort_values(
        ["delta_t", "target", "symbol"], ascending=[False, True, True]
    )
    rows = best.head(TOP_FEATURES).sort_values("target", kind="stable")
    takes = [
        _taken(targets.get(str(target), {}), str(symbol))
        for target, symbol in zip(rows["target"], rows["symbol"], strict=True)
    ]
    why = [RULES.get(str(rule), str(rule)) for rule in rows["rule"]]
    columns = [
        ("target", "target", "text"), ("symbol", "symbol", "text"),
        ("metric", "metric", "text"), ("score t", "own score (t)", "ic_t"),
        ("delta delta_t", "own − pooled (t)", "ic_t"), ("q", "q", "p"),
        ("n_rows", "rows", "int"), ("takes", "takes", "text"), ("why", "why", "text"),
    ]  # fmt: skip
    caption = (
        "Symbols whose own model exceeds the pooled one most clearly, out of fold on the "
        "same rows. The score of a class target is an AUC: 0.5 is no skill."
    )
    table = rows.assign(takes=takes, why=why)
    return table_of(table, "Strongest symbol candidates", columns, caption=caption)


def _taken(entry: Mapping[str, Any], symbol: str) -> str:
    """What a symbol takes in the end, in the words of the routing plan."""
    from ranking_pipeline.routing.render import ROUTE_OF_SYMBOL

    choice = (entry.get("symbols") or {}).get(symbol) or entry
    return ROUTE_OF_SYMBOL.get(str(choice.get("route", "")), "")


def _symbols(summary: Mapping[str, Any]) -> str:
    one = summary.get("n_symbols") == 1
    return f"{_count(summary, 'n_symbols')} symbol{'' if one else 's'}"


def _count(summary: Mapping[str, Any], key: str) -> str:
    value = summary.get(key)
    return "an unknown number of" if value is None else f"{int(value):,}"


def _shown(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
