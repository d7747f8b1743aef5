import pytest
from toys import metadata, metadata_text

from haruspex_infer.errors import HaruspexError
from haruspex_infer.network import digest_of, find_network, numbers_held, parse_contract, shipped_networks


def test_a_contract_is_read():
    contract = parse_contract(metadata_text(margin=10, multiple=4, overlap=0), "toy")
    assert (contract.margin, contract.multiple, contract.overlap) == (10, 4, 0)
    assert (contract.finest, contract.coarsest, contract.voxel_size) == (1.0, 1.2, 1.1)
    assert contract.name == "toy"


def test_the_normalisation_comes_from_the_network():
    contract = parse_contract(metadata_text(normalisation={"percentile": 75.0}), "toy")
    assert contract.normaliser.percentile == 75.0


@pytest.mark.parametrize(
    "text",
    [
        None,
        "{",
        "[]",
        "[" * 100_000,
        metadata_text(),
        *(metadata_text(held=h) for h in (0, -1, 1e9, "x", None)),
    ],
)
def test_of_a_network_that_says_nothing_sound_much_memory_is_expected(text):
    assert numbers_held(metadata_text(held=131)) == 131
    assert numbers_held(text) == 240


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "carries no 'haruspex' metadata"),
        ("{", "incomplete metadata"),
        ("[]", "incomplete metadata"),
        ('{"format": 1}', "incomplete metadata"),
        (metadata_text(format=2), "format 2, and this version reads format 1"),
        (metadata_text(classes=["other", "helix"]), "predicts the classes other, helix"),
        (metadata_text(normalisation={"wizardry": 1}), "incomplete metadata"),
        (metadata_text(multiple=0), "impossible metadata"),
        (metadata_text(overlap=600), "impossible metadata"),
        (metadata_text(margin=256), "impossible metadata"),
        (metadata_text(voxel_size={"min": 1.2, "max": 1.0, "target": 1.1}), "impossible metadata"),
    ],
)
def test_other_metadata_are_refused(text, message):
    with pytest.raises(HaruspexError, match=message) as error:
        parse_contract(text, "net.onnx")
    assert "net.onnx" in str(error.value)


@pytest.mark.parametrize("key", sorted(metadata().keys() - {"licence", "training"}))
def test_every_entry_is_needed(key):
    import json

    incomplete = metadata()
    del incomplete[key]
    with pytest.raises(HaruspexError, match="incomplete metadata"):
        parse_contract(json.dumps(incomplete), "net.onnx")


def test_networks_are_found_by_file_and_by_name(tmp_path, toy):
    assert find_network(toy) == toy
    assert find_network(str(toy)) == toy
    for name, path in shipped_networks().items():
        assert find_network(name) == path
    with pytest.raises(HaruspexError, match=r"There is no network wonder: give a \.onnx file"):
        find_network("wonder")
    with pytest.raises(HaruspexError, match=r"gone\.onnx does not exist"):
        find_network(tmp_path / "gone.onnx")


def test_the_digest_is_that_of_the_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert digest_of(tmp_path / "a") == (
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )
