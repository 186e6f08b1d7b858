// Choosing events by mouse and by key. Goes on from drawing.js.

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
