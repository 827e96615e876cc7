"""Ratings there and back: what raters get, what a spoilt CSV says, and counts worked out by hand."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from rated_tree import HEAD, exported, lines_of, save
from report_tree import build_root, make_params

from pipeline.errors import DataError
from pipeline.ratings.agreement import fleiss_kappa, krippendorff_alpha
from pipeline.ratings.answers import read_raters, shown
from pipeline.ratings.blinding import Key, read_key
from pipeline.ratings.importing import import_ratings
from pipeline.ratings.outcome import predicts
from pipeline.reporting.results import load_results
from pipeline.reporting.tables import paper_rows, task_rows


def test_nothing_that_raters_get_tells_variant_picture_or_check(tmp_path):
    folder, key = exported(tmp_path)
    text = (folder / "for_raters" / "index.html").read_text(encoding="utf-8")
    files = [path.name for path in (folder / "for_raters").rglob("*.png")]
    for word in ("affine", "bounded", "photo-", "broken", "clean", "key.json"):
        assert word not in text and not any(word in name for name in files)
    assert sorted(files) == sorted(f"{p.name}{end}.png" for p in key.pictures for end in ("", "_input"))


def test_the_key_says_which_restoration_each_is(tmp_path):
    folder, key = exported(tmp_path)
    assert len(key.pictures) == 2 * 5 + 2 * 2
    one = next(p for p in key.pictures if p.variant == "bounded" and p.picture == "photo-3")
    shown_pixels = np.asarray(Image.open(folder / "for_raters" / "pictures" / f"{one.name}.png"))
    drawn = np.asarray(Image.open(tmp_path / "artifacts/lol/seed10/bounded/samples/p3/draw_00.png"))
    assert (shown_pixels == drawn).all()


def test_a_broken_check_is_an_original_with_patches(tmp_path):
    folder, key = exported(tmp_path)
    for blinded in key.pictures:
        if blinded.check == "broken":
            pixels = np.asarray(Image.open(folder / "for_raters" / "pictures" / f"{blinded.name}.png"))
            assert (pixels == (255, 0, 255)).all(-1).sum() >= 16 * 16


def test_an_export_is_not_written_over(tmp_path):
    folder, key = exported(tmp_path)
    with pytest.raises(DataError, match="another folder"):
        exported(tmp_path)
    assert read_key(folder) == key


def test_five_raters_and_the_rule_by_hand(tmp_path):
    """photo-0: 5 of 5 see an artifact, photo-1: 4, photo-2: 3, photo-3: 0, photo-4: 0; more than 3 of 5 are two."""
    folder, key = exported(tmp_path)
    wanted = {"photo-0": 5, "photo-1": 4, "photo-2": 3, "photo-3": 0, "photo-4": 0}
    files = [
        save(
            tmp_path / f"{n}.csv",
            lines_of(key, f"r{n}", lambda b, n=n: b.variant == "affine" and n < wanted[b.picture]),
        )
        for n in range(5)
    ]
    found = import_ratings(tmp_path, folder, files)
    assert found.remarks == []
    assert [found.variants[v]["human_errors"] for v in ("affine", "bounded")] == [2, 0]
    assert found.variants["affine"]["pictures"] == 5
    # kappa by hand: P_i = (n_yes^2 + n_no^2 - 5) / 20; shares of yes and no 12/25 and 13/25
    agreed = np.mean([(a**2 + (5 - a) ** 2 - 5) / 20 for a in wanted.values()])
    chance = (12 / 25) ** 2 + (13 / 25) ** 2
    assert found.variants["affine"]["fleiss_kappa"]["value"] == pytest.approx((agreed - chance) / (1 - chance))
    assert found.variants["bounded"]["fleiss_kappa"]["reason"] == "all answers are equal"
    # alpha by hand, nominal: 1 - (n - 1) * sum of o_ck / sum of n_c n_k, o_ck = sum of n_yes * n_no / (m - 1)
    disagreement = 2 * sum(a * (5 - a) / 4 for a in wanted.values())
    alpha = 1 - 24 * disagreement / (2 * 12 * 13)
    assert found.variants["affine"]["krippendorff_alpha"]["value"] == pytest.approx(alpha)


def test_an_interval_holds_its_value_and_is_the_same_again():
    table = np.array([[1.0, 1, 0], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 0, 1], [1, 1, 1]])
    for coefficient in (fleiss_kappa, krippendorff_alpha):
        first = coefficient(table)
        assert first.low < first.value < first.high <= 1
        assert coefficient(table) == first


def test_alpha_takes_missing_answers_and_kappa_leaves_them_out():
    table = np.array([[1.0, 1, np.nan], [0, 0, 0], [1, 1, 1], [0, 0, np.nan]])
    assert fleiss_kappa(table).value == fleiss_kappa(table[1:3]).value == 1
    assert krippendorff_alpha(table).value == 1


def test_who_fails_the_checks_is_left_out_and_named(tmp_path):
    folder, key = exported(tmp_path)
    good = save(tmp_path / "good.csv", lines_of(key, "good", lambda b: False))
    blind = [HEAD, *(f"{key.export},blind,{p.name},no,1,".replace("blind", "=blind") for p in key.pictures)]
    found = import_ratings(tmp_path, folder, [good, save(tmp_path / "blind.csv", blind)])
    assert found.variants["affine"]["raters"] == 1
    assert found.remarks == ["left out: '=blind' answered 2 of 4 checks wrongly"]


def test_missing_answers_are_said(tmp_path):
    folder, key = exported(tmp_path, checks=0)
    lines = lines_of(key, "one", lambda b: False)
    found = import_ratings(tmp_path, folder, [save(tmp_path / "a.csv", lines[:4])])
    assert found.remarks == [
        "'one' has rated 3 of 10 pictures",
        "7 of 10 pictures were rated by nobody and do not count",
    ]


def spoilt(key):
    """Return name -> (lines of a CSV, what its one line must say)."""
    good = lines_of(key, "r", lambda b: False)
    first = good[1].split(",")

    def other(place, text):
        return [HEAD, ",".join([*first[:place], text, *first[place + 1 :]])]

    return {
        "empty": ([""], "needs the columns"),
        "no header": (good[1:], "needs the columns"),
        "header alone": ([HEAD], "holds no answer"),
        "another export": (other(0, "0" * 16), "is of export"),
        "unknown picture": (other(2, "f" * 16), "none of this export"),
        "twice": ([*good, good[1]], "stands twice"),
        "neither yes nor no": (other(3, "maybe"), "neither yes nor no"),
        "seconds": (other(4, "nan"), "is no number of seconds"),
        "no seconds": (other(4, "soon"), "is no number of seconds"),
        "too few fields": ([HEAD, ",".join(first[:3])], "needs 6 fields"),
        "too many fields": ([HEAD, good[1] + ",more"], "needs 6 fields"),
        "two raters": ([*good[:-1], good[-1].replace(",r,", ",s,")], "of one rater"),
        "nameless": (other(1, " "), "with a name"),
        "quotes": ([HEAD, good[1] + '"x'], "no valid CSV"),
        "steering a terminal": (other(3, "\x1b[2Jyes" + "x" * 500), "neither yes nor no"),
        "a script": (other(2, "<script>alert(1)</script>"), "none of this export"),
    }


_ANY = Key.model_validate(
    {"format": 1, "export": "0" * 16, "task": "t", "seed": 1, "what": "draws", "pictures": [{"name": "a" * 16}]}
)


@pytest.mark.parametrize("name", spoilt(_ANY))
def test_a_spoilt_csv_is_one_line(tmp_path, name):
    folder, key = exported(tmp_path)
    lines, said = spoilt(key)[name]
    with pytest.raises(DataError) as error:
        import_ratings(tmp_path, folder, [save(tmp_path / "x.csv", lines)])
    text = str(error.value)
    assert said in text and "\n" not in text and "\x1b" not in text and len(text) < 400
    assert not list((tmp_path / "artifacts").rglob("ratings.json"))


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x00" * 100])
def test_bytes_that_are_no_text_are_one_line(tmp_path, content):
    folder, _ = exported(tmp_path)
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.csv"):
        import_ratings(tmp_path, folder, [tmp_path / "x.csv"])


def test_one_rater_in_two_files_is_refused(tmp_path):
    _, key = exported(tmp_path)
    files = [save(tmp_path / f"{n}.csv", lines_of(key, "same", lambda b: False)) for n in range(2)]
    with pytest.raises(DataError, match="too"):
        read_raters(files, key)


def test_ratings_of_pictures_that_were_drawn_anew_are_refused(tmp_path):
    folder, key = exported(tmp_path)
    file = save(tmp_path / "a.csv", lines_of(key, "r", lambda b: False))
    draw = tmp_path / "artifacts/lol/seed10/affine/samples/p0/draw_00.png"
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(draw)
    with pytest.raises(DataError, match="drawn anew"):
        import_ratings(tmp_path, folder, [file])


def test_a_damaged_key_is_one_line(tmp_path):
    folder, _ = exported(tmp_path)
    (folder / "key.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(DataError, match=r"key\.json: export"):
        read_key(folder)


def test_the_paper_table_takes_the_count(tmp_path):
    params = make_params(tasks=("lol",), variants=("affine", "bounded"))
    root = build_root(tmp_path)
    folder, key = exported(root)
    (results,) = load_results(root, params)
    assert paper_rows(results, task_rows(results))[0].text("affine") == "–"
    file = save(tmp_path / "a.csv", lines_of(key, "r", lambda b: b.variant == "affine" and b.picture < "photo-3"))
    import_ratings(root, folder, [file])
    (results,) = load_results(root, params)
    row = {row.name: row for row in paper_rows(results, task_rows(results))}["human_errors"]
    assert (row.values, row.paper) == ({"affine": 3, "bounded": 0}, ("5 of 15", "2 of 15", "0 of 15"))
    Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(root / "artifacts/lol/seed10/affine/samples/p0/draw_00.png")
    (results,) = load_results(root, params)
    assert {row.name: row for row in task_rows(results)}["human_errors"].values["affine"] is None


def test_a_proxy_is_counted_against_people():
    found = predicts([True, True, False, False], [True, False, True, False])
    assert (found["both"], found["precision"], found["recall"]) == (1, 0.5, 0.5)
    assert predicts([False], [True])["precision"] is None


def test_what_is_shown_of_a_stranger_is_short_and_plain():
    assert shown("a\x1b[31m\n" + "b" * 100) == re.sub("[\x1b\n]", "?", "a\x1b[31m\n") + "b" * 33 + "..."
