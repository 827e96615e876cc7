"""``steadyflow shield``: a model folder and photographs in, a model folder that the other commands take out."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data
from small_flow import small_flow
from upstream_cases import TINY

from models.restoration.shielding import ranges_of
from pipeline import cli
from pipeline.commands.audit import audit_model
from pipeline.commands.shielding import _too_far, certain_lines, shield_model
from pipeline.errors import CheckpointError, DataError, SteadyflowError
from pipeline.inference.restore import restore_file
from pipeline.kinds import KINDS
from pipeline.model_folder import build, load_flow, save_model, verify_model
from pipeline.pictures.eight_bit import to_tensor
from pipeline.shielding.calibration import decibels, draws_of, shield_flow
from pipeline.stability.measure.bounds import restoration_bound
from pipeline.upstream import import_upstream

SR = KINDS["super_resolution"]


def save(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.ascontiguousarray(pixels)).save(path)
    return path


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """Return a folder of two photographs, 96 x 96."""
    folder = tmp_path_factory.mktemp("photographs")
    save(folder / "a.png", data.astronaut()[100:196, 180:276])
    save(folder / "b.png", data.coffee()[100:196, 180:276])
    return folder


def wild_flow():
    """Return a small flow whose conditional maps do something on photographs, and explode where features are huge."""
    flow = small_flow()
    with torch.no_grad():
        for name, parameter in flow.network.flow.named_parameters():
            if ".net.out.conv.weight" in name:
                parameter.mul_(5.0)
    return flow


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    flow = wild_flow()
    return save_model(folder, flow.network, flow.config)


@pytest.fixture(scope="module")
def shielded(model, photographs, tmp_path_factory):
    out = tmp_path_factory.mktemp("shielded") / "model"
    shield_model(model, photographs, None, out, quantile=0.01)
    return out


def drawn(folder, lr, temperature=0.9):
    flow = load_flow(folder)
    with torch.no_grad():
        condition = flow.network.share(lr)
        z = torch.randn(1, *flow.network.latent_shape(*lr.shape[2:]), generator=torch.Generator().manual_seed(1))
        return flow.network.inverse(temperature * z, condition)[0]


def test_it_writes_a_model_folder_that_says_how_it_was_made(shielded, model, photographs):
    assert sorted(file.name for file in shielded.iterdir()) == ["config.json", "weights.safetensors"]
    assert verify_model(shielded) > verify_model(model)
    config, before = (json.loads((folder / "config.json").read_text()) for folder in (shielded, model))
    found = config.pop("shield")
    assert (found["quantile"], found["crops"]) == (0.01, 2) and len(found["crops_sha256"]) == 64
    assert 0 < found["bound"] < 100 and found["agreement"] > 10
    assert found["good_draw"] == restoration_bound(load_flow(shielded).network).good_draw()
    assert config["caps"] == {"overshoot": 0.0} and before["shield"] is None
    same = {"weights_sha256", "caps", "shield"}
    assert {k: v for k, v in config.items() if k not in same} == {k: v for k, v in before.items() if k not in same}


@pytest.mark.parametrize(("good", "told"), [(None, False), (2.9, False), (3.0, True)])
def test_what_is_proven_of_draws_is_said_where_it_is(good, told):
    bound, *proven = certain_lines({"bound": 1.234, "good_draw": good}, 0.5)
    assert "exceeds 1.24" in bound and bool(proven) == told
    assert not [*certain_lines({"bound": None, "good_draw": None}, 0.5)]
    assert len([*certain_lines({"bound": 1.234}, 0.5)]) == 1  # of an earlier version


def test_what_exploded_before_keeps_to_the_bound(shielded, model):
    bound = json.loads((shielded / "config.json").read_text())["shield"]["bound"]
    board = 1e3 * ((torch.arange(16)[:, None] + torch.arange(16)) % 2).float().expand(1, 3, 16, 16)
    assert drawn(shielded, board).abs().max() < bound < 0.1 * drawn(model, board).abs().max()


def test_tails_keep_draws_near_pictures_and_change_none_of_8_bits(shielded):
    network = load_flow(shielded).network
    source = torch.Generator().manual_seed(2)
    picture, far = torch.rand(1, 3, 64, 64, generator=source), 4.0 * torch.randn(1, 3, 64, 64, generator=source)
    z = 6.0 * torch.randn(1, *network.latent_shape(16, 16), generator=source)
    with torch.no_grad():
        condition = network.share(torch.rand(1, 3, 16, 16, generator=source))
        drawn, photograph, beyond = (
            network.inverse(z, condition)[0],
            network(picture, condition),
            network(far, condition),
        )
        tails, network.tails = network.tails, None
        before = network.inverse(z, condition)[0]
        assert before.max() > 1.5 and before.min() < -0.5  # some values do leave the range
        assert torch.equal(drawn, tails.inverse(before)[0]) and torch.equal(drawn.clamp(0, 1), before.clamp(0, 1))
        for one, other in zip(photograph, network(picture, condition), strict=True):
            assert torch.equal(one, other)
        assert torch.equal(beyond[0], network(tails(far)[0], condition)[0])
        assert (beyond[1] - network(tails(far)[0], condition)[1]).item() == pytest.approx(
            float(tails(far)[1]), rel=1e-4
        )


def test_a_shield_of_before_has_no_tails(model, photographs, tmp_path):
    flow = load_flow(model)
    crops = [("a", SR.sides_of(np.asarray(Image.open(photographs / "a.png")), "a"))]
    shielded = shield_flow(flow, crops, 10, 0.01)
    told = {name: value for name, value in shielded.config.shield.items() if name not in ("tails", "good_draw")}
    config = dataclasses.replace(shielded.config, shield=told)
    folder = save_model(tmp_path / "model", shielded.network, config)
    assert verify_model(folder) and load_flow(folder).network.tails is None
    assert build(shielded.config).tails.slope == 0.1


def test_a_flow_that_makes_whole_pictures_has_flatter_tails(photographs):
    flow = small_flow(network={"residual": False})
    crops = [("a", SR.sides_of(np.asarray(Image.open(photographs / "a.png")), "a"))]
    shielded = shield_flow(flow, crops, 10, 0.01)
    assert shielded.config.shield["tails"] == {"slack": 0.1, "slope": 0.08} and shielded.network.tails.slope == 0.08


SLOPES, SLACKS = (0.0, 1e-40, 2.0, "0.1"), (-0.1, 1e9)


@pytest.mark.parametrize(
    "tails",
    [
        *({}, [], {"slack": 0.1}, {"slope": 0.1, "slack": 0.1, "more": 1.0}),
        *({"slack": 0.1, "slope": slope} for slope in SLOPES),
        *({"slack": slack, "slope": 0.1} for slack in SLACKS),
    ],
)
def test_tails_that_are_none_are_refused_in_one_line(shielded, tails, tmp_path):
    config = json.loads((shielded / "config.json").read_text())
    config["shield"]["tails"] = tails
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "weights.safetensors").write_bytes((shielded / "weights.safetensors").read_bytes())
    with pytest.raises(CheckpointError, match=r"shield\.tails") as caught:
        load_flow(tmp_path)
    assert "\n" not in str(caught.value)


def test_photographs_whose_values_all_are_within_the_ranges_look_as_before(model, photographs):
    crops = [("a", SR.sides_of(np.asarray(Image.open(photographs / "a.png")), "a"))]
    flow = load_flow(model)
    mild = dataclasses.replace(flow, config=dataclasses.replace(flow.config, temperature=0.1))
    none, some = (shield_flow(mild, crops, 10, quantile).config.shield for quantile in (0.0, 0.2))
    assert none["agreement"] > 33 and none["agreement"] > some["agreement"] + 5


def test_the_other_commands_take_it(shielded, photographs, tmp_path, capsys):
    assert len(restore_file(shielded, photographs / "a.png", tmp_path / "drawn", 1, None, 10)) == 1
    summary = audit_model(shielded, tmp_path / "audit", None, ["bad_pixels", "certified_bound", "reconstruction"], None)
    assert summary["analyses"]["certified_bound"]["value"] is not None
    bound = json.loads((shielded / "config.json").read_text())["shield"]["bound"]
    assert summary["analyses"]["certified_bound"]["value"] == pytest.approx(bound)


def test_the_usual_quantile_is_the_measured_one(model, photographs, tmp_path, capsys):
    told = shield_model(model, photographs / "a.png", None, tmp_path / "out")
    assert told["quantile"] == 0.005 and told["crops"] == 1
    said = f"calibrated on one crop; its draws against unshielded: {told['agreement']:.1f} dB"
    printed = capsys.readouterr().out
    assert said in printed and "for latents within 6 standard deviations no value of any output exceeds " in printed


@pytest.mark.parametrize(
    ("crops", "agreement", "said"),
    [
        (24, 55.0, ""),
        (24, 39.04, "draws of crops that had not calibrated kept to 39.0 dB of the unshielded ones, less than 55"),
        (1, 39.04, "draws of the one crop that calibrated kept to 39.0 dB of the unshielded ones, less than 55"),
        (24, None, "draws of crops that had not calibrated are not finite, shielded or not"),
    ],
)
def test_people_are_warned_of_draws_that_changed_too_much(crops, agreement, said):
    assert _too_far({"crops": crops, "agreement": agreement}, 55.0) == said


def test_a_shield_of_a_quantile_and_a_budget_is_refused(model):
    with pytest.raises(ValueError, match="not both"):
        shield_flow(load_flow(model), [], 10, 0.01, 55.0)


def test_a_budget_chooses_the_largest_quantile_that_keeps_to_it(model, photographs):
    flow = load_flow(model)
    crops = [(name, SR.sides_of(np.asarray(Image.open(photographs / f"{name}.png")), name)) for name in "ab"]
    at, more = (shield_flow(flow, crops, 10, quantile).config.shield["agreement"] for quantile in (0.004, 0.006))
    assert at > more
    chosen = shield_flow(flow, crops, 10, budget=0.5 * (at + more)).config.shield
    assert (chosen["quantile"], chosen["agreement"]) == (0.004, at)


def test_what_told_the_agreement_calibrates_too(model, photographs):
    told = ("a", SR.sides_of(np.asarray(Image.open(photographs / "a.png")), "a"))
    grey = ("grey", SR.sides_of(np.full((96, 96, 3), 128, np.uint8), "grey"))
    both, alone = (shield_flow(load_flow(model), crops, 10, 0.0) for crops in ([told, grey], [grey]))
    for name, wide in ranges_of(both.network).items():
        if name.startswith("feature_ranges"):
            narrow = ranges_of(alone.network)[name]
            assert float((wide.high - wide.low).mean()) > 1.3 * float((narrow.high - narrow.low).mean())
    assert both.config.shield["crops"] == 2
    pair = [alone.kind.pair([to_tensor(side) for side in told[1]], alone.network.scale)]
    before = decibels(*(draws_of(one, pair, 10) for one in (load_flow(model), alone)))
    assert both.config.shield["agreement"] == pytest.approx(before)  # the others alone had calibrated


def test_equal_pictures_and_seed_give_the_same_shield_and_other_pictures_another(
    model, photographs, shielded, tmp_path
):
    shield_model(model, photographs, None, tmp_path / "again", quantile=0.01)
    assert (tmp_path / "again" / "config.json").read_bytes() == (shielded / "config.json").read_bytes()
    shield_model(model, photographs / "b.png", None, tmp_path / "other", quantile=0.01)
    one, other = (json.loads((f / "config.json").read_text())["shield"] for f in (shielded, tmp_path / "other"))
    assert one["crops_sha256"] != other["crops_sha256"]


@pytest.mark.parametrize("name", ["srflow_x4", "robustnf_spline_x4", "llflow"])
def test_an_imported_checkpoint_can_be_shielded(name, photographs, tmp_path):
    import_upstream(*TINY[name].write(tmp_path), tmp_path / "model")
    dark = None
    if name == "llflow":
        for file in photographs.iterdir():
            save(tmp_path / "dark" / file.name, np.asarray(Image.open(file)) // 8)
        dark = tmp_path / "dark"
    found = shield_model(tmp_path / "model", photographs, dark, tmp_path / "out", quantile=0.003)
    assert found["agreement"] is not None and found["bound"] is not None
    assert load_flow(tmp_path / "out").config.variant == load_flow(tmp_path / "model").config.variant


def test_a_shield_whose_weights_are_of_another_one_is_refused(shielded, tmp_path):
    config = json.loads((shielded / "config.json").read_text())
    config["shield"]["margin"] = 3.0
    save(tmp_path / "x.png", np.zeros((4, 4, 3), np.uint8))
    for name, content in (("config.json", json.dumps(config).encode()), ("weights.safetensors", None)):
        (tmp_path / name).write_bytes(content or (shielded / name).read_bytes())
    with pytest.raises(CheckpointError, match="put the two files of one model together"):
        load_flow(tmp_path)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"model": "nowhere"}, CheckpointError, "is no model folder"),
        ({"model": "shielded"}, SteadyflowError, "has a shield already"),
        ({"pictures": "nowhere"}, DataError, "--pictures"),
        ({"pictures": "empty"}, DataError, "--pictures"),
        ({"pictures": "tiny"}, DataError, "smaller than"),
        ({"out": "model"}, SteadyflowError, "holds a model already"),
        ({"out": "photographs/a.png"}, SteadyflowError, "cannot be written to"),
        ({"degraded": "tiny"}, DataError, "has no partner of"),
    ],
)
def test_wrong_inputs_are_told_in_one_line_and_nothing_is_written(
    change, error, said, model, shielded, photographs, tmp_path
):
    (tmp_path / "empty").mkdir()
    save(tmp_path / "tiny" / "dot.png", np.zeros((3, 3, 3), np.uint8))
    places = {"model": model, "shielded": shielded, "photographs/a.png": photographs / "a.png"}
    given = {"model": model, "pictures": photographs, "degraded": None, "out": tmp_path / "out"}
    given |= {name: places.get(value, tmp_path / value) for name, value in change.items()}
    before = (model / "config.json").read_bytes(), (photographs / "a.png").read_bytes()
    with pytest.raises(error, match=said) as caught:
        shield_model(**given, quantile=0.01)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "out").glob("*"))
    assert ((model / "config.json").read_bytes(), (photographs / "a.png").read_bytes()) == before


def test_a_flow_that_is_not_finite_on_photographs_is_refused(photographs, tmp_path):
    flow = wild_flow()
    with torch.no_grad():
        next(flow.network.encoder.parameters()).fill_(float("nan"))
    save_model(tmp_path / "model", flow.network, flow.config)
    with pytest.raises(SteadyflowError, match="not finite"):
        shield_model(tmp_path / "model", photographs, None, tmp_path / "out")
    assert not list((tmp_path / "out").glob("*"))


@pytest.mark.parametrize(
    "options", [["--quantile", "0.5"], ["--quantile", "nan"], ["--budget", "0"], ["--budget", "9", "--quantile", "0"]]
)
def test_options_that_make_no_sense_are_refused(options, capsys):
    line = ["shield", "--model", "m", "--pictures", "p", "--out", "o", *options]
    with pytest.raises(SystemExit):
        cli.build_parser().parse_args(line)
    assert ("not allowed with" if len(options) > 2 else options[0]) in capsys.readouterr().err


def test_draws_that_explode_teach_nothing(photographs):
    """A draw with bad values is forgotten: the ranges are those of the photographs' own encodings."""
    flow = wild_flow()
    hot = dataclasses.replace(flow, config=dataclasses.replace(flow.config, temperature=1e6))
    crops = [("a", SR.sides_of(np.asarray(Image.open(photographs / "a.png")), "a"))]
    shielded = shield_flow(hot, crops, 10, 0.0)
    ends = [one.high for name, one in ranges_of(shielded.network).items() if name.endswith(".values")]
    assert ends and max(float(end.abs().max()) for end in ends) < 1e3
