"""What follows from the papers' own numbers and what does not: the rows of the audit's overview."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

import pandas as pd

from smilelab.artifacts import audit_lee as lee
from smilelab.artifacts import audit_yang as yang
from smilelab.artifacts.numbers import percent
from smilelab.artifacts.product import database_label
from smilelab.audit.matrices import implied_share
from smilelab.audit.rounding import is_tie

COLUMNS = ("claim", "how it was checked", "found", "what follows", "what does not follow")
_Finding = tuple[str, str, str, str, str]


def overview() -> pd.DataFrame:
    """Every claim that was checked: how, what was found, what follows and what does not."""
    return pd.DataFrame([*_lee_matrices(), *_lee_arithmetic(), *_yang()], columns=list(COLUMNS))


def _lee_matrices() -> list[_Finding]:
    whole = lee.search().query("removed == 0")
    counts = lee.splits()
    names = list(lee.rows().index)
    networks = [name for name in names if lee.group(name) != "Lee'18"]
    exact = [name for name in names if lee.group(name) in ("neutral anchor", "plain")]
    found, misfits = lee.matrices_table(), lee.misfit_table()
    off = misfits["nearest single matrix is off by, points"].astype(float)
    on_test = whole.query("split == 'test'")["row"].nunique()
    with_slack = lee.fits_with_slack("test", 1)
    per_row = whole.query("split == 'validation'").groupby("row").size()
    single = [name for name in exact if per_row.get(name, 0) == 1]
    elsewhere = whole.query("split != 'validation' or positive != 'posed'")
    accident = found["other numbers that would fit, %"].astype(float).max()
    means = found[f"means of {lee.folds()} models that would fit, %"].astype(int)
    excluded = misfits[(misfits[f"a mean of {lee.folds()}"] == "excluded") & misfits["row"].isin(networks)]
    by_class = excluded["positive class"].value_counts()
    return [
        (
            "Lee Tables 3 and 4 are of the test set (section 4.1).",
            f"All integer confusion matrices of the {_windows(counts['test'])} of Table 1's test set, for {len(names)} "
            "rows and either class as the positive one.",
            f"{on_test} of {len(names)} rows have one; the nearest matrix is off by {off.min():.2f} to {off.max():.2f} "
            f"points. With every number off by one more last digit, still {with_slack} of {len(names)}.",
            "No row is the result of one model on what Table 1 calls the test set, whichever way it was rounded.",
            "That there was no test set: Table 1 may be what is wrong (next row).",
        ),
        (
            "Table 1 gives the sizes of the sets that the rows can be of.",
            "The same search on the training and validation rows of Table 1 and on its total.",
            f"{len(single)} of {len(exact)} neutral-anchor and plain rows have exactly one matrix on the validation "
            f"set ({_windows(counts['validation'])}) with posed as the positive class; elsewhere there are "
            f"{len(elsewhere) or 'none'}. Of numbers nearby, at most {accident:.2f} % would fit so.",
            "These rows are confusion matrices of the windows that Table 1 calls validation, and posed is the positive "
            "class. Either Table 1 exchanges two of its rows, or Tables 3 and 4 are of the validation set.",
            "Which of the two. If rows are exchanged, the numbers are test results as claimed; if not, they are of the "
            "set that chose the model, and optimistic. It is no evidence of misconduct: one exchanged row is enough.",
        ),
        (
            f"The rows come from {lee.folds()}-fold cross-validation (sections 4.1, 4.3).",
            f"Mean accuracy and recall of {lee.folds()} models bound their mean precision on the test set. On the "
            "validation set: how often a simulated mean would look like one matrix.",
            f"A mean on the test set is excluded for {by_class.get('posed', 0)} of {len(networks)} rows of 3D networks "
            f"with posed as positive, for {by_class.get('spontaneous', 0)} with spontaneous. On the validation set "
            f"{means.min()} to {means.max()} % of means would fit one matrix; {len(single)} of {len(exact)} rows do.",
            "The rows are single results, not means of models on one set; no spread over folds stands behind them.",
            "That there was no cross-validation: it may have chosen settings only. Means over five sets of different "
            "subjects, whose sizes are not printed, cannot be excluded; that they fit one set would be an accident.",
        ),
        _posed_anchor(),
        _lee_18(),
        _threshold(found),
    ]


def _posed_anchor() -> _Finding:
    removed = lee.removed_table()
    mine = removed[removed["row"].map(lee.group) == "posed anchor"]
    chance = mine[lee.ACCIDENT].astype(float)
    ways = [
        f"{way['removed']} {way['removed_from']} windows fewer on the {way['split']} set ({way['positive']} positive)"
        for way in lee.common_removals("posed anchor").to_dict("records")
    ]
    alone = "; ".join(f"{row['row']}: {row['how many']}" for row in mine.to_dict("records"))
    return (
        "The posed-anchor rows of Table 4 are of the same windows as the others.",
        f"The same search, and again with 1 to {lee.MOST_REMOVED} windows of either class left out.",
        f"With all windows no row has a matrix on any set. All {mine['row'].nunique()} fit with {' or '.join(ways)}, "
        f"and with no other number. Alone they fit with more numbers ({alone}).",
        "These rows are of slightly fewer posed windows than the others, perhaps without those that were the anchors.",
        f"The reason, or that nothing else was left out. One row alone is weak evidence: {chance.min():.0f} to "
        f"{chance.max():.0f} % of numbers nearby fit with some number of windows left out. That three agree is strong.",
    )


def _lee_18() -> _Finding:
    low, high = implied_share(*lee.rows().loc["Lee'18", list(lee.METRICS)])
    removed = lee.removed_table()
    mine = removed[removed["row"] == "Lee'18"].to_dict("records")
    ways = [
        f"{way['how many']} {way['windows removed from']} windows fewer on the {way['split']} set "
        f"({way['positive class']} positive)"
        for way in mine
    ]
    chance = " and ".join(way[lee.ACCIDENT] for way in mine)
    return (
        "Lee'18 in Table 3 was evaluated on the same database as the 3D networks.",
        "The same searches; the share of positives that the three numbers imply.",
        f"No matrix on any set. It implies {100 * float(low):.1f} to {100 * float(high):.1f} % positives, where the "
        f"validation set has {percent(lee.majority_share('validation'))} % posed. With windows left out it fits with "
        f"{' or '.join(ways) or 'none'}.",
        "This row is not of the same windows as the others, or is no single matrix: the comparison is not like with "
        "like.",
        f"What it is of. The one fit is no evidence for the test set: {chance} % of numbers nearby fit it with some "
        "number of windows left out.",
    )


def _threshold(found: pd.DataFrame) -> _Finding:
    mine = found[found["row"].isin(lee.below_majority())].to_dict("records")
    listed = "; ".join(
        f"{row['row']}: accuracy {row['accuracy']}, balanced accuracy {row['balanced accuracy']}, {row['FN']} of "
        f"{int(row['TP']) + int(row['FN'])} posed windows missed, AUC {row['AUC']} (its matrix allows "
        f"{row['AUC that the matrix allows']})"
        for row in mine
    )
    return (
        "Table 4 ranks the structures by accuracy, at one threshold.",
        "Accuracy of always answering posed on the validation set; AUC that the point of a matrix allows.",
        f"Majority baseline {100 * lee.majority_share('validation'):.2f} %. Below it: {listed}.",
        "There the threshold is off, not the ranking. Gaps in accuracy between the structures are in part gaps between "
        "thresholds; AUC and balanced accuracy are what to compare.",
        "That the plain networks are as good: their AUC is lower as well. How sure that is cannot be said: no interval "
        "is printed, and thousands of windows that share all frames but one with the next are ten subjects.",
    )


def _lee_arithmetic() -> list[_Finding]:
    sums = lee.arithmetic_table()
    table_1 = sums[sums["what"].str.startswith("Table 1")]
    folds = sums[sums["what"].str.startswith("section 4.1")].iloc[0]
    moments = {row["class"]: row for row in lee.moments_table().to_dict("records")}
    lengths = "; ".join(
        f"{name}: {row['windows per moment']} windows, so {row['mean frames of a moment']} frames or "
        f"{row['mean length of a moment, s']} s on average"
        for name, row in moments.items()
    )
    sizes = lee.sizes_table().to_dict("records")
    never = next(row for row in sizes if row[lee.ACROSS] == "none fits")
    other = next(row for row in sizes if row["layer"] == never["layer"] and row[lee.ACROSS] != "none fits")
    padded = [row for row in sizes if "pooling" in row["layer"] and "0" not in row[lee.IN_TIME].split(", ")]
    paddings = other[lee.ACROSS].replace(", ", " or ")
    poolings = "; ".join(
        f"{row['layer']}: {row['output without padding']}, printed {row['output, printed']}" for row in padded
    )
    return [
        (
            "Lee Table 1 adds up.",
            "Sums of rows and columns, and shares of the column totals, rounded.",
            f"{(table_1['agrees'] == 'yes').sum()} of {len(table_1)} agree.",
            "Each row is consistent with its shares: if two are exchanged, they are so as a whole.",
            "That the counts are right.",
        ),
        (
            f"Overlapping windows were cut from {moments['posed']['moments']} posed and "
            f"{moments['spontaneous']['moments']} spontaneous smile moments (section 3.2).",
            "Windows divided by moments, with the printed length and interval of a window.",
            f"{lengths}.",
            "Posed moments are the longer ones, by far; in UvA-NEMO it is the other way round. Windows of long moments "
            "show more of a plateau, so the phase can give the class away.",
            "That a model used it. The means take for granted that no moment is shorter than a window.",
        ),
        (
            f"{folds['printed']} subjects take part in {lee.folds()}-fold cross-validation (section 4.1).",
            "Folds times the printed number of validating subjects.",
            f"{folds['computed']}, not {folds['printed']}.",
            "The folds are no partition: some subjects never validate, or some do more than once.",
            "That subjects were shared between training and validation within a fold.",
        ),
        (
            f"An input of {never['from']} becomes {never['output, printed']} (section 3.3.2, Table 2).",
            "Output of the printed kernel and stride, for every padding that a kernel can use.",
            f"From {never['from']} it is {_across(never['output without padding'])} or more across, never "
            f"{_across(never['output, printed'])}; from {other['from']} it fits with {paddings} "
            f"pixels of padding. Without padding in time another size is also wrong ({poolings}).",
            f"The input was {other['from']}, as section 3.2.3 has it, and one pooling pads time.",
            "Anything about the results.",
        ),
    ]


def _yang() -> list[_Finding]:
    every = yang.accuracies()
    cross = _one(every, "cross-domain", "uva-nemo -> spos", "spos")
    bbc, spos = (_one(every, "Table 2", "RealSmileNet", database) for database in ("bbc", "spos"))
    majority = yang.majority_share("spos")
    always = int(majority * cross["n"])
    same = "the same" if cross["counts"] == [always] else "another"
    rivals = every.query("place == 'Table 2' and database == 'bbc' and not ours")
    equal = (rivals["printed"] == bbc["printed"]).sum()
    return [
        _baselines(every),
        (
            f"Trained on UvA-NEMO the network reaches {cross['printed']} % on SPOS; that shows robustness.",
            f"k/n of {cross['n']} clips, beside the majority baseline.",
            f"{yang.listed(cross['counts'], cross['n'])}. Always answering spontaneous is right for {always} of "
            f"{cross['n']}: {same} number.",
            "The number cannot be told from that of always answering spontaneous, so it shows no transfer.",
            "That the network always answered so: many confusion matrices have as many right.",
        ),
        (
            "Accuracies on MMI, SPOS and BBC are printed with one decimal.",
            f"k/n of all clips, and of {yang.trials()} trials on them, for RealSmileNet and its variants (Tables 2 and "
            "3, cross-domain).",
            _granularity(every),
            "Most numbers on MMI and SPOS are no single pass over the clips. All fit as means of trials; the ties only "
            "if exact halves went to the even digit, as in Python and numpy, and not up.",
            "An error: a mean over folds need not be any k/n. For UvA-NEMO the check is empty, as every number fits.",
        ),
        (
            f"RealSmileNet beats all methods on BBC, with {bbc['printed']} %, and on SPOS, with {spos['printed']} %.",
            "k/n, and 95 % intervals of k of n, as if clips were independent.",
            f"BBC {yang.listed(bbc['counts'], bbc['n'])}: {yang.interval(bbc['wilson'])} % (Wilson) or "
            f"{yang.interval(bbc['exact'])} % (Clopper-Pearson); {equal} other methods print the same number. SPOS "
            f"{yang.listed(spos['counts'], spos['n'])}: {yang.interval(spos['wilson'])} or "
            f"{yang.interval(spos['exact'])} %, majority {100 * float(majority):.1f} %.",
            f"{bbc['n']} clips tell no two of the better methods apart, and on SPOS the interval holds the baseline.",
            "That the methods are equal.",
        ),
        *_sums(),
    ]


def _one(every: pd.DataFrame, place: str, row: str, database: str) -> Mapping[Any, Any]:
    mine = every[(every["place"] == place) & (every["row"] == row) & (every["database"] == database)]
    return mine.to_dict("records")[0]


def _baselines(every: pd.DataFrame) -> _Finding:
    names = {name: database_label(name, simulated=False) for name in yang.clips()}
    shares = ", ".join(f"{label} {100 * float(yang.majority_share(name)):.2f}" for name, label in names.items())
    groups: dict[str, list[str]] = {}
    for row in every[every["below"]].to_dict("records"):
        groups.setdefault(f"{names[row['database']]}, {row['place']}", []).append(f"{row['row']} {row['printed']}")
    below = "; ".join(f"{where}: {', '.join(rows)}" for where, rows in groups.items())
    return (
        "Yang Tables 2 and 3 compare methods by accuracy alone.",
        "Share of the larger class among the clips of Table 1.",
        f"Majority baselines, %: {shares}. Below them: {below}.",
        "On SPOS and MMI an accuracy says little without balanced accuracy: never looking at a clip does better than "
        "these rows.",
        "That these networks learned nothing: ranking and balanced accuracy may be above chance. That rows from the "
        "literature are of these very clips. A mean over folds has a baseline of its own.",
    )


def _granularity(every: pd.DataFrame) -> str:
    parts = []
    for database in ("mmi", "spos", "bbc"):
        mine = every[every["ours"] & (every["database"] == database)].to_dict("records")
        n, many = mine[0]["n"], yang.trials() * mine[0]["n"]
        once, repeated = (sum(bool(row[key]) for row in mine) for key in ("counts", "counts_of_trials"))
        halves = [
            row["printed"]
            for row in mine
            if row["counts_of_trials"] and all(is_tie(k, many) for k in row["counts_of_trials"])
        ]
        ties = f", of which {', '.join(dict.fromkeys(halves))} are ties" if halves else ""
        label = database_label(database, simulated=False)
        parts.append(f"{label}: {once} of {len(mine)} are some k of {n}, {repeated} some k of {many}{ties}")
    return "; ".join(parts) + "."


def _sums() -> list[_Finding]:
    ages, said = yang.ages(), yang.subjects()
    shares = sum(map(Fraction, ages["share"]))
    held = [counts[0] for counts in ages["videos"] if len(counts) == 1]
    surplus = sum(held) - yang.videos()
    return [
        (
            f"Shares of {len(ages)} age groups among the videos of UvA-NEMO.",
            "Their sum; the numbers of videos that round to each of them.",
            f"{float(shares):.2f} %. {len(held)} of {len(ages)} can be one number of videos only: "
            f"{' + '.join(map(str, held))} = {sum(held)} of {yang.videos()}.",
            f"A count is off, or groups overlap, by {surplus} videos: rounding moves the sum by "
            f"{0.005 * len(ages):.2f} at most.",
            "Which group is wrong.",
        ),
        (
            f"UvA-NEMO has over {said['participants']} participants.",
            "Sums of the printed groups.",
            f"{said['female']} female + {said['male']} male = {said['female'] + said['male']}; {said['young']} young + "
            f"{said['adult']} adult = {said['young'] + said['adult']}.",
            f"It has {said['female'] + said['male']}.",
            "Anything about the results.",
        ),
    ]


def _across(size: str) -> str:
    return size.rpartition("x")[0]


def _windows(counts: Mapping[str, int]) -> str:
    return " + ".join(f"{count:,} {name}" for name, count in counts.items()) + " windows"
