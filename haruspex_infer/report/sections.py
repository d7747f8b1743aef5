"""Tables and texts of the report. Whatever comes from files or the command line is escaped here."""

from collections.abc import Iterable, Sequence
from html import escape

import numpy as np

from haruspex_infer.annotatedmap import MOLECULE, AnnotatedMap
from haruspex_infer.classes import HELIX, NUCLEOTIDE, OTHER, STRAND
from haruspex_infer.comparison import Comparison
from haruspex_infer.report.charts import histogram, share_bar
from haruspex_infer.report.composition import (
    BINS,
    ESTIMATES_ARE_OFF_BY,
    PROTEIN,
    confidence,
    estimated_residues,
)
from haruspex_infer.report.shown import ShownVolume, voxel_text
from haruspex_infer.verdicts import AGREES, BORDER, DIFFERS, VERDICTS, WEAK

# structure first: that is what the reader looks for
SHOWN_ORDER = (HELIX, STRAND, NUCLEOTIDE, OTHER)
_LISTED = 50
_VERDICT_COLOURS = {AGREES: "var(--good)", BORDER: "var(--fuzzy)", DIFFERS: "var(--bad)", WEAK: "var(--weak)"}


def facts_line(annotation: AnnotatedMap, residues: Comparison | None) -> str:
    """Return the figures at the head of the page."""
    shares = {name: part["molecule_fraction"] for name, part in annotation.composition.items()}
    volume = sum(part["molecule_volume"] for part in annotation.composition.values())
    facts = [("Molecular density", f"{float(f'{volume:.3g}'):,.0f} Å³")]
    heads = {HELIX.name: "Helix", STRAND.name: "Strand", NUCLEOTIDE.name: "Nucleic acid"}
    facts += [(head, f"{shares[name]:.0%}") for name, head in heads.items()]
    if residues is not None:
        agree = residues.counts[AGREES] / max(1, len(residues))
        facts.append(("Model agrees", f"{agree:.0%} of {len(residues):,} residues"))
        found = len(residues.stretches)
        facts.append(("To look at", f"{found} stretch{'' if found == 1 else 'es'}"))
    cells = [f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts]
    return "".join(cells)


def notes(warnings: Iterable[str]) -> str:
    """Return the warnings as a box, or a word that there are none."""
    items = [f"<li>{escape(text)}</li>" for text in warnings]
    if not items:
        return '<p class="quiet">No warnings.</p>'
    return (
        '<aside class="notes" aria-labelledby="notes"><h2 id="notes">Please note</h2>'
        f"<ul>{''.join(items)}</ul></aside>"
    )


def class_toggles(annotation: AnnotatedMap) -> str:
    """Return a check box for each class, with its colour and share."""
    parts = annotation.composition
    boxes = []
    for c in SHOWN_ORDER:
        share = parts[c.name]["molecule_fraction"]
        boxes.append(
            f'<label class="toggle"><input type="checkbox" data-class="{c.number}" checked>'
            f'<span class="swatch" style="background:{c.colour}"></span>{c.name}'
            f'<span class="share">{share:.0%}</span></label>'
        )
    return "".join(boxes)


def composition(annotation: AnnotatedMap) -> str:
    """Return volumes, shares and estimated residues by class."""
    parts = annotation.composition
    residues = estimated_residues(annotation)
    shares = [(c.name, c.colour, parts[c.name]["molecule_fraction"]) for c in SHOWN_ORDER]
    said = ", ".join(f"{name} {share:.0%}" for name, _, share in shares)
    rows = [
        [
            f'<span class="swatch" style="background:{c.colour}"></span>{c.name}',
            f"{parts[c.name]['molecule_volume']:,.0f}",
            f"{parts[c.name]['molecule_fraction']:.1%}",
            "–" if c is OTHER else f"{residues[c.name]:,}",
        ]
        for c in SHOWN_ORDER
    ]
    nucleic = parts[NUCLEOTIDE.name]["molecule_fraction"]
    level, off = annotation.level(MOLECULE), ESTIMATES_ARE_OFF_BY
    return (
        share_bar(shares, f"Share of the molecular density: {said}")
        + _table(("Class", "Volume, Å³", "Share", "Residues, about"), rows, numbers=(1, 2, 3))
        + f"<p><strong>{nucleic:.0%} of the molecular density is nucleic acid.</strong> What is protein "
        f"amounts to about {residues[PROTEIN]:,} residues, coil and side chains (other) included.</p>"
        f'<p class="quiet">Volumes count voxels with a density of at least {level:.3g}. Numbers of '
        "residues are rough: estimated from the volume that a residue takes in maps with models, on which "
        f"they are off by {off[HELIX.name]:.0%} for helices, {off[STRAND.name]:.0%} for strands and "
        f"{off[PROTEIN]:.0%} for protein as a whole (median).</p>"
    )


def confidence_figure(annotation: AnnotatedMap) -> str:
    """Return the histogram of the probability of the most probable class."""
    counts, median = confidence(annotation)
    order = [c.number for c in SHOWN_ORDER]
    names = [c.name for c in SHOWN_ORDER]
    if not np.isfinite(median):
        return "<p>There is no molecular density.</p>"
    told = f"Half of the molecular density has its class with a probability of at least {median:.2f}."
    figure = histogram(
        counts[order], [c.colour for c in SHOWN_ORDER], names, f"Histogram of confidence, {BINS} bins. {told}"
    )
    return (
        f"{figure}<p>{told}</p>"
        '<p class="quiet">Probability of the most probable class, voxel by voxel; 0.25 would be a mere '
        "guess.</p>"
    )


def model(residues: Comparison, strips: str) -> str:
    """Return what the map says of a model: verdicts, stretches to look at first, chains, strip plot."""
    name = residues.source.name if residues.source else "the model"
    total = max(1, len(residues))
    shown = [kind for kind in VERDICTS if residues.counts[kind]]
    shares = [(k, _VERDICT_COLOURS.get(k, "var(--line)"), residues.counts[k] / total) for k in shown]
    said = ", ".join(f"{kind} {share:.0%}" for kind, _, share in shares)
    verdict_rows = [
        [
            f'<span class="swatch" style="background:{colour}"></span>{escape(kind)}',
            f"{residues.counts[kind]:,}",
            f"{share:.1%}",
            escape(VERDICTS[kind]),
        ]
        for kind, colour, share in shares
    ]
    return (
        f'<p class="said">{escape(name)}: {escape(residues.line())}.</p>'
        + share_bar(shares, f"Verdicts: {said}")
        + _table(("Verdict", "Residues", "Share", "Meaning"), verdict_rows, numbers=(1, 2))
        + '<h3 id="first">Look first at</h3>'
        + _stretches(residues)
        + "<h3>Chains</h3>"
        + _chains(residues)
        + "<h3>Residue by residue</h3>"
        + (
            _strips(strips)
            if strips
            else "<p>There are too many residues for one page: see the SVG file.</p>"
        )
    )


def provenance(
    annotation: AnnotatedMap, command: str | None, versions: Sequence[tuple[str, str]], shown: ShownVolume
) -> str:
    """Return how the annotation was made, and what the page shows of it."""
    grid, run = annotation.grid, annotation.report
    box = " × ".join(str(n) for n in reversed(grid.shape))
    rows = [
        ("Command", f"<code>{escape(command)}</code>" if command else "from Python"),
        ("Map", escape(str(annotation.map.path)) if annotation.map.path else "an array"),
        ("Voxels", f"{box} of {voxel_text(grid)}"),
    ]
    if network := run.get("network"):
        digest = str(network["digest"])
        rows.append(
            (
                "Network",
                f"{escape(str(network['name']))} {escape(str(network['version']))}, "
                f'<span class="digest">{escape(digest)}</span>',
            )
        )
        rows.append(("Device", escape(str(run["device"]))))
    rows += [(escape(name), escape(version)) for name, version in versions]
    strong = annotation.level(1)
    rows.append(
        ("Levels", f"solvent {annotation.offset:.4g}, strong density {strong:.4g}, in the map's units")
    )
    rows.append(("Shown here", escape(f"{shown.note}; 256 levels of density")))
    cells = [f"<tr><th scope='row'>{name}</th><td>{value}</td></tr>" for name, value in rows]
    return f'<table class="plain">{"".join(cells)}</table>'


def _strips(strips: str) -> str:
    label = "Strip plot of the chains"
    return f'<div class="scroll" tabindex="0" role="region" aria-label="{label}">{strips}</div>'


def _stretches(residues: Comparison) -> str:
    if not residues.stretches:
        return "<p>No stretch of three or more residues stands out.</p>"
    rows = []
    for rank, stretch in enumerate(residues.stretches[:_LISTED], 1):
        place = f"{stretch.chain} {stretch.first}–{stretch.last}"
        rows.append(
            [
                str(rank),
                f'<button type="button" class="go" data-place="{rank - 1}" '
                f'aria-label="Show chain {escape(place)} in the 3D view">{escape(place)}</button>',
                "coil" if stretch.modelled == OTHER.name else escape(stretch.modelled),
                escape(_SEEN.get(stretch.seen, stretch.seen)),
                f"{stretch.sigma_level:.1f}",
                f"{stretch.score:.1f}",
            ]
        )
    heads = ("Rank", "Chain and residues", "Modelled", "Density looks like", "σ level", "Evidence")
    text = _table(heads, rows, numbers=(0, 4, 5))
    if (rest := len(residues.stretches) - len(rows)) > 0:
        text += f'<p class="quiet">{rest} more are in the summary.</p>'
    return text + (
        '<p class="quiet">Choose a stretch to bring it to the centre of the 3D view and of the slices. '
        "Evidence adds up how much more probable the seen class is than the modelled one; coil counts "
        "half.</p>"
    )


_SEEN = {OTHER.name: "none of them", WEAK: "hardly any"}


def _chains(residues: Comparison) -> str:
    chains = residues.table.chain
    rows = []
    for chain in dict.fromkeys(chains.tolist()):
        verdict = residues.verdict[chains == chain]
        counted = [int((verdict == kind).sum()) for kind in (AGREES, BORDER, DIFFERS, WEAK)]
        rows.append(
            [escape(chain) or "–", f"{len(verdict):,}", f"{counted[0] / len(verdict):.0%}"]
            + [f"{count:,}" for count in counted[1:]]
        )
    return _table(("Chain", "Residues", "Agree", "Border", "Differ", "Weak"), rows, numbers=(1, 2, 3, 4, 5))


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], numbers: Sequence[int]) -> str:
    """Return a table of cells that are HTML already."""
    kind = ['class="number"' if column in numbers else "" for column in range(len(heads))]
    head = "".join(f'<th scope="col" {k}>{text}</th>' for k, text in zip(kind, heads, strict=True))
    body = "".join(
        "<tr>" + "".join(f"<td {k}>{cell}</td>" for k, cell in zip(kind, row, strict=True)) + "</tr>"
        for row in rows
    )
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="Table: {heads[0].lower()}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )
