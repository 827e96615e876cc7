"""Pictures that analyses leave: the report shows those of every variant, as many as the page has room for."""

import base64
import io
import re

import numpy as np
from PIL import Image
from report_tree import make_params, page_of, write_png

from pipeline.reporting.pictures import audit_pictures
from pipeline.reporting.results import load_results
from pipeline.stability.analyses.feature_maps import FEATURE_MAPS, FeatureMaps

(PICTURE,) = FeatureMaps.shown
GREY = {"affine": 40, "rq_spline": 200}


def write_maps(root, variant, pixels):
    write_png(root / "artifacts" / "df2k_x4" / "seed10" / variant / "stability" / FEATURE_MAPS, pixels)


def test_the_page_shows_the_picture_of_every_variant_that_has_one(root):
    assert 'id="df2k_x4-feature_maps"' not in page_of(root)
    for variant, level in GREY.items():
        write_maps(root, variant, np.full((30, 400, 3), level, np.uint8))
    text = page_of(root)
    section = text[text.index('<h3 id="df2k_x4-feature_maps">') :].partition("<h3")[2].partition("<h3")[0]
    assert PICTURE.caption in section and "variants are shown" not in section
    found = re.findall(r'src="data:image/jpeg;base64,([^"]+)" width="400" alt="[^"]+: (\w+)"', section)
    levels = {variant: np.asarray(Image.open(io.BytesIO(base64.b64decode(uri)))).mean() for uri, variant in found}
    assert list(levels) == list(GREY) and all(abs(levels[name] - level) < 2 for name, level in GREY.items())


def test_the_largest_are_left_out_where_the_page_would_grow_too_big(root):
    write_maps(root, "affine", np.random.default_rng(0).integers(0, 256, (300, 300, 3), np.uint8))
    write_maps(root, "bounded", np.zeros((30, 400, 3), np.uint8))
    results = load_results(root, make_params())[0]
    assert list(audit_pictures(results, PICTURE, limit=10**7)[0]) == ["affine", "bounded"]
    shown, in_all = audit_pictures(results, PICTURE, limit=1)
    assert list(shown) == ["bounded"] and in_all == 2
