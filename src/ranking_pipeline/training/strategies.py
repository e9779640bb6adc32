"""Strategies: how the pooled models of several targets learn, and the folds they need."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ranking_pipeline.errors import UserError
from ranking_pipeline.models import registry
from ranking_pipeline.training.config import ModelTrainingConfig
from ranking_pipeline.training.earlier_scores import Source
from ranking_pipeline.training.family_faults import SHARED
from ranking_pipeline.training.job import TrainingJob
from ranking_pipeline.training.out_of_fold import Fold
from ranking_pipeline.wording import counted

Jobs = list[TrainingJob]
_log = logging.getLogger(__name__)
WEIGHED = frozenset({"ic_weighted", "stacking"})


def strategic(jobs: Sequence[TrainingJob], config: ModelTrainingConfig) -> Jobs:
    """Turn the jobs of single targets into those of the strategy, with their folds.

    * ``single_task``: every model learns its target alone.
    * ``multi_task``: the pooled regressions of one refit and seed are the heads of one
      network (:mod:`ranking_pipeline.models.families.multi_task`).
    * ``cascade``: in the order of the plan, the pooled models of a family get the
      scores of the same family for all earlier targets as factors: out of fold in
      the train block, the whole model's own on later bars. Families that learn from
      windows of bars see no factors and stay as they are.

    Models of single symbols stay as they are in each of them, and so do the pooled
    classes of ``multi_task``.

    Neither gains over single tasks on the default simulated market, so that both are
    off by default. Validation rank IC less that of the same family alone: ``cascade``
    -0.006 (LightGBM, XGBoost), +0.010 (random forest), +0.006 (mlp), +0.002 (ridge) and
    -0.000 (low_rank) at 5 days after 1 day, -0.001 to +0.005 for classes, all with
    |t| below 2; ``multi_task`` against mlp +0.002 (t 0.7) at 1 day and -0.006 (t -0.6)
    at 5. A fold of a cascade sees earlier scores that other folds' models made; those
    models did learn from its labels of the earlier targets, as in any stacking, but no
    row meets a score that was fitted to itself. On validation rows, by which the next
    models stop early, the earlier scores come from whole models that were themselves
    stopped on the same bars' labels: there a score looks a little better than it is on
    test rows, and the next model may stop a little late.

    Returns
    -------
    list of TrainingJob
        The jobs whose models are rows of ``models``, then those of folds.

    Raises
    ------
    UserError
        For a strategy that has too few targets, or a cascade with refits.
    """
    jobs, folds = list(jobs), Jobs()
    if config.strategy == "cascade" and jobs:
        jobs, folds = _cascade(jobs, config)
    if config.strategy == "multi_task" and jobs:
        jobs = _multi_task(jobs, config)
    _refuse_lone_members(jobs, config)
    return jobs + folds + _ensemble_folds(jobs, folds, config)


def pools(
    jobs: Iterable[TrainingJob], families: Sequence[str]
) -> dict[tuple[str, int], dict[str, TrainingJob]]:
    """Pooled models of each target and seed that an ensemble averages, two at least.

    Parameters
    ----------
    jobs
    families
        Canonical names or other spellings; empty = all.

    Returns
    -------
    dict
        (target, seed) → model id → job; of a model with refits the first of them.
    """
    wanted = {registry.canonical(name) for name in families}
    found: dict[tuple[str, int], dict[str, TrainingJob]] = {}
    for job in jobs:
        if job.symbol is None and job.fold is None:
            for target, model_id in job.heads.items():
                if not wanted or job.family in wanted:
                    pool = found.setdefault((target, job.seed), {})
                    pool.setdefault(model_id, job)
    return {key: pool for key, pool in found.items() if len(pool) > 1}


def folds_of(
    job: TrainingJob, config: ModelTrainingConfig, purged_by: tuple[str, ...] = ()
) -> Jobs:
    """Jobs of the folds of a model: together they score its whole train block.

    Refits score months after the train block; what is measured before it serves all.
    """
    n_folds, share = config.ensembles.folds, config.walk_forward.validation_share
    return [
        replace(
            job,
            job_id=f"{job.job_id}:fold{number}",
            model_id=f"{job.model_id}:fold{number}",
            window=None,
            fold=Fold(number, n_folds, share),
            purged_by=purged_by,
        )
        for number in range(1, n_folds + 1)
    ]


def _refuse_lone_members(jobs: Jobs, config: ModelTrainingConfig) -> None:
    """Refuse ensembles that no target can have; name the targets that go without."""
    lists = config.ensembles
    wanted = {registry.canonical(name) for name in lists.families}
    pooled: dict[str, dict[str, None]] = {}
    for job in jobs:
        for target in job.heads if job.symbol is None else ():
            taking_part = pooled.setdefault(target, {})
            if not wanted or job.family in wanted:
                taking_part[job.family] = None
    if not lists.methods or not pooled:
        return
    lone = {target: names for target, names in pooled.items() if len(names) < 2}
    told = "; ".join(f"{t}: {', '.join(names) or 'none'}" for t, names in lone.items())
    methods = ", ".join(lists.methods)
    if len(lone) == len(pooled):
        raise UserError(
            f"model_training.ensembles: {methods} averages two or more families of a "
            f"target, and there are {told}. Add families, or set methods to []."
        )
    if lone:
        _log.warning(
            "ensembles: %s is not made where one family is left: %s", methods, told
        )


def _ensemble_folds(jobs: Jobs, have: Jobs, config: ModelTrainingConfig) -> Jobs:
    """Folds that weights of ensembles need beside those that are there already."""
    if not WEIGHED & set(config.ensembles.methods):
        return []
    found = pools(jobs, config.ensembles.families).values()
    members = {job.model_id: job for pool in found for job in pool.values()}
    known = {fold.job_id for fold in have}
    wanted = (fold for job in members.values() for fold in folds_of(job, config))
    folds = [fold for fold in wanted if fold.job_id not in known]
    _log.info(
        "ensembles: %s of folds besides, for the weights of %s",
        counted(len(folds), "model"),
        counted(len(members), "member"),
    )
    return folds


def _multi_task(jobs: Jobs, config: ModelTrainingConfig) -> Jobs:
    """Put one job in the place of all pooled regressions of a refit and seed."""
    groups: dict[tuple[object, ...], Jobs] = {}
    for job in jobs:
        if job.symbol is None and job.task == "regression":
            key = (job.window, job.seed, job.learning_target, job.feature_scale)
            groups.setdefault(key, []).append(job)
    shared = [_shared(group, config) for group in groups.values()]
    grouped = {job.job_id: job for group in groups.values() for job in group}
    rest = [job for job in jobs if job.job_id not in grouped]
    if not shared:
        _refuse_few(SHARED, (), config)
    replaced = sorted({job.family for job in grouped.values()} - {SHARED})
    _log.info(
        "strategy multi_task: %s in the place of %s (%s); %s (classes, single symbols) "
        "as planned",
        counted(len(shared), "network"),
        counted(len(grouped), "pooled regression"),
        ", ".join(replaced) or SHARED,
        counted(len(rest), "other model"),
    )
    return shared + _without_shared(rest, config)


def _without_shared(rest: Jobs, config: ModelTrainingConfig) -> Jobs:
    """Leave multi_task out for classes, which have no further targets beside them."""
    kept = [job for job in rest if job.family != SHARED]
    held = {job.target for job in kept}
    left = sorted({job.target for job in rest} - held)
    asked = [target for target in left if target in config.targets]
    if asked:
        raise UserError(
            f"model_training.targets: {', '.join(asked)} is no regression, which alone "
            "multi_task learns; enable another family for it in model_training.families."
        )
    if left:
        _log.warning("strategy multi_task: no model of %s is trained", ", ".join(left))
    return kept


def _shared(group: Jobs, config: ModelTrainingConfig) -> TrainingJob:
    first = group[0]
    targets = tuple(dict.fromkeys(job.target for job in group))
    if len(targets) < 2:
        _refuse_few(SHARED, targets, config)
    suffix = first.model_id.removeprefix(f"{first.family}:{first.target}")
    row = first.job_id.removesuffix(f":{first.family}{suffix}")
    return replace(
        first,
        job_id=f"{row}:{SHARED}{suffix}",
        model_id=f"{SHARED}:{first.target}{suffix}",
        family=SHARED,
        features=tuple(dict.fromkeys(name for job in group for name in job.features)),
        parameters=config.block(SHARED),
        stage=registry.listing(SHARED).device,
        entry_lag_bars=min(job.entry_lag_bars for job in group),
        helpers=targets[1:],
    )


def _cascade(jobs: Jobs, config: ModelTrainingConfig) -> tuple[Jobs, Jobs]:
    """Give each pooled model the scores of its family for all earlier targets."""
    if any(job.window is not None for job in jobs):
        raise UserError(
            "model_training.strategy cascade needs model_training.walk_forward."
            "refit_months null: its factors are scores out of fold in one train block."
        )
    chains: dict[tuple[str, int], Jobs] = {}
    for job in jobs:
        if job.symbol is None and not registry.listing(job.family).sequence:
            chains.setdefault((job.family, job.seed), []).append(job)
    made: dict[str, TrainingJob] = {}
    folds: Jobs = []
    for chain in chains.values():
        if len(chain) < 2:
            continue
        linked, own = _linked(chain, config)
        made |= {job.job_id: new for job, new in zip(chain, linked, strict=True)}
        folds += own
    if not made:
        _refuse_few("cascade", tuple(sorted({job.target for job in jobs})), config)
    _log.info(
        "strategy cascade: %s, with %s of folds; %s (windows of bars, single symbols, "
        "families of one target) as planned",
        counted(len(made), "pooled model"),
        counted(len(folds), "model"),
        counted(len(jobs) - len(made), "other model"),
    )
    return [made.get(job.job_id, job) for job in jobs], folds


def _linked(chain: Jobs, config: ModelTrainingConfig) -> tuple[Jobs, Jobs]:
    """Models of a chain, and the folds of all but the last.

    A score out of fold becomes a factor of rows whose own label ends later: folds are
    purged by the labels of the whole chain.
    """
    targets = tuple(job.target for job in chain)
    linked: Jobs = []
    folds: Jobs = []
    sources: tuple[Source, ...] = ()
    for job in chain:
        head = f"{job.family}:{job.target}"
        suffix = job.model_id.removeprefix(head)
        new = replace(job, model_id=f"{head}:cascade{suffix}", sources=sources)
        linked.append(new)
        if len(linked) < len(chain):
            others = tuple(name for name in targets if name != job.target)
            own = folds_of(new, config, others)
            folds += own
            keys = tuple(fold.key for fold in own)
            sources = (*sources, Source(job.target, keys, new.key))
    return linked, folds


def _refuse_few(
    strategy: str, targets: tuple[str, ...], config: ModelTrainingConfig
) -> None:
    told = ", ".join(targets) or "none"
    what = "pooled regressions" if strategy == SHARED else "pooled targets of a family"
    where = "the plan has"
    remedy = "Plan more targets (target_ranking.top_n_targets)"
    if config.targets:
        where = f"model_training.targets {list(config.targets)} leaves"
        remedy = "Name more targets there ([] = all of the plan)"
    raise UserError(
        f"model_training.strategy {strategy} needs two or more {what}, and {where}: "
        f"{told}. {remedy}, or use single_task."
    )
