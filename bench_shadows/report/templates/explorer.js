// The page's charts: one value over training, over depth, and of one layer over checkpoints. The data stand in the
// page. A range input beneath each chart moves the cross-hair, so that keyboards and screen readers get every value.
(() => {
  "use strict";
  const root = document.getElementById("explorer");
  const data = JSON.parse(document.getElementById("explorer-data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const SIZE = { width: 560, height: 300, left: 62, right: 12, top: 10, bottom: 40 };
  const MARKS = { A: "●", B: "■", C: "▲", D: "◆", baseline: "●", deduplicated: "◆" };
  const shown = new Set(data.conditions.map((one) => one.name));
  const charts = [];

  function element(parent, name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  }

  function write(value, digits = 4) {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    const text = size !== 0 && (size < 1e-3 || size >= 1e6) ? value.toExponential(2)
      : String(Number(value.toPrecision(digits)));
    return text.replace("-", "−");
  }

  function ticks(low, high, count) {
    const raw = (high - low) / count;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= raw);
    const found = [];
    for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) {
      found.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
    }
    return found;
  }

  function decades(low, high) {
    const found = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
      for (const factor of [1, 2, 5]) found.push(factor * 10 ** power);
    }
    return found.filter((tick) => tick >= low && tick <= high);
  }

  // Limits that hold every mean and a typical interval: one wide interval does not flatten all the rest.
  function limits(curves, log) {
    const means = curves.flatMap((one) => one.mean).filter((value) => value !== null && (!log || value > 0));
    if (!means.length) return null;
    const halves = curves.flatMap((one) => one.half || []).filter((value) => value !== null).sort((a, b) => a - b);
    let low = Math.min(...means);
    let high = Math.max(...means);
    if (log) return [low / 1.3, high * 1.3];
    const typical = halves.length ? halves[Math.floor(halves.length / 2)] : 0;
    const room = Math.max(typical, 0.06 * (high - low)) || Math.abs(high) * 0.1 || 1;
    return [low - room, high + room];
  }

  function makeChart(name) {
    const box = document.getElementById(name);
    const chart = {
      name, at: Infinity, // the index that is read: the last one at first
      svg: box.querySelector("svg"), range: box.querySelector("input[type=range]"),
      output: box.querySelector("output"), heading: box.querySelector("h3"),
    };
    chart.svg.setAttribute("viewBox", `0 0 ${SIZE.width} ${SIZE.height}`);
    chart.range.addEventListener("input", () => { chart.at = Number(chart.range.value); point(chart); });
    const follow = (event) => {
      if (!chart.places) return;
      const frame = chart.svg.getBoundingClientRect();
      const x = ((event.clientX - frame.left) / frame.width) * SIZE.width;
      const distances = chart.places.map((place) => Math.abs(place - x));
      chart.at = distances.indexOf(Math.min(...distances));
      chart.range.value = chart.at;
      point(chart);
    };
    chart.svg.addEventListener("pointermove", follow);
    chart.svg.addEventListener("pointerdown", follow);
    charts.push(chart);
    return chart;
  }

  const FLOOR = SIZE.height - SIZE.bottom;
  const EDGE = SIZE.width - SIZE.right;
  const INNER = { width: EDGE - SIZE.left, height: FLOOR - SIZE.top };

  function line(parent, name, x1, y1, x2, y2) {
    return element(parent, "line", { class: name, x1, y1, x2, y2 });
  }

  function label(svg, x, y, anchor, text) {
    element(svg, "text", { x, y, "text-anchor": anchor }, text);
  }

  // Places of values on the chart: { x, y }, and whether a value can be placed at all.
  function places(content, [low, high]) {
    const first = Math.min(...content.xs);
    const span = Math.max(...content.xs) - first || 1;
    const scale = content.log ? Math.log : (value) => value;
    const [bottom, range] = [scale(low), scale(high) - scale(low)];
    return {
      x: (value) => SIZE.left + 8 + ((INNER.width - 16) * (value - first)) / span,
      y: (value) => (content.log && value <= 0 ? SIZE.height
        : SIZE.top + INNER.height * (1 - (scale(value) - bottom) / range)),
      drawn: (value) => value !== null && (!content.log || value > 0),
    };
  }

  function drawAxes(svg, content, [low, high], { x, y }) {
    for (const tick of content.log ? decades(low, high) : ticks(low, high, 6)) {
      line(svg, "grid", SIZE.left, y(tick), EDGE, y(tick));
      label(svg, SIZE.left - 6, y(tick) + 4, "end", write(tick));
    }
    const [first, last] = [Math.min(...content.xs), Math.max(...content.xs)];
    const whole = content.xs.every(Number.isInteger);
    for (const tick of ticks(first, last || 1, 7)) {
      if (tick > last || (whole && !Number.isInteger(tick))) continue;
      line(svg, "axis", x(tick), FLOOR, x(tick), FLOOR + 4);
      label(svg, x(tick), FLOOR + 18, "middle", write(tick));
    }
    line(svg, "axis", SIZE.left, FLOOR, EDGE, FLOOR);
    label(svg, SIZE.left + INNER.width / 2, SIZE.height - 4, "middle", content.axis);
    if (content.phase) line(svg, "phase", x(content.phase), SIZE.top, x(content.phase), FLOOR);
  }

  function drawBand(plot, xs, one, { x, y }) {
    if (!one.half) return;
    const known = xs.map((value, index) => [value, one.mean[index], one.half[index]])
      .filter(([, mean, half]) => mean !== null && half !== null);
    const border = (sign) => known.map(([value, mean, half]) => `${x(value)},${y(mean + sign * half)}`);
    const points = [...border(1), ...border(-1).reverse()].join(" ");
    if (known.length > 1) element(plot, "polygon", { points, fill: one.condition.colour, opacity: 0.13 });
  }

  function drawCurve(plot, xs, one, { x, y, drawn }) {
    const { name, colour } = one.condition;
    let path = "";
    let pen = false; // a missing value is a gap
    xs.forEach((value, index) => {
      const mean = one.mean[index];
      if (drawn(mean)) {
        path += `${pen ? "L" : "M"}${x(value)},${y(mean)}`;
        if (xs.length <= 40) element(plot, "circle", { cx: x(value), cy: y(mean), r: 2.6, fill: colour });
      }
      pen = drawn(mean);
    });
    const dashes = name === "B" ? "6 3" : "none";
    element(plot, "path", { d: path, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": dashes });
  }

  // content: { title, axis, xs, names (of xs), curves: [{condition, mean, half}], log, phase }
  function draw(chart, content) {
    const { svg } = chart;
    chart.content = content;
    chart.heading.textContent = content.title;
    svg.replaceChildren();
    svg.setAttribute("aria-label", `${content.title}, over ${content.axis}. The slider below gives its values.`);
    const curves = content.curves.filter((one) => shown.has(one.condition.name));
    const range = limits(curves, content.log);
    chart.range.disabled = !range;
    chart.places = null;
    if (!range) {
      label(svg, SIZE.width / 2, SIZE.height / 2, "middle", "nothing recorded");
      chart.output.textContent = "";
      return;
    }
    const place = places(content, range);
    const clip = element(svg, "clipPath", { id: `clip-${chart.name}` });
    element(clip, "rect", { x: SIZE.left, y: SIZE.top, width: INNER.width, height: INNER.height });
    drawAxes(svg, content, range, place);
    const plot = element(svg, "g", { "clip-path": `url(#clip-${chart.name})` });
    curves.forEach((one) => drawBand(plot, content.xs, one, place));
    curves.forEach((one) => drawCurve(plot, content.xs, one, place));
    chart.places = content.xs.map(place.x);
    chart.hair = line(svg, "hair", 0, SIZE.top, 0, FLOOR);
    chart.range.max = content.xs.length - 1;
    chart.at = Math.min(chart.at, content.xs.length - 1);
    chart.range.value = chart.at;
    point(chart);
  }

  function point(chart) {
    const { content } = chart;
    const place = chart.places[chart.at];
    chart.hair.setAttribute("x1", place);
    chart.hair.setAttribute("x2", place);
    const name = content.names[chart.at];
    chart.output.replaceChildren(`${name}: `);
    const spoken = [];
    for (const one of content.curves.filter((curve) => shown.has(curve.condition.name))) {
      const half = one.half ? one.half[chart.at] : null;
      const spread = half === null ? "" : ` ± ${write(half, 2)}`;
      const text = `${one.condition.name} ${write(one.mean[chart.at])}${spread}`;
      const item = document.createElement("span");
      const sign = document.createElement("span");
      sign.className = `sign ${one.condition.name}`;
      sign.setAttribute("aria-hidden", "true");
      sign.textContent = MARKS[one.condition.name] || "+";
      item.append(sign, ` ${text}`);
      chart.output.append(item, " ");
      spoken.push(text);
    }
    chart.range.setAttribute("aria-valuetext", `${name}: ${spoken.join(", ") || "nothing shown"}`);
  }

  function fill(select, labels, chosen) {
    labels.forEach((label, index) => select.append(new Option(label, index, index === chosen, index === chosen)));
  }

  function of(table, pick) {
    const there = data.conditions.filter((one) => table[one.name]);
    return there.map((condition) => ({ condition, ...pick(table[condition.name]) }));
  }

  const get = (name) => document.getElementById(`choose-${name}`);
  const redraw = [];

  ["left", "right"].forEach((side, index) => {
    if (!data.training.length) {
      document.getElementById(`chart-${side}`).parentElement.hidden = true;
      return;
    }
    const chart = makeChart(`chart-${side}`);
    fill(get(side), data.training.map((one) => one.label), Math.min(2 * index, data.training.length - 1));
    const update = () => {
      const one = data.training[get(side).value];
      const xs = Object.values(one.curves)[0].x;
      draw(chart, { title: one.label, axis: "step", xs, names: xs.map((value) => `step ${write(value)}`),
        curves: of(one.curves, (curve) => curve), log: one.log, phase: data.phase });
    };
    get(side).addEventListener("change", update);
    redraw.push(update);
  });

  if (data.weights) {
    const { layers, steps, quantities } = data.weights;
    const depth = makeChart("chart-depth");
    const layer = makeChart("chart-layer");
    fill(get("quantity"), quantities.map((one) => one.label), 0);
    const modules = [...new Set(quantities.flatMap((one) => Object.keys(one.modules)))];
    fill(get("module"), modules, Math.max(0, modules.indexOf("self_attn.v_proj")));
    fill(get("point"), steps.map((one) => one.label), steps.length - 1);
    fill(get("layer"), layers.map(String), layers.length - 1);
    const column = (rows, index) => rows.map((one) => one[index]);
    const update = () => {
      const quantity = quantities[get("quantity").value];
      const module = modules[get("module").value];
      const table = quantity.modules[module] || {};
      const [at, row] = [Number(get("point").value), Number(get("layer").value)];
      draw(depth, { title: `${quantity.label}: ${module} over depth, ${steps[at].label}`, axis: "layer", xs: layers,
        names: layers.map((one) => `layer ${one}`),
        curves: of(table, (cube) => ({ mean: cube.mean[at], half: cube.half && cube.half[at] })) });
      draw(layer, { title: `${quantity.label}: ${module}, layer ${layers[row]} through training`, axis: "step",
        xs: steps.map((one) => one.step), names: steps.map((one) => `step ${one.step}`),
        curves: of(table, (cube) => ({ mean: column(cube.mean, row), half: cube.half && column(cube.half, row) })),
        phase: data.phase });
    };
    for (const name of ["quantity", "module", "point", "layer"]) get(name).addEventListener("change", update);
    redraw.push(update);
  } else document.getElementById("explorer-weights").hidden = true;

  for (const box of root.querySelectorAll("input[type=checkbox]")) {
    box.addEventListener("change", () => {
      if (box.checked) shown.add(box.value);
      else shown.delete(box.value);
      redraw.forEach((update) => update());
    });
  }
  root.hidden = false;
  for (const link of document.querySelectorAll(".needs-script")) link.hidden = false;
  redraw.forEach((update) => update());
})();
