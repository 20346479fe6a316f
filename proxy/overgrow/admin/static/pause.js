// Lets a reader of the live list hold it still: the rows stay as they are until the button is pressed again.
import { setText, showAgain, transformList } from "./live.js";

const button = document.getElementById("pause");
const note = document.getElementById("paused");
let held = null; // the rows that are shown while the list is paused; "first": those that come next
let shown = null;

transformList("page.rows", (rows) => {
  if (held === null) return (shown = rows);
  if (held === "first") held = rows;
  const newest = Math.max(0, ...held.map((row) => row.seq));
  const count = rows.filter((row) => row.seq > newest).length;
  setText(note, count ? `Paused; ${count}${count === rows.length ? " or more" : ""} newer.` : "Paused.");
  return held;
});

button.hidden = false;
button.addEventListener("click", () => {
  held = held === null ? (shown ?? "first") : null;
  setText(button, held === null ? "Pause" : "Go on");
  setText(note, held === null ? "" : "Paused.");
  showAgain();
});
