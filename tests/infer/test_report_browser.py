"""The report in a real browser, from a file, without a network: what people see and do."""

import base64
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from peptides import document
from test_compare import RESIDUES, annotated, helix
from test_report import HOSTILE

from haruspex_infer.report import write_report
from haruspex_infer.structure import from_gemmi

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

# WebGL without a graphics card
_FLAGS = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
_PATIENCE = 120_000  # ms; the machine may be busy with other tests
_SYSTEM = ("chromium", "chromium-browser", "google-chrome")

# counts pixels of a picture by the class colour that they are shades of
_COUNT = """async (png) => {
  const bytes = Uint8Array.from(atob(png), (letter) => letter.charCodeAt(0));
  const picture = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const pen = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  pen.drawImage(picture, 0, 0);
  const { data } = pen.getImageData(0, 0, picture.width, picture.height);
  const found = { blue: 0, red: 0, tiles: Array(64).fill(0) };
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b] = data.slice(i, i + 3);
    found.blue += b > r + 60 && b > g + 30;
    found.red += r > b + 60 && r > g + 60;
    const x = (i / 4) % picture.width, y = Math.floor(i / 4 / picture.width);
    const tile = 8 * Math.floor((8 * y) / picture.height) + Math.floor((8 * x) / picture.width);
    found.tiles[tile] += (64 * (r + g + b)) / (3 * picture.width * picture.height);
  }
  return found;
}"""


@pytest.fixture(scope="module")
def browser():
    """Chromium: playwright's own, or the system's."""
    with playwright.sync_playwright() as control:
        own = Path(control.chromium.executable_path)
        system = next(filter(None, map(shutil.which, _SYSTEM)), None)
        if not own.exists() and system is None:
            pytest.skip("no Chromium: playwright install chromium")
        started = control.chromium.launch(executable_path=None if own.exists() else system, args=_FLAGS)
        yield started
        started.close()


@pytest.fixture(scope="module")
def compared():
    structure = from_gemmi(document(helix("A"), helix("B", 25)))
    classes = np.ones(2 * RESIDUES, int)
    classes[RESIDUES + 8 : RESIDUES + 16] = 2
    annotation = annotated(structure, classes)
    density = annotation.map.density
    for axis in range(3):  # softened: contours then differ by level
        density = (np.roll(density, 1, axis) + density + np.roll(density, -1, axis)) / 3
    annotation = replace(annotation, map=replace(annotation.map, density=density))
    return annotation, annotation.compare(structure)


@pytest.fixture(scope="module")
def report(compared, tmp_path_factory):
    """A report of two helices, one of which looks like a strand for eight residues."""
    path = tmp_path_factory.mktemp("report") / "two helices.html"
    write_report(*compared[:1], path, compared[1], "haruspex-infer map.mrc", title="Two helices")
    return path


def opened(browser, path, **options):
    """A page without a network, and what it complained of or asked for."""
    context = browser.new_context(reduced_motion="reduce", **options)
    context.set_offline(True)
    context.set_default_timeout(_PATIENCE)
    page = context.new_page()
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda r: page.complaints.append(r.url) if r.url.startswith("http") else None)
    page.goto(path.as_uri())
    page.wait_for_selector("body[data-ready]")
    return page


@pytest.fixture
def page(browser, report):
    page = opened(browser, report, viewport={"width": 720, "height": 500})
    yield page
    assert page.complaints == []
    page.context.close()


def seen(page, selector="#view"):
    """What the pixels of an element show, once it has been drawn."""
    page.evaluate("() => new Promise((done) => setTimeout(() => requestAnimationFrame(done), 100))")
    picture = page.locator(selector).screenshot()
    return page.evaluate(_COUNT, base64.b64encode(picture).decode())


def differ(first, second):
    """Whether two pictures differ by more than the smoothing of edges when the view is at rest."""
    return np.abs(np.subtract(first["tiles"], second["tiles"])).max() > 1.5


def triangles(page):
    return int(page.evaluate("document.body.dataset.triangles"))


def test_classes_and_model_can_be_switched_off(page):
    assert page.title() == "Two helices · haruspex"
    page.uncheck("#show-model")
    page.select_option("#surface", "solid")
    both = seen(page)
    assert both["blue"] > 3000
    assert both["red"] > 500
    page.uncheck("[data-class='2']")
    without = seen(page)
    assert without["red"] == 0
    assert without["blue"] > 3000
    page.uncheck("[data-class='1']")
    assert seen(page)["blue"] == 0
    page.check("[data-class='1']")
    page.check("[data-class='2']")
    again = seen(page)
    assert not differ(again, both)
    assert again["red"] == pytest.approx(both["red"], rel=0.1)
    page.select_option("#surface", "mesh")
    assert differ(seen(page), both)
    page.check("#show-model")
    assert differ(seen(page), both)


def test_the_threshold_moves_the_surface(page):
    page.select_option("#surface", "solid")
    told, before, pixels = page.inner_text("#threshold-value"), triangles(page), seen(page)
    assert before > 1000
    page.focus("#threshold")
    page.keyboard.press("PageUp")
    playwright.expect.set_options(timeout=_PATIENCE)
    body = playwright.expect(page.locator("body"))
    body.not_to_have_attribute("data-triangles", str(before))
    assert page.inner_text("#threshold-value") != told
    assert "σ · density" in told
    assert differ(seen(page), pixels)
    page.keyboard.press("End")  # beyond the strongest density of this map
    body.to_have_attribute("data-triangles", "0")
    assert page.inner_text("#status") == "No density reaches this threshold."
    assert seen(page)["blue"] < 3000  # the model is left


def test_slices_move_and_take_colours(page):
    coloured = seen(page, "#slice-y")
    assert coloured["blue"] > 200
    page.uncheck("#overlay")
    assert seen(page, "#slice-y")["blue"] == 0
    page.check("#overlay")
    before = page.inner_text("#at-y ~ output")
    page.focus("#at-y")
    for _ in range(8):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#at-y ~ output") != before
    assert differ(seen(page, "#slice-y"), coloured)
    where = [page.inner_text(f"#at-{axis} ~ output") for axis in "zyx"]
    page.click("#slice-z", position={"x": 20, "y": 20})
    after = [page.inner_text(f"#at-{axis} ~ output") for axis in "zyx"]
    assert after[0] == where[0]
    assert after[1] != where[1]
    assert after[2] != where[2]
    page.keyboard.press("PageUp")
    assert page.inner_text("#at-z ~ output") != where[0]


def test_a_stretch_comes_to_the_centre(page, compared):
    _, residues = compared
    (stretch,) = residues.stretches
    before = seen(page)
    page.get_by_role("button", name=f"Show chain {stretch.chain} {stretch.first}").click()
    assert stretch.first in page.inner_text("#status")
    assert differ(seen(page), before)
    places = residues.position[stretch.rows.start : stretch.rows.stop]
    middle = (places.min(axis=0) + places.max(axis=0)) / 2
    for axis, name in enumerate("xyz"):
        shown = float(page.inner_text(f"#at-{name} ~ output").split()[0])
        assert shown == pytest.approx(middle[axis], abs=0.6)
    assert page.get_attribute("[data-place='0']", "aria-pressed") == "true"
    page.click("#reset")
    assert seen(page)["blue"] == pytest.approx(before["blue"], rel=0.1)  # smoothed when at rest


def test_everything_is_within_reach_of_the_keyboard(page):
    reached = []
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.dataset.class"))
    wanted = {"view", "0", "1", "2", "3", "show-model", "threshold", "surface", "reset", "overlay"}
    assert wanted | {"at-z", "at-y", "at-x", "slice-z", "slice-y", "slice-x"} <= set(reached)
    page.focus("[data-class='1']")
    before = seen(page)
    page.keyboard.press("Space")
    assert seen(page)["blue"] < before["blue"]
    page.focus("#view")
    turned = seen(page)
    page.keyboard.press("ArrowLeft")
    after = seen(page)
    assert differ(after, turned)
    page.keyboard.press("+")
    assert differ(seen(page), after)


def test_it_is_accessible_and_fits_a_narrow_window(browser, report):
    axe = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")
    page = opened(browser, report, viewport={"width": 390, "height": 500})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.evaluate(axe.AXE_FILE_PATH.read_text())
    for scheme, colour in {"light": "rgb(247, 248, 249)", "dark": "rgb(20, 24, 29)"}.items():
        page.emulate_media(color_scheme=scheme)
        assert page.evaluate("getComputedStyle(document.body).backgroundColor") == colour
        found = page.evaluate("axe.run()")
        told = [(v["id"], v["nodes"][0]["html"][:120]) for v in found["violations"]]
        assert told == []
        assert len(found["passes"]) > 15
    assert page.complaints == []
    page.context.close()


def test_hostile_names_do_nothing(browser, compared, tmp_path):
    annotation, residues = compared
    hostile = replace(annotation, map=replace(annotation.map, path=Path(HOSTILE)), warnings=(HOSTILE,))
    stretches = tuple(replace(stretch, chain=HOSTILE, first=HOSTILE) for stretch in residues.stretches)
    table = replace(residues.table, chain=np.full(len(residues), HOSTILE))
    said = replace(residues, table=table, stretches=stretches, source=Path(HOSTILE), notes=(HOSTILE,))
    write_report(hostile, tmp_path / "r.html", said, HOSTILE, title=HOSTILE)
    page = opened(browser, tmp_path / "r.html", viewport={"width": 400, "height": 400})
    page.click("[data-place='0']")
    assert HOSTILE in page.inner_text("#status")
    assert page.inner_text("h1") == HOSTILE
    assert page.evaluate("window.hacked") is None
    assert page.locator("img").count() == 0
    # and were it let in after all, the policy would stop it
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=window.hacked=1>')")
    page.wait_for_timeout(200)
    assert page.evaluate("window.hacked") is None
    page.context.close()
