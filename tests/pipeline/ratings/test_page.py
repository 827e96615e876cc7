"""The raters' page in a browser: twenty pictures rated by key, a reload between, the file saved and taken in."""

import csv
import shutil
import time

import pytest
from rated_tree import exported
from report_tree import HOSTILE

from pipeline.ratings.importing import import_ratings

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture
def browser(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--disable-sync",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        f"--user-data-dir={tmp_path / 'profile'}",
    ):
        options.add_argument(flag)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "saved")})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


def press(browser, key):
    browser.find_element("tag name", "body").send_keys(key)


def begin(browser, name=None):
    if name is not None:
        field = browser.find_element("id", "rater")
        field.clear()  # the page remembers who was here last
        field.send_keys(name)
    browser.find_element("css selector", "#who button").click()


def now(browser):
    return browser.find_element("id", "picture").get_attribute("src").rpartition("/")[2].removesuffix(".png")


def until(true):
    deadline = time.monotonic() + 20
    while not (found := true()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def saved(browser, folder):
    browser.find_element("id", "save").click()
    return until(lambda: [path for path in folder.glob("*.csv")])[0]


def test_twenty_pictures_a_reload_and_the_file(browser, tmp_path):
    folder, key = exported(tmp_path, checks=5)
    assert len(key.pictures) == 20
    artifact = {p.name: p.check == "broken" or p.variant == "bounded" for p in key.pictures}
    browser.get((folder / "for_raters" / "index.html").as_uri())
    rater = f"=1+1 {HOSTILE}"
    begin(browser, rater)
    order = []
    for number in range(20):
        if number == 7:
            browser.refresh()
            begin(browser)  # the name stands there, and so do the answers
            assert browser.find_element("id", "count").text == "picture 8 of 20, 7 rated"
        if number == 11:  # back, another mind, and back again
            press(browser, "b")
            press(browser, "n" if artifact[order[-1]] else "y")
            press(browser, "b")
            press(browser, "y" if artifact[order[-1]] else "n")
        order.append(now(browser))
        press(browser, "y" if artifact[order[-1]] else "n")
    assert sorted(order) == sorted(artifact) and order != [p.name for p in key.pictures]
    assert browser.find_element("id", "end").is_displayed()
    assert browser.execute_script("return document.querySelectorAll('main script').length") == 0
    file = saved(browser, tmp_path / "saved")
    with file.open(encoding="utf-8", newline="") as text:
        assert {row["rater"] for row in csv.DictReader(text)} == {f"'{rater}"}
    found = import_ratings(tmp_path, folder, [file])
    assert [found.variants[v]["human_errors"] for v in ("affine", "bounded")] == [0, 5]


def test_another_rater_has_another_order(browser, tmp_path):
    folder, _ = exported(tmp_path)
    seen = []
    for name in ("anna", "ben", "anna"):
        browser.get((folder / "for_raters" / "index.html").as_uri())
        browser.execute_script("localStorage.clear()")  # no reload: what was cleared may come back by it
        begin(browser, name)
        order = []
        for _ in range(5):
            order.append(now(browser))
            press(browser, "n")
        seen.append(order)
    assert seen[0] == seen[2] != seen[1]


def test_the_picture_can_be_enlarged_and_all_fits_on_a_phone(browser, tmp_path):
    folder, _ = exported(tmp_path, truth=True)
    browser.set_window_size(500, 900)  # the narrowest that chromium takes without an emulated device
    browser.get((folder / "for_raters" / "index.html").as_uri())
    begin(browser, "a")
    until(lambda: browser.execute_script("return document.getElementById('picture').complete"))
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    width = browser.find_element("id", "picture").size["width"]
    press(browser, "z")
    assert browser.find_element("id", "picture").size["width"] == pytest.approx(
        2 * width, rel=0.06
    )  # less a scroll bar
    assert browser.find_element("id", "truth").is_displayed()
    for name in ("picture", "input", "truth"):
        assert browser.execute_script(f"return document.getElementById('{name}').naturalWidth") > 0
