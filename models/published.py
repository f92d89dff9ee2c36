"""Recipes from the literature, by name: which methods act together, what for, and what data they are made for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from models.balancing.base import Source

Aim = Literal["continuity", "rare_classes", "worst_group", "group_gap", "calibration", "ranking"]
AIMS: Mapping[Aim, str] = {
    "continuity": "go on from the champion",
    "rare_classes": "serve rare classes as well as frequent ones",
    "worst_group": "serve every group, the worst included",
    "group_gap": "decide alike for all groups",
    "calibration": "say probabilities that can be believed",
    "ranking": "put positives before negatives",
}

CALIBRATE_PLAIN, CALIBRATE_BALANCED = "temperature", "bias_corrected_temperature"
"""What a recipe is ended with so that its probabilities can be believed: after plain training, and after balanced one."""


@dataclass(frozen=True)
class Made:
    """What data a recipe is made for, where less would not carry it.

    `ratio` is the least imbalance (largest / smallest class), `classes` the fewest classes, `rows` and `class_rows` the
    fewest training rows in all and of the smallest class, `cell_rows` of the smallest class in the smallest group;
    `rows_at_most` where it is too slow for more.
    """

    ratio: float = 1.0
    classes: int = 2
    rows: int = 0
    class_rows: int = 0
    cell_rows: int = 0
    rows_at_most: int | None = None


@dataclass(frozen=True)
class Published:
    """A recipe with a name: its composition, what it is for, and why one would take it.

    Its name is that of its parts joined by `_`, or one of its own. `paper` is the one that combines or evaluates it, where
    that is not the source of its only method; without one, the parts are published and it is put together here.
    """

    name: str
    composition: Mapping[str, Any]
    aim: Aim
    why: str
    made: Made = field(default_factory=Made)
    paper: Source | None = None


LDAM = Source(
    "Learning Imbalanced Datasets with Label-Distribution-Aware Margin Loss",
    "K. Cao, C. Wei, A. Gaidon, N. Arechiga, T. Ma",
    2019,
    "arXiv:1906.07413",
)
EFFECTIVE_NUMBER = Source(
    "Class-Balanced Loss Based on Effective Number of Samples",
    "Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie",
    2019,
    "arXiv:1901.05555",
)
SYSTEMATIC = Source(
    "A systematic study of the class imbalance problem in convolutional neural networks",
    "M. Buda, A. Maki, M. A. Mazurowski",
    2017,
    "arXiv:1710.05381",
)
GROUP_DRO = Source(
    "Distributionally Robust Neural Networks for Group Shifts: On the Importance of Regularization for "
    "Worst-Case Generalization",
    "S. Sagawa, P. W. Koh, T. B. Hashimoto, P. Liang",
    2019,
    "arXiv:1911.08731",
)

PUBLISHED: tuple[Published, ...] = (
    # --- going on from the champion ---
    Published(
        "shrink_and_perturb", {"start": "shrink_and_perturb"}, "continuity",
        "begins near the champion, with room left to learn what is new",
    ),
    Published(
        "distillation", {"regularize": "distillation"}, "continuity",
        "begins anew and is held near what the champion says, whatever model that is",
    ),
    Published(
        "warm_start_distillation_ema",
        {"start": "warm_start", "regularize": "distillation", "optimize": "ema"}, "continuity",
        "keeps as much of the champion as training can: its weights, its outputs, and an average along the way",
    ),
    Published(
        "warm_start_rehearsal", {"start": "warm_start", "resample": "rehearsal"}, "continuity",
        "goes on from the champion's weights, and does not forget rows that it learned and that are gone from the data",
    ),
    # --- rare classes, the plainest first ---
    Published(
        "balanced_softmax", {"loss": "balanced_softmax"}, "rare_classes",
        "trains as if classes were equally frequent, and has nothing to tune", Made(ratio=1.5),
    ),
    Published(
        "weighted_ce", {"loss": "weighted_ce"}, "rare_classes",
        "weighs rare classes more, which trees can do as well", Made(ratio=1.5),
    ),
    Published(
        "logit_adjustment", {"adjust": "logit_adjustment"}, "rare_classes",
        "moves only the decision, as far as the search finds right; the training stays as it is", Made(ratio=1.5),
    ),
    Published(
        "logit_adjusted", {"loss": "logit_adjusted"}, "rare_classes",
        "is consistent for balanced accuracy, with the strength left to the search", Made(ratio=1.5),
    ),
    Published(
        "ldam_drw", {"loss": "ldam", "schedule": "drw"}, "rare_classes",
        "gives rare classes a wider margin, and weighs them only after the features are learned",
        Made(ratio=5, class_rows=10), LDAM,
    ),
    Published(
        "square_root_sampling", {"sample": "square_root_sampling"}, "rare_classes",
        "draws rare classes more often without repeating their few rows too much", Made(ratio=3),
    ),
    Published(
        "class_balanced", {"loss": "class_balanced"}, "rare_classes",
        "weighs classes by the effective number of their rows, so that the rarest do not dominate", Made(ratio=3),
    ),
    Published(
        "random_over", {"resample": "random_over"}, "rare_classes",
        "repeats rows of rare classes, for any learner", Made(ratio=2), SYSTEMATIC,
    ),
    Published(
        "class_balanced_sampling_bias_corrected_temperature",
        {"sample": "class_balanced_sampling", "adjust": "bias_corrected_temperature"}, "rare_classes",
        "draws all classes equally often, and takes the shift of the probabilities back afterwards",
        Made(ratio=2, class_rows=20),
    ),
    Published(
        "mislas", {"schedule": "mislas"}, "rare_classes",
        "mixup for the features, then a balanced classifier that is not overconfident",
        Made(ratio=5, classes=3, rows=2000),
    ),
    Published(
        "crt", {"schedule": "crt"}, "rare_classes",
        "learns features on the rows as they are and only the classifier on balanced ones",
        Made(ratio=5, classes=3, rows=2000),
    ),
    Published(
        "random_under", {"resample": "random_under"}, "rare_classes",
        "drops rows of frequent classes, which makes training short where there are many",
        Made(ratio=3, rows=5000, class_rows=200), SYSTEMATIC,
    ),
    Published(
        "class_balanced_focal", {"loss": "focal", "weigh": "effective_number"}, "rare_classes",
        "focuses on hard rows and weighs rare classes", Made(ratio=5), EFFECTIVE_NUMBER,
    ),
    Published(
        "smote", {"resample": "smote"}, "rare_classes", "makes new rows between those of a rare class",
        Made(ratio=3, class_rows=20, rows_at_most=200_000),
    ),
    Published(
        "tau_normalization", {"adjust": "tau_normalization"}, "rare_classes",
        "evens out the norms of the class weights after training", Made(ratio=5, classes=3, rows=2000),
    ),
    Published(
        "lws", {"schedule": "lws"}, "rare_classes", "learns one number per class after the features",
        Made(ratio=5, classes=3, rows=2000),
    ),
    Published(
        "mixup_drw", {"mix": "mixup", "schedule": "drw"}, "rare_classes",
        "regularizes by mixing rows, then weighs rare classes", Made(ratio=5, rows=1000),
        Source(
            "From SMOTE to Mixup for Deep Imbalanced Classification", "W.-C. Cheng, T.-H. Mai, H.-T. Lin", 2023,
            "arXiv:2308.15457",
        ),
    ),
    Published(
        "remix_drw", {"mix": "remix", "schedule": "drw"}, "rare_classes",
        "mixes rows in favour of the rarer class, then weighs rare classes", Made(ratio=5, rows=1000),
        Source(
            "Remix: Rebalanced Mixup", "H.-P. Chou, S.-C. Chang, J.-Y. Pan, W. Wei, D.-C. Juan", 2020,
            "arXiv:2007.03943",
        ),
    ),
    Published(
        "margin_aware_mixup_ldam_drw", {"mix": "margin_aware_mixup", "loss": "ldam", "schedule": "drw"}, "rare_classes",
        "margins and mixing that both leave rare classes more room", Made(ratio=10, rows=1000),
    ),
    Published(
        "balanced_softmax_tau_normalization", {"loss": "balanced_softmax", "adjust": "tau_normalization"},
        "rare_classes", "takes out what is left of the norms' imbalance after balanced training",
        Made(ratio=20, classes=3, rows=2000),
    ),
    Published(
        "cmo_ldam_drw", {"mix": "cmo", "loss": "ldam", "schedule": "drw"}, "rare_classes",
        "pastes rare objects into frequent backgrounds", Made(ratio=10),
        Source(
            "The Majority Can Help The Minority: Context-rich Minority Oversampling for Long-tailed Classification",
            "S. Park, Y. Hong, B. Heo, S. Yun, J. Y. Choi", 2021, "arXiv:2112.00412",
        ),
    ),
    Published(
        "sam_ldam_drw", {"optimize": "sam", "loss": "ldam", "schedule": "drw"}, "rare_classes",
        "looks for flat minima, which rare classes are seldom in; steps take twice as long",
        Made(ratio=20, rows_at_most=100_000),
        Source(
            "Escaping Saddle Points for Effective Generalization on Class-Imbalanced Data", "H. Rangwani et al.", 2022,
            "arXiv:2212.13827",
        ),
    ),
    Published(
        "influence_balanced", {"loss": "influence_balanced"}, "rare_classes",
        "holds back rows that bend the boundary to the frequent classes", Made(ratio=10, rows=1000),
    ),
    Published(
        "vs_loss", {"loss": "vs_loss"}, "rare_classes",
        "scales logits as well as it shifts them, which acts on a net that fits every row", Made(ratio=10),
    ),
    # --- worst group ---
    Published(
        "class_group_balanced", {"sample": "class_group_balanced"}, "worst_group",
        "draws every class of every group alike: plain, and hard to beat", Made(cell_rows=10),
    ),
    Published(
        "group_dro", {"weigh": "group_dro"}, "worst_group", "minimizes the loss of whichever group is worst off",
        Made(cell_rows=5),
    ),
    Published(
        "dfr", {"adjust": "last_layer_retraining"}, "worst_group",
        "trains only the last layer anew, on rows balanced by class and group", Made(cell_rows=20, rows=1000),
    ),
    Published(
        "group_dro_strong_decay", {"weigh": "group_dro", "learner": {"weight_decay": 1.0}}, "worst_group",
        "group DRO with the strong weight decay that a net which fits every row needs", Made(cell_rows=5), GROUP_DRO,
    ),
    Published(
        "lisa", {"mix": "lisa"}, "worst_group",
        "mixes rows of one class from different groups, so that the group tells nothing", Made(cell_rows=10),
    ),
    Published(
        "cvar_dro", {"weigh": "cvar_dro"}, "worst_group",
        "minimizes the mean loss of the worst rows, whatever group they are of", Made(rows=1000),
    ),
    # --- gaps between groups ---
    Published(
        "temperature_balanced_equalized_odds", {"adjust": ["temperature", "balanced_equalized_odds"]}, "group_gap",
        "plain training, then thresholds by group of the best balanced accuracy within the gap", Made(cell_rows=20),
    ),
    Published(
        "temperature_equalized_odds", {"adjust": ["temperature", "equalized_odds"]}, "group_gap",
        "plain training, then thresholds by group of the fewest errors within the gap", Made(cell_rows=20),
    ),
    Published(
        "reweighing", {"weigh": "reweighing"}, "group_gap",
        "makes class and group independent in the weighted table, for any learner",
    ),
    Published(
        "adversary", {"regularize": "adversary"}, "group_gap", "learns features from which the group cannot be read",
        Made(rows=1000),
        Source(
            "Mitigating Unwanted Biases with Adversarial Learning", "B. H. Zhang, B. Lemoine, M. Mitchell", 2018,
            "arXiv:1801.07593",
        ),
    ),
    Published(
        "group_constraints", {"regularize": "group_constraints"}, "group_gap",
        "trains under a limit on the gap in how often groups are selected", Made(rows=1000),
    ),
    Published(
        "group_thresholds", {"adjust": "group_thresholds"}, "group_gap",
        "thresholds by group that trade F1 against the gap in error", Made(cell_rows=20),
    ),
    # --- calibration ---
    Published(
        "temperature", {"adjust": "temperature"}, "calibration",
        "one number, fitted on calibration rows; the decisions stay",
    ),
    Published(
        "focal_temperature", {"loss": "focal", "adjust": "temperature"}, "calibration",
        "keeps the net from growing overconfident, then fits what is left", Made(),
        Source(
            "Calibrating Deep Neural Networks using Focal Loss",
            "J. Mukhoti, V. Kulharia, A. Sanyal, S. Golodetz, P. H. S. Torr, P. K. Dokania", 2020, "arXiv:2002.09437",
        ),
    ),
    Published(
        "mixup", {"mix": "mixup"}, "calibration",
        "trains on mixed rows and mixed targets, which keeps a net from growing overconfident", Made(rows=500),
        Source(
            "On Mixup Training: Improved Calibration and Predictive Uncertainty for Deep Neural Networks",
            "S. Thulasidasan, G. Chennupati, J. Bilmes, T. Bhattacharya, S. Michalak", 2019, "arXiv:1905.11001",
        ),
    ),
    # --- ranking ---
    Published(
        "auc_margin_bias_corrected_temperature", {"loss": "auc_margin", "adjust": "bias_corrected_temperature"},
        "ranking", "trains for the area under the ROC curve, and calibrates what that leaves", Made(ratio=3),
    ),
)  # fmt: skip
