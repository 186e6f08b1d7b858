// Memory over time; draws everything for the first time. Goes on from choosing.js.

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
