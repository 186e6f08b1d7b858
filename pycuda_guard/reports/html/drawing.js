// The events, the axis and the picture of the timeline. Goes on from findings.js.

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
const lanes = [...tracks].sort((a, b) => a.place - b.place
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
