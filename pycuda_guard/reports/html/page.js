"use strict";
(() => {
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);

// --- light and dark --------------------------------------------------------------------------

const redraws = [];
const redrawAll = () => { colours = null; for (const redraw of redraws) redraw(); };
const prefersDark = matchMedia("(prefers-color-scheme: dark)");
let colours = null;

function colour(name) {
  if (!colours) colours = new Map();
  let value = colours.get(name);
  if (value === undefined) {
    value = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    colours.set(name, value);
  }
  return value;
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  redrawAll();
}

function stored(value) {
  try {
    if (value) localStorage.setItem("pycuda-guard-theme", value);
    return localStorage.getItem("pycuda-guard-theme");
  } catch { return null; } // storage may be off, as it is for files in some browsers
}

const isDark = () => (document.documentElement.dataset.theme || (prefersDark.matches ? "dark" : "light")) === "dark";
byId("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  stored(theme);
  setTheme(theme);
});
prefersDark.addEventListener("change", redrawAll);
const known = stored(null);
if (known === "light" || known === "dark") setTheme(known);

// --- findings --------------------------------------------------------------------------------

const cards = [...document.querySelectorAll(".finding")];
const filters = byId("filters");
if (filters) {
  const texts = cards.map((card) => card.textContent.toLowerCase());
  const apply = () => {
    const form = new FormData(filters);
    const severities = new Set(form.getAll("severity"));
    const code = form.get("code");
    const words = form.get("text").toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    cards.forEach((card, index) => {
      const fits = severities.has(card.dataset.severity) && (!code || card.dataset.code === code)
        && words.every((word) => texts[index].includes(word));
      card.hidden = !fits;
      shown += fits;
    });
    byId("shown").textContent = `${shown} of ${cards.length} shown`;
  };
  filters.addEventListener("input", apply);
  filters.addEventListener("submit", (event) => event.preventDefault());
  apply();
}

function showFinding(id) {
  const card = byId(`finding-${id}`);
  if (!card) return;
  if (card.hidden && filters) {
    filters.reset();
    filters.dispatchEvent(new Event("input"));
  }
  card.open = true;
  card.scrollIntoView({ block: "start" });
  card.querySelector("summary").focus({ preventScroll: true });
}

if (!data) return;

// --- the events ------------------------------------------------------------------------------

const rows = data.rows;
const count = rows.number.length;
const times = new Float64Array(count);
for (let row = 0, time = 0; row < count; row++) times[row] = time += rows.time[row];
const tracks = data.tracks.map((track, index) => ({ ...track, index, items: [] }));
for (let row = 0; row < count; row++) {
  tracks[rows.host[row]].items.push(row);
  if (rows.stream[row] >= 0) tracks[rows.stream[row]].items.push(row);
}
const lanes = [...tracks].sort((a, b) => a.process - b.process
  || (a.kind === "host" ? 0 : 1) - (b.kind === "host" ? 0 : 1) || a.index - b.index);
lanes.forEach((track, lane) => { track.lane = lane; });
const next = new Int32Array(count).fill(-1); // the next row on the same stream
for (const track of tracks) {
  if (track.kind === "stream") track.items.forEach((row, index) => { next[row] = track.items[index + 1] ?? -1; });
}
const ORDER = data.kinds.indexOf("order"); // what takes no time
const findings = data.findings.sort((a, b) => a.row - b.row);
const findingsOf = new Map();
for (const finding of findings) {
  if (!findingsOf.has(finding.row)) findingsOf.set(finding.row, []);
  findingsOf.get(finding.row).push(finding);
}
const arrowsTo = new Map();
for (let index = 0; index < data.arrows.length; index += 3) {
  const to = data.arrows[index + 1];
  if (!arrowsTo.has(to)) arrowsTo.set(to, []);
  arrowsTo.get(to).push(index);
}

const text = (index) => data.texts[index];
const what = (row) => text(rows.what[row]);
const short = (row) => what(row).replace(/^(memcpy|memset)_/, ""); // copies and memsets have colours of their own
const place = (row) => rows.site[row] < 0 ? "" : data.sites[rows.site[row]].join(":");
const bytes = (number) => {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (Math.abs(number) >= 1024 && unit < units.length - 1) { number /= 1024; unit++; }
  return `${number >= 100 || unit === 0 ? Math.round(number) : number.toFixed(1)} ${units[unit]}`;
};
const duration = (ns) => ns >= 1e9 ? `${(ns / 1e9).toFixed(3)} s` : ns >= 1e6 ? `${(ns / 1e6).toFixed(3)} ms`
  : `${(ns / 1e3).toFixed(3)} µs`;

// --- the axis: each event as wide as the other, or time --------------------------------------

let axis = "order";
let from = 0, to = 1;
const limit = () => axis === "order" ? count : Math.max(times[count - 1] * 1.001, 1);
const start = (row) => axis === "order" ? row : times[row];
const narrowest = () => axis === "order" ? Math.min(8, limit()) : Math.min(2000, limit());

function finish(row, isStream) {
  if (!isStream || rows.kind[row] === ORDER) return axis === "order" ? row + 1 : times[row];
  const done = rows.done[row];
  let last = done < 0 ? limit() : done === row ? (row + 1 < count ? start(row + 1) : limit()) : start(done);
  if (next[row] >= 0) last = Math.min(last, start(next[row]));
  return last;
}

function setView(first, last) {
  const width = Math.min(Math.max(last - first, narrowest()), limit());
  const middle = (first + last) / 2;
  from = Math.min(Math.max(middle - width / 2, 0), limit() - width);
  to = from + width;
  redraw();
}
const zoom = (factor, at = (from + to) / 2) => setView(at - (at - from) * factor, at + (to - at) * factor);
const fit = () => setView(0, limit());

function lowerBound(items, value) { // the first item that starts at value or later
  let low = 0, high = items.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (start(items[middle]) < value) low = middle + 1; else high = middle;
  }
  return low;
}

// --- drawing ---------------------------------------------------------------------------------

const canvas = byId("tracks");
const LABEL = data.tracks.some((track) => track.process) ? 190 : 150;
const TOP = 30, LANE = 36, BOX = 26;
const font = (size) => `${size}px system-ui, "Segoe UI", Roboto, sans-serif`;
let width = 0;
let chosen = -1, chosenLane = 0;

const laneY = (lane) => TOP + lane * LANE;
const toX = (value) => LABEL + (value - from) / (to - from) * (width - LABEL);
const toValue = (x) => from + (x - LABEL) / (width - LABEL) * (to - from);
const laneOf = (row) => tracks[rows.stream[row] >= 0 ? rows.stream[row] : rows.host[row]].lane;

function prepare(target, height) {
  const ratio = devicePixelRatio || 1;
  const wide = target.clientWidth;
  target.style.height = `${height}px`;
  target.width = Math.round(wide * ratio);
  target.height = Math.round(height * ratio);
  const context = target.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, wide, height);
  return context;
}

function fitted(context, words, room) {
  if (context.measureText(words).width <= room) return words;
  let end = Math.max(Math.floor(room / 6), 0);
  while (end > 0 && context.measureText(`${words.slice(0, end)}…`).width > room) end--;
  return end > 1 ? `${words.slice(0, end)}…` : "";
}

function drawLane(context, track) {
  const y = laneY(track.lane) + (LANE - BOX) / 2;
  context.fillStyle = colour("lane");
  context.fillRect(LABEL, y, width - LABEL, BOX);
  const items = track.items;
  const isStream = track.kind === "stream";
  const first = Math.max(lowerBound(items, from) - 1, 0);
  const last = lowerBound(items, to);
  if (last - first > 1.5 * (width - LABEL)) drawDense(context, items, first, last, y);
  else for (let index = first; index < last; index++) drawBox(context, items[index], isStream, y);
}

function drawBox(context, row, isStream, y) {
  const left = Math.max(toX(start(row)), LABEL);
  const right = Math.min(toX(finish(row, isStream)), width);
  if (right < LABEL) return;
  const wide = Math.max(right - left - 1, 1.5);
  context.fillStyle = colour(data.kinds[rows.kind[row]]);
  context.fillRect(left, isStream ? y : y + 4, wide, isStream ? BOX : BOX - 8);
  if (isStream && wide > 26) {
    context.fillStyle = colour("on-box");
    context.font = font(12);
    context.textBaseline = "middle";
    context.fillText(fitted(context, short(row), wide - 8), left + 4, y + BOX / 2 + 1);
  }
}

// So many events that several share a pixel: a column for each pixel that has any, in the colour of most.
function drawDense(context, items, first, last, y) {
  const tally = new Uint16Array(data.kinds.length);
  let index = first;
  for (let x = LABEL; x < width && index < last; x++) {
    const stop = Math.max(lowerBound(items, toValue(x + 1)), index);
    if (stop === index) continue;
    tally.fill(0);
    const step = Math.max((stop - index) >> 4, 1);
    for (let at = index; at < stop; at += step) tally[rows.kind[items[at]]]++;
    let best = 0;
    for (let kind = 1; kind < tally.length; kind++) if (tally[kind] > tally[best]) best = kind;
    context.fillStyle = colour(data.kinds[best]);
    const tall = Math.min(BOX, 10 + 3 * Math.log2(1 + stop - index));
    context.fillRect(x, y + BOX - tall, 1, tall);
    index = stop;
  }
}

const MOST_ARROWS = 250;

function drawArrows(context) {
  const visible = [];
  for (let index = 0; index < data.arrows.length; index += 3) {
    const source = start(data.arrows[index]), target = start(data.arrows[index + 1]);
    if (target >= from && source <= to) visible.push(index);
    if (visible.length > MOST_ARROWS) return false;
  }
  for (const index of visible) drawArrow(context, data.arrows[index], data.arrows[index + 1], colour("quiet"), []);
  return true;
}

function drawArrow(context, source, target, stroke, dash) {
  const sourceStream = rows.stream[source] >= 0;
  const goal = toX(start(target));
  const begin = Math.max(Math.min(toX(finish(source, sourceStream)) - 1, goal), toX(start(source)));
  const down = laneOf(target) > laneOf(source);
  const edge = (lane, below) => laneY(lane) + LANE / 2 + (below ? BOX / 2 : -BOX / 2);
  const same = laneOf(target) === laneOf(source);
  const y0 = edge(laneOf(source), down), y1 = edge(laneOf(target), same ? false : !down);
  context.save();
  context.beginPath();
  context.rect(LABEL, 0, width - LABEL, laneY(lanes.length) + 8);
  context.clip();
  context.strokeStyle = context.fillStyle = stroke;
  context.lineWidth = dash.length ? 2 : 1.25;
  context.setLineDash(dash);
  context.beginPath();
  context.moveTo(begin, y0);
  const bend = Math.max((goal - begin) / 2, 10);
  if (same) context.bezierCurveTo(begin, y0 - LANE, goal, y1 - LANE, goal, y1);
  else context.bezierCurveTo(begin + bend / 2, y0, goal - bend, y1, goal, y1);
  context.stroke();
  context.setLineDash([]);
  const tip = same || down ? -5 : 5;
  context.beginPath();
  context.moveTo(goal, y1);
  context.lineTo(goal - 4, y1 + tip);
  context.lineTo(goal + 4, y1 + tip);
  context.fill();
  context.restore();
}

function outline(context, row, stroke, lane = laneOf(row)) {
  const isStream = lanes[lane].kind === "stream";
  const left = Math.max(toX(start(row)), LABEL);
  const right = Math.min(toX(finish(row, isStream)), width);
  if (right < LABEL || left > width) return;
  context.strokeStyle = stroke;
  context.lineWidth = 2;
  context.strokeRect(left - 1, laneY(lane) + 2, Math.max(right - left, 3) + 1, LANE - 4);
}

function drawFindings(context) {
  let free = -Infinity;
  for (const finding of findings) {
    const isBad = finding.severity !== "note";
    const paint = colour(finding.severity);
    if (isBad) {
      for (const other of finding.others) {
        if (rows.stream[other] < 0) continue;
        outline(context, other, colour("failure"));
        if (other < finding.row) drawArrow(context, other, finding.row, colour("failure"), [5, 4]);
      }
      outline(context, finding.row, colour("failure"));
    }
    const x = toX(start(finding.row));
    if (x < LABEL || x > width) continue;
    context.fillStyle = paint;
    context.beginPath();
    context.moveTo(x, TOP - 2);
    context.lineTo(x - 5, TOP - 10);
    context.lineTo(x + 5, TOP - 10);
    context.fill();
    context.font = font(11);
    context.textBaseline = "alphabetic";
    const wide = context.measureText(finding.code).width;
    if (x - 6 > free && x + wide < width) {
      context.fillText(finding.code, Math.max(x - 5, LABEL + 2), TOP - 13);
      free = x + wide;
    }
  }
}

function drawLabels(context) {
  context.fillStyle = colour("panel");
  context.fillRect(0, 0, LABEL, laneY(lanes.length) + 8);
  context.textBaseline = "middle";
  context.font = font(11);
  context.fillStyle = colour("quiet");
  context.fillText("findings", 12, TOP - 12);
  for (const track of lanes) {
    context.font = font(12.5);
    context.fillStyle = track.kind === "stream" ? colour("text") : colour("quiet");
    const name = track.process ? `${track.process} ${track.name}` : track.name;
    context.fillText(fitted(context, name, LABEL - 20), 12, laneY(track.lane) + LANE / 2 + 1);
  }
}

function draw() {
  width = canvas.clientWidth;
  if (!width) return;
  const context = prepare(canvas, laneY(lanes.length) + 8);
  for (const track of lanes) drawLane(context, track);
  const hasAll = drawArrows(context);
  drawFindings(context);
  if (chosen >= 0) outline(context, chosen, colour("text"), chosenLane);
  drawLabels(context);
  const words = axis === "order"
    ? `events ${Math.floor(from) + 1} to ${Math.ceil(to)} of ${count}`
    : `${duration(from)} to ${duration(to)}`;
  byId("range").textContent = hasAll ? words : `${words}; zoom in for arrows`;
}

let isQueued = false;
function redraw() {
  if (isQueued) return;
  isQueued = true;
  requestAnimationFrame(() => { isQueued = false; draw(); drawMemory(); });
}
redraws.push(redraw);
new ResizeObserver(redraw).observe(canvas);

// --- choosing events -------------------------------------------------------------------------

function hit(x, y) {
  const lane = Math.floor((y - TOP) / LANE);
  if (x < LABEL || lane < 0 || lane >= lanes.length) return null;
  const { items, kind } = lanes[lane];
  const value = toValue(x);
  const slack = 4 * (to - from) / (width - LABEL);
  const index = lowerBound(items, value);
  for (const at of [index - 1, index]) {
    if (at < 0 || at >= items.length) continue;
    const row = items[at];
    if (start(row) - slack <= value && value <= Math.max(finish(row, kind === "stream"), start(row) + slack)) {
      return { row, lane };
    }
  }
  return null;
}

function hitFinding(x, y) {
  if (y > TOP) return null;
  return findings.find((finding) => Math.abs(toX(start(finding.row)) - x) < 8) || null;
}

function choose(row, lane = laneOf(row)) {
  chosen = row;
  chosenLane = lane;
  const at = start(row);
  if (at < from || at > to - (to - from) * 0.02) setView(at - (to - from) / 2, at + (to - from) / 2);
  showDetails(row);
  redraw();
}

function showDetails(row) {
  const list = document.createElement("dl");
  const add = (name, ...parts) => {
    const term = document.createElement("dt"), words = document.createElement("dd");
    term.textContent = name;
    words.append(...parts);
    list.append(term, words);
  };
  const link = (words, act) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = words;
    button.addEventListener("click", act);
    return button;
  };
  const goTo = (other) => link(`event ${rows.number[other]}, ${what(other)}`, () => choose(other));
  const size = text(rows.size[row]), buffers = text(rows.buffers[row]);
  add(`event ${rows.number[row]}`, what(row) + (size ? `, ${size}` : ""));
  if (buffers) add("memory", buffers);
  const names = [tracks[rows.host[row]].name];
  if (rows.stream[row] >= 0) names.push(tracks[rows.stream[row]].name);
  add("track", names.join(", "));
  if (data.hasTimes) add("time", `${duration(times[row])} after the first event`);
  if (place(row)) add("line", place(row));
  for (const index of arrowsTo.get(row) || []) add(text(data.arrows[index + 2]), goTo(data.arrows[index]));
  const done = rows.done[row];
  if (rows.stream[row] >= 0) {
    add("known to be done", done === row ? "when the call returned" : done >= 0 ? goTo(done) : "never");
  }
  for (const finding of findingsOf.get(row) || []) {
    add("finding", link(`${finding.code} ${finding.rule}`, () => showFinding(finding.id)));
  }
  byId("details").replaceChildren(list);
}

// Zoom so that an event and what it is about can be seen in one piece.
function reveal(row, others) {
  const all = [row, ...others.filter((other) => rows.stream[other] >= 0)].map(start);
  const low = Math.min(...all), high = Math.max(...all);
  const margin = Math.max((high - low) * 0.3, axis === "order" ? 8 : limit() / 200);
  setView(low - margin, high + margin);
  choose(row);
}

let lastFinding = -1;
function nextFinding() {
  if (!findings.length) return;
  lastFinding = (lastFinding + 1) % findings.length;
  reveal(findings[lastFinding].row, findings[lastFinding].others);
}

document.addEventListener("click", (event) => {
  const link = event.target.closest("a.to-event");
  if (!link) return;
  event.preventDefault();
  const row = Number(link.dataset.row);
  const finding = (findingsOf.get(row) || []).find((one) => link.closest(`#finding-${one.id}`));
  reveal(row, finding ? finding.others : []);
  byId("timeline").scrollIntoView({ block: "start" });
  canvas.focus({ preventScroll: true });
});

// --- mouse and keys --------------------------------------------------------------------------

const tip = byId("tip");
let drag = null;
canvas.addEventListener("pointerdown", (event) => {
  drag = { x: event.offsetX, from, to, moved: false };
  canvas.setPointerCapture(event.pointerId);
});
canvas.addEventListener("pointermove", (event) => {
  const { offsetX: x, offsetY: y } = event;
  if (drag) {
    drag.moved = drag.moved || Math.abs(x - drag.x) > 3;
    if (!drag.moved) return;
    const shift = (drag.x - x) / (width - LABEL) * (drag.to - drag.from);
    setView(drag.from + shift, drag.to + shift);
    return;
  }
  const finding = hitFinding(x, y), found = finding ? null : hit(x, y);
  tip.hidden = !finding && !found;
  if (tip.hidden) return;
  if (finding) tip.textContent = `${finding.severity} ${finding.code} ${finding.rule}`;
  else {
    const { row } = found;
    const codes = (findingsOf.get(row) || []).map((one) => `${one.code} ${one.rule}`);
    tip.textContent = [`${what(row)}  ${text(rows.size[row])}`, text(rows.buffers[row]), place(row), ...codes]
      .filter((line) => line.trim()).join("\n");
  }
  tip.style.left = `${Math.min(x + 14, width - tip.offsetWidth - 4)}px`;
  tip.style.top = `${y + 16}px`;
});
canvas.addEventListener("pointerup", (event) => {
  const wasClick = drag && !drag.moved;
  drag = null;
  if (!wasClick) return;
  const finding = hitFinding(event.offsetX, event.offsetY);
  const found = hit(event.offsetX, event.offsetY);
  if (finding) reveal(finding.row, finding.others);
  else if (found) choose(found.row, found.lane);
});
canvas.addEventListener("pointercancel", () => { drag = null; });
canvas.addEventListener("pointerleave", () => { tip.hidden = true; });
canvas.addEventListener("wheel", (event) => {
  const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY);
  if (!sideways && !event.ctrlKey && document.activeElement !== canvas) return;
  event.preventDefault();
  const shift = event.deltaX / (width - LABEL) * (to - from);
  if (sideways) setView(from + shift, to + shift);
  else zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), toValue(Math.max(event.offsetX, LABEL)));
}, { passive: false });

function step(direction) {
  const items = lanes[chosenLane].items;
  const at = chosen < 0 ? (direction > 0 ? -1 : 0) : items.indexOf(chosen);
  const row = items[Math.min(Math.max(at + direction, 0), items.length - 1)];
  if (row !== undefined) choose(row, chosenLane);
}

function changeLane(direction) {
  const lane = Math.min(Math.max(chosenLane + direction, 0), lanes.length - 1);
  const items = lanes[lane].items;
  const at = lowerBound(items, chosen < 0 ? from : start(chosen));
  const row = items[Math.min(at, items.length - 1)];
  if (row !== undefined) choose(row, lane);
}

const keys = {
  ArrowRight: () => step(1), ArrowLeft: () => step(-1),
  ArrowDown: () => changeLane(1), ArrowUp: () => changeLane(-1),
  "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), "0": fit, Home: () => setView(0, to - from),
  End: () => setView(limit() - (to - from), limit()), n: nextFinding, N: nextFinding,
  Enter: () => { const [finding] = findingsOf.get(chosen) || []; if (finding) showFinding(finding.id); },
  Escape: () => { chosen = -1; byId("details").replaceChildren(); redraw(); },
};
canvas.addEventListener("keydown", (event) => {
  const act = keys[event.key];
  if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  act();
});
byId("zoom-in").addEventListener("click", () => zoom(0.5));
byId("zoom-out").addEventListener("click", () => zoom(2));
byId("fit").addEventListener("click", fit);
byId("next-finding").addEventListener("click", nextFinding);
byId("next-finding").disabled = !findings.length;

function setAxis(name) {
  if (name === axis) return;
  const at = (value) => name === "time" ? times[Math.min(Math.floor(value), count - 1)] : rowAt(value);
  const first = at(from), last = to >= limit() ? null : at(to);
  axis = name;
  byId("axis-order").setAttribute("aria-pressed", String(name === "order"));
  byId("axis-time").setAttribute("aria-pressed", String(name === "time"));
  setView(first, last === null ? limit() : last);
}
function rowAt(time) {
  let low = 0, high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < time) low = middle + 1; else high = middle;
  }
  return low;
}
byId("axis-order").addEventListener("click", () => setAxis("order"));
byId("axis-time").addEventListener("click", () => setAxis("time"));
byId("axis-time").disabled = !data.hasTimes;

// --- memory ----------------------------------------------------------------------------------

const memoryCanvas = byId("memory-picture");
const PALETTE = ["launch", "copy", "order", "memset", "memory", "mark-edge", "note"];
const changes = data.memory.changes;
let isHost = false;
let series = [];
let highest = 0;

// The lines that have held most, and one series for the rest.
function rank() {
  const held = new Map(), peaks = new Map();
  let total = 0, peak = 0, peakRow = 0;
  for (let index = 0; index < changes.length; index += 3) {
    const site = changes[index + 1];
    if (data.memory.sites[site][1] !== isHost) continue;
    const now = (held.get(site) || 0) + changes[index + 2];
    held.set(site, now);
    if (now > (peaks.get(site) || 0)) peaks.set(site, now);
    total += changes[index + 2];
    if (total > peak) { peak = total; peakRow = changes[index]; }
  }
  const order = [...peaks].sort((a, b) => b[1] - a[1]);
  series = order.slice(0, PALETTE.length).map(([site, most], index) => (
    { name: data.memory.sites[site][0], most, sites: new Set([site]), paint: PALETTE[index] }));
  const rest = order.slice(PALETTE.length);
  if (rest.length) {
    series.push({ name: `${rest.length} other lines`, most: 0, sites: new Set(rest.map(([site]) => site)), paint: "setup" });
  }
  highest = peak;
  const kind = isHost ? "Pinned host memory" : "Device memory";
  const at = peak ? `, at most ${bytes(peak)} at event ${rows.number[peakRow]}` : ": none";
  memoryCanvas.setAttribute("aria-label", `${kind} over time by the line that allocated it${at}`);
  byId("memory-at").textContent = `${kind}${at}`;
  byId("memory-legend").replaceChildren(...series.map((one) => {
    const item = document.createElement("li"), swatch = document.createElement("span");
    swatch.className = "swatch";
    swatch.style.background = `var(--${one.paint})`;
    item.append(swatch, one.most ? `${one.name}: up to ${bytes(one.most)}` : one.name);
    return item;
  }));
}

function drawMemory() {
  const height = 170, bottom = height - 10, top = 14;
  const context = prepare(memoryCanvas, height);
  const columns = Math.max(Math.floor(width - LABEL), 1);
  const seriesOf = new Map();
  series.forEach((one, index) => { for (const site of one.sites) seriesOf.set(site, index); });
  const now = new Float64Array(series.length), shown = new Float64Array(series.length);
  let total = 0, best = 0, column = 0;
  const scale = (bottom - top) / (highest || 1);
  const paint = series.map((one) => colour(one.paint));
  const flush = (upTo) => { // draw the columns before upTo: the first has the most of its time, the rest what is held now
    for (; column < Math.min(upTo, columns); column++) {
      let y = bottom;
      for (let index = 0; index < series.length; index++) {
        const tall = shown[index] * scale;
        context.fillStyle = paint[index];
        context.fillRect(LABEL + column, y - tall, 1.2, tall);
        y -= tall;
      }
      shown.set(now);
      best = total;
    }
  };
  for (let index = 0; index < changes.length; index += 3) {
    const at = seriesOf.get(changes[index + 1]);
    if (at === undefined) continue;
    const value = start(changes[index]);
    if (value > to) break;
    flush(Math.floor((value - from) / (to - from) * columns));
    now[at] += changes[index + 2];
    total += changes[index + 2];
    if (total >= best || value < from) { shown.set(now); best = total; }
  }
  flush(columns);
  context.font = font(11);
  context.textBaseline = "middle";
  for (const part of highest ? [0, 0.5, 1] : [0]) {
    const y = bottom - part * (bottom - top);
    context.strokeStyle = colour("line");
    context.beginPath();
    context.moveTo(LABEL, y + 0.5);
    context.lineTo(width, y + 0.5);
    context.stroke();
    context.fillStyle = colour("quiet");
    context.fillText(bytes(highest * part), 12, y);
  }
}

function setMemory(host) {
  isHost = host;
  byId("memory-device").setAttribute("aria-pressed", String(!host));
  byId("memory-host").setAttribute("aria-pressed", String(host));
  rank();
  redraw();
}
byId("memory-device").addEventListener("click", () => setMemory(false));
byId("memory-host").addEventListener("click", () => setMemory(true));

byId("kinds").replaceChildren(...data.kinds.map((kind) => {
  const item = document.createElement("li"), swatch = document.createElement("span");
  swatch.className = "swatch";
  swatch.style.background = `var(--${kind})`;
  item.append(swatch, kind);
  return item;
}));

rank();
fit();
})();
