// Light and dark, and the findings: filters, and the way to one of them.

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
