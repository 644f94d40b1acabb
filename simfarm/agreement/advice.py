"""What a judge's figures say to do, in plain words; no line without a figure behind it.

A line is said where the whole interval lies on one side, so that advice is not given on noise.
"""

from __future__ import annotations

from simfarm.agreement.figures import Row

__all__ = ["advice"]

_FEW_POINTS = 0.05
"""Half an interval's width from which more labels are advised."""
_MATTERS = 0.01
"""A share of calls up to which nothing is said."""
_TURNS = 0.1
"""A share of comparisons up to which a judge may contradict itself."""
_SAME = 0.95


def advice(row: Row, people: Row | None) -> list[str]:
    """What to do about one judge, the most important first."""
    lines: list[str] = []
    for part in (_trusted, _labels, _place, _length, _marks, _itself, _confidence, _again, _unread):
        lines += part(row, people)
    return lines


def _limits(row: Row, name: str, digits: int = 0, times: float = 100) -> str:
    """The limits of a figure, seen from its own side of nought: "1 to 10" of −10 to −1."""
    ends = [times * x for x in row.limits[name]]
    value = row.get(name)
    if value is not None and value.value < 0:
        ends = [-x for x in reversed(ends)]
    return " to ".join(f"{round(x, digits) + 0.0:.{digits}f}".replace("-", "−") for x in ends)


def _points(row: Row, name: str) -> str:
    value = row.get(name)
    return "" if value is None else f"{100 * abs(value.value):.1f} points ({_limits(row, name, 1)})"


def _trusted(row: Row, people: Row | None) -> list[str]:
    """Beside `longest`, the ceiling and chance."""
    lines = []
    longest = "'longest output wins'"
    if row.above("above_longest", 0):
        lines.append(f"trust: it beats {longest} by {_points(row, 'above_longest')}")
    elif row.below("above_longest", 0):
        lines.append(f"trust: it is {_points(row, 'above_longest')} worse than {longest}: take another judge")
    elif (gap := row.get("above_longest")) is not None:
        than = "above" if gap.value >= 0 else "below"
        said = f"{100 * abs(gap.value):.1f} points {than} it ({_limits(row, 'above_longest', 1)})"
        lines.append(f"trust: not shown to beat {longest}, {said}: label more, or take another judge")
    kappa = row.get("cohen_kappa")
    if kappa is not None and not row.above("cohen_kappa", 0):
        said = f"κ {kappa.value:.2f}, {_limits(row, 'cohen_kappa', 2, 1)}"
        lines.append(f"trust: not shown to agree with people more than chance would ({said})")
    if row.above("below_ceiling", 0):
        lines.append(
            f"ceiling: it agrees with people {_points(row, 'below_ceiling')} better than one more person would"
        )
    elif row.below("below_ceiling", 0):
        lines.append(f"ceiling: one more person would agree {_points(row, 'below_ceiling')} better with people")
    elif row.get("below_ceiling") is not None:
        lines.append("ceiling: not told apart from one more person")
    return lines


def _labels(row: Row, people: Row | None) -> list[str]:
    if people is None:
        return ["labels: none were given, so whether it is right is not known: label 200 comparisons (--human FILE)"]
    if row.get("agreement") is None:
        return ["labels: fewer than two instructions have a verdict and a label: label 200 comparisons"]
    low, high = row.limits["agreement"]
    half = (high - low) / 2
    lines = []
    if half > _FEW_POINTS:
        n = round(row.n_labelled * (half / 0.03) ** 2, -2)
        said = f"labels: agreement is known to ±{100 * half:.0f} points"
        lines.append(f"{said}; about {n:,.0f} labelled comparisons make it ±3")
    if people.get("agreement") is None:
        lines.append("labels: have 50 comparisons labelled by a second person: without it nobody knows the ceiling")
    return lines


def _place(row: Row, people: Row | None) -> list[str]:
    first, turned = row.get("first"), row.get("reversals")
    lines = []
    if first is not None and (row.above("first", 0.5) or row.below("first", 0.5)):
        place, share, ends = "first", first.value, row.limits["first"]
        if share < 0.5:
            place, share, ends = "second", 1 - share, (1 - ends[1], 1 - ends[0])
        said = f"it takes the output shown {place} in {100 * share:.0f} % ({100 * ends[0]:.0f} to {100 * ends[1]:.0f})"
        lines.append(f"position: {said}: " + ("keep asking both orders" if turned is not None else "use --order both"))
    if turned is not None and row.above("reversals", _TURNS):
        said = f"{100 * turned.value:.0f} % ({_limits(row, 'reversals')})"
        lines.append(f"position: swapped, it names another winner in {said}: one order alone is noise there")
    return lines


def _length(row: Row, people: Row | None) -> list[str]:
    excess, longer = row.get("longer_excess"), row.get("longer")
    remedy = "read win rates at equal length"
    if excess is None:
        if people is None and longer is not None and row.above("longer", 0.55):
            said = f"it takes the longer output in {100 * longer.value:.0f} %"
            return [f"length: {said}; whether too often, labels tell: {remedy}"]
        return []
    than = "more" if row.above("longer_excess", 0) else "less" if row.below("longer_excess", 0) else None
    said = f"{_points(row, 'longer_excess')} {than} often than people do"
    return [f"length: it takes the longer output {said}: {remedy}"] if than else []


def _marks(row: Row, people: Row | None) -> list[str]:
    lines = []
    for name, words in (("lists", "the output with a list"), ("bold", "the output with bold text")):
        excess = row.get(f"{name}_excess")
        than = "more" if row.above(f"{name}_excess", 0) else "less" if row.below(f"{name}_excess", 0) else None
        if excess is not None and than:
            said = _points(row, f"{name}_excess")
            lines.append(f"style: it takes {words} {said} {than} often than people do: evaluate --control {name}")
    return lines


def _itself(row: Row, people: Row | None) -> list[str]:
    own = row.get("self_preference")
    if own is None or not row.above("self_preference", 0):
        return []
    than = "the other judges" if people is None else "people"
    said = f"{_points(row, 'self_preference')} more than {than} do, other models' taken off"
    return [f"itself: it prefers its own outputs {said}: let another judge compare that model"]


def _confidence(row: Row, people: Row | None) -> list[str]:
    off, heat = row.get("calibration_error"), row.get("temperature")
    if off is None or not row.above("calibration_error", 0):
        return []
    said = _points(row, "calibration_error")
    sure = f", and too sure (temperature {heat.value:.1f})" if heat and row.above("temperature", 1) else ""
    return [
        f"calibration: its preferences are {said} from what people say{sure}: evaluate --human gives people's rates"
    ]


def _again(row: Row, people: Row | None) -> list[str]:
    again = row.get("retest")
    if again is None or not row.below("retest", _SAME):
        return []
    said = f"{100 * again.value:.0f} % ({_limits(row, 'retest')})"
    return [f"noise: asked again it says the same in {said}: temperature 0, or --repeats 3 and their mean"]


def _unread(row: Row, people: Row | None) -> list[str]:
    lines = []
    unread, failed = row.get("unparseable"), row.get("error")
    if unread is not None and row.above("unparseable", _MATTERS):
        said = f"{100 * unread.value:.1f} % of its calls have no readable verdict"
        lines.append(f"replies: {said}: read some (show --status unparseable)")
    if failed is not None and row.above("error", _MATTERS):
        lines.append(f"replies: {100 * failed.value:.1f} % of its calls failed: run the same command again")
    if not row.n_comparisons:
        lines.append("replies: it has no verdict at all")
    return lines
