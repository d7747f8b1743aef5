import io
import shutil

import numpy as np
import pytest
from peptides import HELIX, backbone, chain, document
from PIL import Image

from haruspex_infer.classes import HELIX as HELIX_CLASS
from haruspex_infer.classes import STRAND
from haruspex_infer.grid import Grid
from haruspex_infer.mapfile import Map
from haruspex_infer.structure import from_gemmi
from haruspex_train.curate import COLUMNS
from haruspex_train.fit import model_density
from haruspex_train.gallery import write_gallery
from haruspex_train.slices import EDGE, central_slices


@pytest.fixture(scope="module")
def drawn():
    """Sections of a helix that is called strand in its second half, as pixels."""
    structure = from_gemmi(document(chain("A", backbone([HELIX] * 30))))
    low = structure.xyz.min(axis=0)[::-1].astype(float) - 12
    shape = np.ceil((structure.xyz.max(axis=0)[::-1] + 12 - low) / 1.1).astype(int)
    grid = Grid(tuple(map(int, shape)), (1.1,) * 3, tuple(low))
    density_map = Map.from_array(model_density(grid, structure, 3.0), 1.1, grid.origin)
    classes = np.repeat([HELIX_CLASS.number, STRAND.number], 15).astype(np.uint8)
    return central_slices(density_map, structure, classes)


def pixels(picture):
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)


def test_sections_show_the_classes_in_their_colours_and_density_in_grey(drawn):
    page = pixels(drawn)
    assert page.shape == (EDGE, 3 * EDGE + 16, 3)
    red, green, blue = np.moveaxis(page, -1, 0)
    assert ((blue > red + 60) & (blue > green + 30)).sum() > 500
    assert ((red > blue + 60) & (red > green + 60)).sum() > 500
    assert (page.max(axis=-1) < 40).mean() > 0.3


def test_sections_are_light(drawn):
    assert len(drawn) < 30_000


def test_a_model_outside_its_map_is_still_drawn():
    structure = from_gemmi(document(chain("A", backbone([HELIX] * 12) + 500)))
    density = np.random.default_rng(0).normal(size=(20, 20, 20))
    page = pixels(central_slices(Map.from_array(density, 1.0), structure, np.ones(12, np.uint8)))
    assert page.shape[0] == EDGE


def row(name, verdict, reason="", **figures):
    empty = dict.fromkeys(COLUMNS, "")
    known = {"id": name, "split": "train", "pdb": "1ABC", "resolution_A": "3.2", "helix": "30", "strand": "0"}
    return empty | known | {"verdict": verdict, "reason": reason, "nucleotide": "0"} | figures


@pytest.fixture
def page(tmp_path, drawn):
    (tmp_path / "EMD-1.webp").write_bytes(drawn)
    rows = [
        row("EMD-1", "keep", correlation="0.71", copies="0"),
        row("EMD-2", "drop", "only 20% of the residues fit", copies_refused="3"),
        row("<b>odd</b>", "drop", "no helix & no strand", pdb="-"),
    ]
    write_gallery(tmp_path / "gallery.html", rows, lambda name: tmp_path / f"{name.strip('<>/b')}.webp")
    return tmp_path / "gallery.html"


def test_the_page_is_one_file_and_shows_names_as_text(page):
    text = page.read_text(encoding="utf-8")
    assert text.count("<article") == 3
    assert "data:image/webp;base64," in text
    assert "<b>odd</b>" not in text
    assert "&lt;b&gt;odd&lt;/b&gt;" in text
    assert 'src="http' not in text
    assert "<link" not in text
    assert "copies added" not in text


@pytest.fixture(scope="module")
def browser():
    """A real browser: that of playwright, or of the system."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        for path in (None, *filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome")))):
            try:
                found = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
            except playwright.Error:
                continue
            yield found
            found.close()
            return
        pytest.skip("no browser: 'playwright install chromium', or install chromium")


def test_a_browser_shows_and_filters_the_entries(browser, page):
    tab = browser.new_page(viewport={"width": 1280, "height": 900})
    tab.set_default_timeout(120_000)  # ms; the machine may be busy with other tests
    faults = []
    tab.on("pageerror", lambda fault: faults.append(str(fault)))
    tab.on("request", lambda request: request.url.startswith("http") and faults.append(request.url))
    tab.goto(page.as_uri())
    cards = tab.locator("article:visible")
    assert cards.count() == 3
    assert tab.locator("img").evaluate("image => image.complete && image.naturalWidth") == 3 * EDGE + 16
    tab.get_by_text("drop 2").click()
    assert cards.locator("h2").all_text_contents() == ["EMD-2", "<b>odd</b>"]
    tab.get_by_label("Search").fill("residues FIT")
    assert cards.locator("h2").all_text_contents() == ["EMD-2"]
    assert cards.locator(".reason").inner_text() == "only 20% of the residues fit"
    tab.get_by_text("keep 1").click()
    assert cards.count() == 0
    assert tab.get_by_text("No entry.").is_visible()
    tab.get_by_label("Search").fill("")
    assert cards.locator("h2").all_text_contents() == ["EMD-1"]
    assert cards.locator("dd").all_text_contents() == ["0.71"]
    assert faults == []
    tab.close()
