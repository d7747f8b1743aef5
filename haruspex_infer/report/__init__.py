"""The report: one HTML file that shows an annotation to people, offline, in any browser.

Where things live, and what they may know:

- `shown`: which part of the map travels in the report, how coarsely and in how many bytes;
- `composition`: what an annotation amounts to: volumes, estimated residues, confidence;
- `charts`: figures as SVG; knows numbers, not annotations;
- `sections`: tables and texts as HTML; everything that comes from outside is escaped here;
- `writing`: puts template, style, viewer, script and data together, and writes the file;
- ``page/``: what the browser gets: template, style sheet, script, and NGL, the viewer (MIT licence).

The browser makes the surface itself, from the shown part of the map: only so can the threshold move. NGL
was taken for its marching cubes, which interpolate, and its mesh buffers, which take typed arrays: a map of
160³ voxels is contoured in about a second. The page needs no network and allows itself none: its content
security policy admits the scripts that were put in, by their digests, and nothing else.

The report is written unless declined. It costs little (docs/howto/report.md), and who has just got a map
wants to look at it before deciding which of the other files to open.
"""

from haruspex_infer.report.writing import write_report

__all__ = ["write_report"]
