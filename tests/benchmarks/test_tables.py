"""Tables of the docs are what was measured; seeds that are missing, cells without a number and second rows are told."""

import itertools
import math

import ablation
import ablation_tables
import published_tables
import pytest
import shield
import shield_published
import shield_tables
import shield_transfer
import transfer_tables
from table_cells import LABELS, PARAMS, column, percent, proven, size, span
from tables import BENCHMARKS, MEASURED, ROOT, TABLES, add, filled, kept

from pipeline.errors import SteadyflowError
from pipeline.files import read_csv, write_csv

QUANTILE = f"{shield.usual_quantile(PARAMS):g}"
CELLS = dict.fromkeys((*shield.COLUMNS,), "0.5") | {"calibrated_on": "", "pictures": "", "without": "", "attack": "yes"}
OWN = {"quantile": QUANTILE, "calibrated_on": "own", "pictures": "all", "without": "nothing"}


def row(task="lol", variant="affine", seed="10", quantile="none", **values):
    return CELLS | {"task": task, "variant": variant, "seed": seed, "quantile": quantile} | values


def every(**values):
    """Return rows of everything that the tables of three seeds need."""
    keys = itertools.product(PARAMS.tasks, LABELS, shield_tables.SEEDS, ({}, OWN))
    return [row(task, variant, seed, **(kind | values)) for task, variant, seed, kind in keys]


def cells_of(lines, *start):
    (found,) = [line.strip("| ").split(" | ") for line in lines if line.startswith("| " + " | ".join(start))]
    return found


@pytest.mark.parametrize("name", TABLES)
def test_a_document_has_the_table_of_what_was_measured(name):
    text = (ROOT / TABLES[name].document).read_text(encoding="utf-8")
    rows = read_csv(kept(MEASURED, TABLES[name].benchmark))
    assert filled(text, name, rows) == text, "write it anew: python benchmarks/tables.py"


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_what_is_kept_has_the_columns_of_its_benchmark_and_no_row_twice(benchmark):
    rows = read_csv(kept(MEASURED, benchmark))
    assert rows and all(tuple(found) == benchmark.COLUMNS for found in rows)
    assert len({tuple(found[key] for key in benchmark.KEY) for found in rows}) == len(rows)


def test_a_cell_is_the_worst_of_all_seeds_or_their_mean():
    rows = every()
    for seed, (bad, lpips, bound) in zip(
        ("10", "11", "12"), (("0", "0.1", "2"), ("0.25", "0.2", "3"), ("0", "0.3", "1")), strict=True
    ):
        found = next(
            r for r in rows if (r["task"], r["variant"], r["seed"]) == ("lol", "affine", seed) and r["without"]
        )
        found |= {"bad_share_stress": bad, "lpips": lpips, "bound": bound}
    _, _, stress, *_, bounds, _ = cells_of(shield_tables.explosions(rows), "`lol`", "affine")
    assert (stress, bounds) == ("50 -> 25; 50", "0.5 -> 3")
    assert cells_of(shield_tables.cost(rows), "`lol`", "affine")[3] == "0.500 ± 0.000 -> 0.200 ± 0.100"
    assert cells_of(shield_tables.bad_values(rows), "`lol`")[5] == "0 .. 25; 50"


def test_what_an_attack_drove_out_of_all_numbers_and_a_flow_without_bound_are_said_so():
    rows = every(free_drawn_largest="", bound="")
    cells = cells_of(shield_tables.explosions(rows), "`lol`", "affine")
    assert cells[6] == "not finite -> not finite" and cells[9].startswith("none -> none")


def test_rows_without_an_attack_and_of_other_shields_are_not_the_demos():
    others = [row(quantile=q, calibrated_on="own", without="nothing", lpips="9") for q in ("0.2", "budget")]
    rows = [*every(), row(attack="no", lpips="9"), *others]
    assert "9" not in "".join(shield_tables.lpips(rows))


def test_what_is_certain_is_the_least_of_the_seeds_rounded_down():
    rows = every(good_draw="17.89", good_latent="2.29")

    def of(task, variant, seed):
        return next(r for r in rows if (r["task"], r["variant"], r["seed"]) == (task, variant, seed) and r["without"])

    of("df2k_x4", "affine", "12")["good_draw"] = "16.1"
    of("lol", "bounded", "11").update(good_draw="", good_latent="")
    assert cells_of(shield_tables.certain(rows), "`df2k_x4`")[1] == "2.2; 16"
    assert cells_of(shield_tables.certain(rows), "`lol`")[1:3] == ["2.2; 17", "none"]


def test_room_is_told_beside_none_of_it_seed_by_seed():
    near = dict.fromkeys(("near_3_sigma_largest", "bad_share_stress_before_tails"), "0.25")
    rows = every(bound="2.5", held_out_agreement="60")
    for seed, agreement in (("12", "54.66"), ("11", "58.1")):
        tight = row(**OWN | {"task": "lol", "variant": "rq_spline", "seed": seed, "without": "room", "attack": "yes"})
        rows.append(tight | near | {"held_out_agreement": agreement, "free_3_sigma_largest": "1.5", "bound": "2.211"})
    narrow, wide = (line.split(" | ") for line in [*shield_tables.without_room(rows)][2:])
    assert narrow[2:] == ["11, 12", "to what was seen", "58.1, 54.7", "25", "1.5, 1.5", "2.22 |"]
    assert wide[2:5] == ["11, 12", "with room", "60.0, 60.0"]


def test_a_missing_seed_and_a_missing_number_are_told():
    without = [found for found in every() if not (found["seed"] == "11" and found["variant"] == "bounded")]
    with pytest.raises(SteadyflowError, match="bounded: seeds 11 are not measured with --attack"):
        list(shield_tables.lpips(without))
    for blank in ("", "nan"):
        with pytest.raises(SteadyflowError, match="a row has no lpips"):
            list(shield_tables.lpips(every(lpips=blank)))
    assert column([row(lpips="nan")], "lpips", 7.0) == [7.0]


def test_low_light_is_better_only_in_all_three():
    better = {"baseline_lpips": "0.6", "baseline_psnr": "0.4", "baseline_ssim_colour": "0.4"}
    assert {line.split(" | ")[-1] for line in [*shield_tables.low_light(every(**better))][3:8]} == {"3 of 3 |"}
    worse = better | {"baseline_psnr": "0.5"}
    assert {line.split(" | ")[-1] for line in [*shield_tables.low_light(every(**worse))][3:8]} == {"0 of 3 |"}


def test_other_pictures_stand_below_the_tasks_own():
    some = [row(**OWN | {"calibrated_on": "/a/photos", "pictures": n}, crops=c) for n, c in (("16", "24"), ("1", "4"))]
    lines = [*shield_tables.other_pictures([*every(), *some])][2:]
    assert [line.split(" | ")[2:4] for line in lines] == [
        ["its training pictures", "0.5"],
        ["1 of photos", "4"],
        ["16 of photos", "24"],
    ]


def test_numbers_are_short():
    assert [percent(share) for share in (0.0, 1.0, 0.998, 0.0998, 0.0000123)] == ["0", "100", "100", "10", "0.0012"]
    assert [size(value) for value in (1.234, 1469.0, 123456.0)] == ["1.23", "1,469", "1.2e05"]
    assert size(float("inf")) == "not finite"
    assert [proven(value) for value in (1.341, 9.0, 2001.0, 5.81e6, math.inf)] == [
        "1.35",
        "9",
        "2.1e03",
        "5.9e06",
        "none",
    ]
    assert span([0.5, 0.1], percent) == "10 .. 50" and span([0.5, 0.5], percent) == "50"


def long(seed, rate="1", end="well", returns="0.0", **values):
    rest = dict.fromkeys(ablation.COLUMNS, "0.5") | {"task": "own_x4", "steps": "7000", "variant": "affine"}
    return rest | {"survival": "on", "seed": seed, "rate": rate, "end": end, "returns": returns} | values


def test_long_trainings_tell_how_many_ended_and_what_those_reached():
    diverged = dict.fromkeys(ablation.COLUMNS, "") | {
        name: value for name, value in long("11", end="training diverged").items() if name in (*ablation.KEY, "end")
    }
    rows = [long("12", lpips="0.25", certified_value=""), diverged, long("10", returns="2.0"), long("10", "2")]
    rows += [long("10", survival="off"), long("10", steps="500"), long("10", task="df2k_x4"), diverged | {"rate": "10"}]
    rows += [long("10", survival="clipped", end="training diverged"), long("12", survival="clipped")]
    rows += [long("10", "10", returns="1.0"), long("10", "10", survival="clipped", bits_per_dim="-3.96")]
    lines = [*ablation_tables.survival(rows)][2:]
    assert [line.split(" | ")[1:9] for line in lines] == [
        ["500", "x 1", "10", "1 of 1", "0", "-", "0.500", "0.500"],
        ["7,000", "x 1", "10, 11, 12", "2 of 3", "2", "0 of 1, 1 not measured", "0.500", "0.250 .. 0.500"],
        ["7,000", "x 2", "10", "1 of 1", "0", "-", "0.500", "0.500"],
        ["7,000", "x 10", "10, 11", "1 of 2", "2", "1 of 1 (at -3.96), 1 not measured", "0.500", "0.500"],
    ]
    assert [line.strip("| ").split(" | ")[-1] for line in lines[1:3]] == ["none", "0.5"]


def test_shields_of_long_trainings_are_the_worst_of_their_seeds():
    of = [row("own_x4", seed=seed, **OWN) for seed in ("11", "10")]
    of[0] |= {"near_drawn_largest": "2", "held_out_agreement": "57.25", "bad_share_stress_before_tails": "0.75"}
    other = [row("own_x4", seed="10"), *every()]  # as trained, and tasks of the demo
    lines = [*shield_tables.long_trainings([*of, *other])][2:]
    assert lines == ["| affine | 10, 11 | 50; 75 | 0.5; 0.5 | 2 | 0.5 | 0.5 | 0.50 | 0.500 | 0.5 |"]


def test_a_part_that_was_taken_away_stands_beside_the_whole_shield():
    whole, less = (row(**(OWN | {"without": part, "attack": "no"})) for part in ("nothing", "values"))
    less |= {"largest_stress_before_tails": "", "held_out_agreement": "60.25"}
    attacked = row(**OWN, bad_share_stress_before_tails="1")
    lines = [*shield_tables.parts([attacked, whole, less, row(), row(task="ve_lol", **OWN)])][2:]
    assert lines == [
        "| `lol` | affine | nothing | 50 | 0.5 | 0.5 |",
        "| `lol` | affine | values | 50 | not finite | 60.2 |",
    ]


def test_every_published_network_has_a_row_and_one_that_is_missing_is_told():
    cells = dict.fromkeys(shield_published.COLUMNS, "0.5") | {"quantile": QUANTILE, "values": "1234567", "note": ""}
    rows = [cells | {"network": name} for name in shield_published.NETWORKS]
    other = cells | {"network": "srflow_x4", "quantile": "0.1", "bound": "9"}
    lines = [*published_tables.published([*rows, other])][2:]
    assert lines[0] == "| SRFlow 4x | 1,234,567 | 0.5, 0.5 | 0.5; 0.5 | 50 -> 50; 50 | 0.5 | 0.5 | 30 |"
    labels = [line.strip("| ").split(" | ")[0] for line in lines]
    assert labels[1:3] == ["SRFlow 4x, other weights", "SRFlow 8x"]
    assert labels[-2:] == ["LLFlow, four taps", "LLFlow, one tap"]
    with pytest.raises(SteadyflowError, match="llflow_one_tap is not measured"):
        [*published_tables.published(rows[:-1])]


def test_a_row_of_attacks_has_what_each_way_found_and_no_task_may_be_missing():
    of = {name: str(place) for place, name in enumerate(shield_transfer.COLUMNS)}
    of |= {"variant": "affine", "seed": "10", "steps": "40", "starts": "2"}
    keys = itertools.product(PARAMS.tasks, reversed(shield_transfer.LATENTS))
    rows = [of | {"task": task, "latents": latents} for task, latents in keys]
    rows[1] |= {"as_trained": ""}
    others = ({"seed": "11"}, {"steps": "2"}, {"starts": "1"})
    rows = [*(rows[1] | {"as_trained": "99"} | other for other in others), *rows]
    assert [*transfer_tables.transfer_attacks(rows)][2:4] == [
        "| `df2k_x4` | affine | as drawn | not finite | 7 | 8 | 9 | 10 | 11 |",
        "| `df2k_x4` | affine | within 3 sigma | 6 | 7 | 8 | 9 | 10 | 11 |",
    ]
    with pytest.raises(SteadyflowError, match="ve_lol affine: attacks with latents as drawn are not measured"):
        [*transfer_tables.transfer_attacks(rows[:-1])]


def write(folder, *rows):
    return write_csv(folder / "new.csv", tuple(rows[0]), rows)


def test_rows_are_taken_in_once_and_rounded(tmp_path):
    assert add(write(tmp_path, row(lpips="0.1"), row(quantile="0.003", lpips="0.2")), tmp_path) == 2
    assert add(write(tmp_path, row(quantile="0.003", lpips="0.123456789", crops="1234567")), tmp_path) == 1
    assert add(write(tmp_path, long("10", end="well")), tmp_path) == 1
    found = read_csv(kept(tmp_path, shield))
    assert [(each["quantile"], each["lpips"]) for each in found] == [("0.003", "0.12346"), ("none", "0.1")]
    assert found[0]["crops"] == "1234567"  # a count is what it is
    assert [each["steps"] for each in read_csv(kept(tmp_path, ablation))] == ["7000"]


def test_a_table_of_another_version_is_refused(tmp_path):
    with pytest.raises(SteadyflowError, match="no table of this version"):
        add(write(tmp_path, {"task": "lol"}), tmp_path)
    with pytest.raises(SteadyflowError, match="no table of this version"):
        add(tmp_path / "missing.csv", tmp_path)


def test_a_place_that_is_missing_or_not_closed_is_named():
    name = "three seeds, low light"
    for text in ("none here\n", f"<!-- table: {name} -->\nopen\n<!-- table: other -->\n<!-- /table -->\n"):
        with pytest.raises(SteadyflowError, match=rf"training\.md has 0 places for the table {name}"):
            filled(text, name, every())
