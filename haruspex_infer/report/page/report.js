"use strict";
// The moving parts of a report: the surface by class, the slices, and the way between them.
(async () => {
  const byId = (id) => document.getElementById(id);
  const facts = JSON.parse(byId("facts").textContent);
  const [nz, ny, nx] = facts.shape;
  const [sz, sy, sx] = facts.voxel;
  const [oz, oy, ox] = facts.origin;
  const voxels = nx * ny * nz;
  const status = byId("status");

  async function unpack(text) {
    const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("gzip"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  }
  const bytes = await unpack(byId("volume").textContent);
  const density = bytes.subarray(0, voxels);
  const labels = bytes.subarray(voxels);
  const rgb = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
  const colours = facts.classes.map((c) => rgb(c.colour));
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const toDensity = (sigmas) => facts.mean + sigmas * facts.sigma;
  const toByte = (value) => (value - facts.low) / facts.step;
  const nearest = (value, origin, size, n) => Math.min(n - 1, Math.max(0, Math.round((value - origin) / size)));
  const voxelAt = (x, y, z) => (nearest(z, oz, sz, nz) * ny + nearest(y, oy, sy, ny)) * nx + nearest(x, ox, sx, nx);

  // ---- slices ------------------------------------------------------------------------------------------
  const at = [nz >> 1, ny >> 1, nx >> 1];
  const overlay = byId("overlay");
  // across: the axis that a slice is perpendicular to; down and right: those that it shows
  const slices = [
    { name: "z", across: 0, down: 1, right: 2 },
    { name: "y", across: 1, down: 0, right: 2 },
    { name: "x", across: 2, down: 0, right: 1 },
  ].map((slice) => ({ ...slice, canvas: byId("slice-" + slice.name), range: byId("at-" + slice.name) }));
  const strides = [ny * nx, nx, 1];
  const black = toByte(facts.solvent), white = toByte(facts.strong);

  function drawSlice(slice) {
    const { across, down, right, canvas, range } = slice;
    const rows = facts.shape[down], columns = facts.shape[right];
    const image = new ImageData(columns, rows);
    const paper = rgb(dark.matches ? "#12161b" : "#ffffff"), ink = rgb(dark.matches ? "#eef1f4" : "#1d2733");
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        // y and z grow upwards
        const place = at[across] * strides[across] + (rows - 1 - row) * strides[down] + column * strides[right];
        const share = Math.min(1, Math.max(0, (density[place] - black) / (white - black)));
        const full = overlay.checked && labels[place] > 0 ? colours[labels[place]] : ink;
        const strength = full === ink ? share : Math.min(1, share * 1.3);
        for (let i = 0; i < 3; i++) image.data[4 * (row * columns + column) + i] = paper[i] + strength * (full[i] - paper[i]);
        image.data[4 * (row * columns + column) + 3] = 255;
      }
    }
    const small = new OffscreenCanvas(columns, rows);
    small.getContext("2d").putImageData(image, 0, 0);
    const wide = columns * facts.voxel[right], high = rows * facts.voxel[down];
    canvas.width = 720;
    canvas.height = Math.round((720 * high) / wide);
    const pen = canvas.getContext("2d");
    pen.imageSmoothingQuality = "high";
    pen.drawImage(small, 0, 0, canvas.width, canvas.height);
    pen.strokeStyle = style("--pale");
    pen.globalAlpha = 0.5;
    pen.lineWidth = 1.5;
    pen.beginPath();
    const x = ((at[right] + 0.5) / columns) * canvas.width, y = (1 - (at[down] + 0.5) / rows) * canvas.height;
    pen.moveTo(x, 0); pen.lineTo(x, canvas.height); pen.moveTo(0, y); pen.lineTo(canvas.width, y);
    pen.stroke();
    const where = facts.origin[across] + at[across] * facts.voxel[across];
    range.max = facts.shape[across] - 1;
    range.value = at[across];
    range.nextElementSibling.textContent = where.toFixed(1) + " Å";
    range.setAttribute("aria-valuetext", where.toFixed(1) + " Å");
    canvas.setAttribute("aria-label", `Slice across ${slice.name} at ${where.toFixed(1)} Å`);
  }
  const drawSlices = () => slices.forEach(drawSlice);
  function moveTo(axis, index) {
    at[axis] = Math.min(facts.shape[axis] - 1, Math.max(0, index));
    drawSlices();
  }
  for (const slice of slices) {
    const { across, down, right, canvas, range } = slice;
    range.addEventListener("input", () => moveTo(across, Number(range.value)));
    canvas.addEventListener("click", (event) => {
      const box = canvas.getBoundingClientRect();
      at[right] = Math.min(facts.shape[right] - 1, Math.floor(((event.clientX - box.left) / box.width) * facts.shape[right]));
      moveTo(down, Math.floor((1 - (event.clientY - box.top) / box.height) * facts.shape[down]));
    });
    canvas.addEventListener("keydown", (event) => {
      const step = { ArrowUp: 1, ArrowRight: 1, ArrowDown: -1, ArrowLeft: -1, PageUp: 10, PageDown: -10 }[event.key];
      if (!step) return;
      event.preventDefault();
      moveTo(across, at[across] + step);
    });
    // the wheel scrolls the page unless a slice was chosen
    canvas.addEventListener("wheel", (event) => {
      if (document.activeElement !== canvas) return;
      event.preventDefault();
      moveTo(across, at[across] + Math.sign(event.deltaY));
    }, { passive: false });
  }
  overlay.addEventListener("change", drawSlices);
  drawSlices();

  // ---- the surface -------------------------------------------------------------------------------------
  const threshold = byId("threshold"), told = byId("threshold-value"), surface = byId("surface");
  threshold.min = facts.threshold.least;
  threshold.max = facts.threshold.most;
  threshold.value = facts.threshold.start;
  if (facts.model) surface.value = "clear";
  let stage;
  try {
    stage = new NGL.Stage("view", { backgroundColor: style("--stage"), workerDefault: false, tooltip: false, sampleLevel: 0 });
    if (!stage.viewer.renderer.getContext()) throw new Error("no WebGL");
  } catch (error) {
    status.textContent = "The 3D view needs WebGL, which this browser does not offer.";
    return;
  }
  const volume = new NGL.Volume("map", "", density, nx, ny, nz);
  volume.setMatrix(volume.matrix.clone().set(sx, 0, 0, ox, 0, sy, 0, oy, 0, 0, sz, oz, 0, 0, 0, 1));

  function classOf(position, normal, i) {
    // labels lie inside the density, so look 1 Å inwards: to the side where density is higher
    const [x, y, z] = [position[i], position[i + 1], position[i + 2]];
    const length = Math.hypot(normal[i], normal[i + 1], normal[i + 2]) || 1; // gradients of the density
    const [u, v, w] = [normal[i] / length, normal[i + 1] / length, normal[i + 2] / length];
    const a = voxelAt(x + u, y + v, z + w), b = voxelAt(x - u, y - v, z - w);
    return labels[density[a] > density[b] ? a : b];
  }
  function meshes(level) {
    const { position, normal, index } = volume.getSurface(toByte(toDensity(level)), 0);
    const count = position.length / 3;
    const owner = new Uint8Array(count);
    for (let i = 0; i < count; i++) owner[i] = classOf(position, normal, 3 * i);
    const ofFace = (f) => {
      const [a, b, c] = [owner[index[f]], owner[index[f + 1]], owner[index[f + 2]]];
      return b === c ? b : a;
    };
    return facts.classes.map(({ number }) => {
      const renamed = new Int32Array(count).fill(-1);
      const kept = [], faces = [];
      for (let f = 0; f < index.length; f += 3) {
        if (ofFace(f) !== number) continue;
        for (let k = 0; k < 3; k++) {
          const vertex = index[f + k];
          if (renamed[vertex] < 0) renamed[vertex] = kept.push(vertex) - 1;
          faces.push(renamed[vertex]);
        }
      }
      const mesh = { position: new Float32Array(3 * kept.length), normal: new Float32Array(3 * kept.length), index: new Uint32Array(faces) };
      kept.forEach((vertex, i) => {
        mesh.position.set(position.subarray(3 * vertex, 3 * vertex + 3), 3 * i);
        mesh.normal.set(normal.subarray(3 * vertex, 3 * vertex + 3), 3 * i);
      });
      return mesh;
    });
  }

  const shown = new Map(facts.classes.map(({ number }) => [number, true]));
  let components = [];
  const looks = {
    solid: { opacity: 1, wireframe: false, side: "double" },
    clear: { opacity: 0.38, wireframe: false, side: "front" },
    mesh: { opacity: 1, wireframe: true, side: "double" },
  };
  function drawSurface() {
    const level = Number(threshold.value);
    told.textContent = `${level.toFixed(2)} σ · density ${toDensity(level).toPrecision(3)}`;
    threshold.setAttribute("aria-valuetext", `${level.toFixed(2)} sigma`);
    components.forEach((component) => component && stage.removeComponent(component));
    let triangles = 0;
    components = meshes(level).map((mesh, number) => {
      triangles += mesh.index.length / 3;
      if (mesh.index.length === 0) return null;
      const tint = new Float32Array(mesh.position.length);
      for (let i = 0; i < tint.length; i++) tint[i] = colours[number][i % 3] / 255;
      const shape = new NGL.Shape(facts.classes[number].name);
      shape.addBuffer(new NGL.MeshBuffer({ ...mesh, color: tint }));
      const component = stage.addComponentFromObject(shape);
      component.addRepresentation("buffer", { ...looks[surface.value], roughness: 0.65, metalness: 0 });
      component.setVisibility(shown.get(number));
      return component;
    });
    status.textContent = triangles ? `Surface of ${triangles.toLocaleString("en")} triangles.` : "No density reaches this threshold.";
    document.body.dataset.triangles = triangles;
  }
  let waiting = 0;
  const redraw = () => { clearTimeout(waiting); waiting = setTimeout(drawSurface, 60); };
  threshold.addEventListener("input", redraw);
  surface.addEventListener("change", drawSurface);
  document.querySelectorAll("[data-class]").forEach((box) => box.addEventListener("change", () => {
    const number = Number(box.dataset.class);
    shown.set(number, box.checked);
    components[number]?.setVisibility(box.checked);
  }));

  // ---- the model ---------------------------------------------------------------------------------------
  let trace = null, chosen = null;
  function tube(name, wanted, colourOf, radiusOf) {
    const { position, joined } = facts.model;
    const from = [], to = [], tint = [], tintTo = [], radius = [];
    joined.forEach((is, row) => {
      if (!is || !wanted(row)) return;
      from.push(...position.slice(3 * row, 3 * row + 3));
      to.push(...position.slice(3 * row + 3, 3 * row + 6));
      tint.push(...colourOf(row).map((c) => c / 255));
      tintTo.push(...colourOf(row + 1).map((c) => c / 255));
      radius.push(radiusOf(row));
    });
    if (from.length === 0) return null;
    const shape = new NGL.Shape(name);
    shape.addBuffer(new NGL.CylinderBuffer({
      position1: new Float32Array(from), position2: new Float32Array(to), color: new Float32Array(tint),
      color2: new Float32Array(tintTo), radius: new Float32Array(radius),
    }));
    const component = stage.addComponentFromObject(shape);
    component.addRepresentation("buffer");
    return component;
  }
  function drawModel() {
    const flagged = new Set();
    facts.model.places.forEach(({ rows }) => { for (let row = rows[0]; row < rows[1]; row++) flagged.add(row); });
    const marked = rgb(style("--bad"));
    const colourOf = (row) => (flagged.has(row) ? marked : colours[facts.model.class[row]]);
    const radiusOf = (row) => (flagged.has(row) && flagged.has(row + 1) ? 0.75 : 0.4);
    trace = tube("model", () => true, colourOf, radiusOf);
    byId("show-model").addEventListener("change", (event) => {
      [trace, chosen].forEach((component) => component?.setVisibility(event.target.checked));
    });
  }
  function choose([first, end]) {
    if (chosen) stage.removeComponent(chosen);
    const colour = rgb(style("--chosen"));
    chosen = tube("chosen", (row) => row >= first && row + 1 < end, () => colour, () => 1);
    chosen?.setVisibility(byId("show-model").checked);
  }

  // ---- the view ----------------------------------------------------------------------------------------
  const pace = (milliseconds) => (still.matches ? 0 : milliseconds);
  function look(centre, reach) {
    const box = volume.boundingBox.clone();
    box.min.set(centre[0] - reach, centre[1] - reach, centre[2] - reach);
    box.max.set(centre[0] + reach, centre[1] + reach, centre[2] + reach);
    const middle = volume.center.clone().set(...centre);
    // what lies before the place would hide it; the clipping plane is given in percent of the scene
    stage.setParameters({ clipNear: Math.max(0, 50 * (1 - reach / stage.viewer.bRadius)) });
    stage.animationControls.zoomMove(middle, stage.getZoomForBox(box, 0), pace(500));
    [[2, ox, sx], [1, oy, sy], [0, oz, sz]].forEach(([axis, origin, size], i) => {
      at[axis] = nearest(centre[i], origin, size, facts.shape[axis]);
    });
    drawSlices();
  }
  function whole() {
    stage.setParameters({ clipNear: 0 });
    stage.autoView(pace(400));
  }
  byId("reset").addEventListener("click", whole);
  byId("view").addEventListener("keydown", (event) => {
    const turn = { ArrowLeft: [-24, 0], ArrowRight: [24, 0], ArrowUp: [0, -24], ArrowDown: [0, 24] }[event.key];
    if (turn) stage.trackballControls.rotate(...turn);
    else if (event.key === "+" || event.key === "=") stage.trackballControls.zoom(-10);
    else if (event.key === "-") stage.trackballControls.zoom(10);
    else if (event.key === "0") whole();
    else return;
    event.preventDefault();
  });
  stage.keyControls.disabled = true;
  document.querySelectorAll("[data-place]").forEach((button) => button.addEventListener("click", () => {
    const place = facts.model.places[Number(button.dataset.place)];
    document.querySelectorAll("[data-place]").forEach((other) => other.setAttribute("aria-pressed", other === button));
    choose(place.rows);
    look(place.centre, place.reach);
    byId("map").scrollIntoView({ block: "start", behavior: "instant" });
    status.textContent = `In the centre: ${place.name}.`;
  }));
  dark.addEventListener("change", () => {
    stage.setParameters({ backgroundColor: style("--stage") });
    drawSlices();
  });
  addEventListener("resize", () => stage.handleResize());

  drawSurface();
  if (facts.model) drawModel();
  stage.autoView(0);
  document.body.dataset.ready = "yes";
})();
