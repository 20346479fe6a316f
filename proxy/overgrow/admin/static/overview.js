// The table of routes: finds, sorts and shows more of the rows that the page has, without asking the server.

import { setText, showAgain, transformList } from "/static/live.js";

const SHOWN = 200; // as the server's pages show at most
const FOUND_IN = ["name", "takes", "marks", "target", "canary", "breakers"];
const query = new URLSearchParams(location.search);
const field = document.getElementById("find");
const more = document.getElementById("more");
let sort = query.get("sort") ?? "";
let most = SHOWN;
let rows = null; // all routes, in matching order; null until the first answer

const count = (number, noun) => `${number.toLocaleString("en")} ${noun}${number === 1 ? "" : "s"}`;

function sorted(found) {
  const of = (row) => row.sort[sort] ?? -Infinity;
  const text = (key) => (one, two) => (one[key] ?? "").localeCompare(two[key] ?? "", "en");
  if (sort === "name") return found.toSorted(text("name"));
  if (sort === "flipped") return found.toSorted((one, two) => text("flipped_at")(two, one));
  return sort ? found.toSorted((one, two) => (of(two) === of(one) ? 0 : of(two) - of(one))) : found;
}

transformList("page.rows", (all) => {
  rows = all;
  const find = field.value.trim().toLowerCase();
  const found = all.filter((row) => FOUND_IN.map((name) => row[name] ?? "").join(" ").toLowerCase().includes(find));
  const hidden = Math.max(0, found.length - most);
  const first = `The first ${most} of ${count(found.length, "route")}.`;
  const some = found.length === all.length ? count(all.length, "route") : `${found.length.toLocaleString("en")} of ${count(all.length, "route")}`;
  setText(document.getElementById("found"), hidden ? first : some);
  document.getElementById("none").hidden = found.length > 0;
  more.hidden = hidden === 0;
  setText(more, `Show ${Math.min(SHOWN, hidden)} more`);
  return sorted(found).slice(0, most);
});

/** Let the address say what is shown, for a link or a reload. */
function rememberQuery() {
  const said = new URLSearchParams(location.search); // the time of the charts stays
  for (const [name, value] of [["find", field.value], ["sort", sort]]) {
    if (value) said.set(name, value);
    else said.delete(name);
  }
  history.replaceState(null, "", `${location.pathname}${said.size ? `?${said}` : ""}`);
}

function changed() {
  most = SHOWN;
  rememberQuery();
  showAgain();
}

field.addEventListener("input", changed);
document.getElementById("search").addEventListener("submit", (event) => {
  if (rows === null) return; // not yet alive: the server finds
  event.preventDefault();
  changed();
});
more.addEventListener("click", () => {
  most += SHOWN;
  showAgain();
});
for (const head of document.querySelectorAll("th[data-sort]")) {
  head.querySelector("a").addEventListener("click", (event) => {
    if (rows === null) return;
    event.preventDefault();
    sort = sort === head.dataset.sort ? "" : head.dataset.sort; // once more: matching order
    for (const each of document.querySelectorAll("th[aria-sort]")) each.removeAttribute("aria-sort");
    if (sort) head.setAttribute("aria-sort", sort === "name" ? "ascending" : "descending");
    changed();
  });
}
