// Keeps an open page up to date: every two seconds it asks for the page's data and puts the texts into the elements that
// name them. Nothing from the data is ever read as markup: texts go in by textContent, attributes by a list of names.
//
//   data-text="key"              the element's text
//   data-show="key" or "!key"    whether the element is shown
//   data-set="attribute:key ..." attributes of ATTRIBUTES
//   data-time="key"              on <time>: the moment; its age stands in the element itself (class bare) or in the one after
//   data-each="key"              on a parent: one child for each item, made from its <template>; data-key names the item's id
//
// A key is a path into the data, such as frame.state; inside data-each it is a path into the item.

const TICK_MS = 2000;
const ATTRIBUTES = new Set(["aria-current", "class", "d", "data-tone", "datetime", "height", "href", "max", "open", "points", "title", "value", "width", "x", "x1", "x2", "y", "y1", "y2"]);
const bound = new WeakMap(); // element -> the bindings below it
const transforms = new Map(); // key of data-each -> what a page does with its items before they are shown

/** Let a page sort, filter or cut the items of a list: `transform` takes the items and returns those to show. */
export function transformList(key, transform) {
  transforms.set(key, transform);
}

/** Return the value at a path such as `frame.state`; undefined if there is none. */
function valueAt(data, path) {
  let value = data;
  for (const name of path.split(".")) {
    if (value === null || value === undefined) return undefined;
    value = value[name];
  }
  return value;
}

const textOf = (value) => (value === null || value === undefined || value === false ? "" : String(value));

/** Return the bindings of an element and of all below it, except those inside lists. */
function bindingsOf(root) {
  const known = bound.get(root);
  if (known) return known;
  const found = [];
  const visit = (element) => {
    const { text, show, set, time, each } = element.dataset ?? {};
    if (text !== undefined) found.push((data) => setText(element, textOf(valueAt(data, text))));
    if (show !== undefined) found.push((data) => setHidden(element, show, data));
    if (set !== undefined) for (const one of set.split(" ")) found.push(attributeBinding(element, one));
    if (time !== undefined) found.push((data) => setTime(element, textOf(valueAt(data, time))));
    if (each !== undefined) found.push((data) => showItems(element, each, valueAt(data, each) ?? []));
    else for (const child of element.children) visit(child);
  };
  visit(root);
  bound.set(root, found);
  return found;
}

/** Put data into the elements at and below `root`. */
export function apply(root, data) {
  for (const binding of bindingsOf(root)) binding(data);
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function setHidden(element, key, data) {
  const negated = key.startsWith("!");
  const hidden = Boolean(valueAt(data, negated ? key.slice(1) : key)) === negated;
  if (element.hidden !== hidden) element.hidden = hidden;
}

function attributeBinding(element, pair) {
  const [name, key] = pair.split(":");
  if (!ATTRIBUTES.has(name)) throw new Error(`data-set may not set ${name}`);
  return (data) => setAttribute(element, name, valueAt(data, key));
}

function setAttribute(element, name, value) {
  if (value === null || value === undefined || value === false) return element.removeAttribute(name);
  const text = value === true ? "" : String(value);
  if (name === "href" && !/^[/#](?![/\\])/.test(text)) return undefined; // only pages of this listener
  if (element.getAttribute(name) !== text) element.setAttribute(name, text);
  return undefined;
}

function setTime(element, at) {
  if (element.getAttribute("datetime") === at) return;
  element.setAttribute("datetime", at);
  if (element.classList.contains("bare")) element.title = at;
  else setText(element, at ? `${at.slice(0, 19)}Z` : "");
}

/** Show one child for each item: those that stay are changed in place, so that focus and open details stay. */
function showItems(parent, key, items) {
  const shown = transforms.has(key) ? transforms.get(key)(items) : items;
  const template = parent.querySelector(":scope > template");
  const name = parent.dataset.key;
  const before = new Map(); // id -> the children that have it, in order: two items may be alike
  for (const child of parent.children) {
    if (child === template) continue;
    const alike = before.get(child.dataset.id);
    if (alike) alike.push(child);
    else before.set(child.dataset.id, [child]);
  }
  let next = template ? template.nextElementSibling : parent.firstElementChild;
  for (const item of shown) {
    const id = textOf(item[name]);
    let child = before.get(id)?.shift();
    if (!child) {
      child = template.content.firstElementChild.cloneNode(true);
      child.dataset.id = id;
    }
    apply(child, item);
    if (child === next) next = child.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const alike of before.values()) for (const gone of alike) gone.remove();
}

/** Return how long ago a time was, in the words of the server's pages. */
export function ago(at, nowMs) {
  const age = (nowMs - Date.parse(at)) / 1000;
  if (Number.isNaN(age)) return "";
  if (age >= 2 * 86400) return `${Math.floor(age / 86400)} days ago`;
  for (const [unit, seconds] of [["h", 3600], ["min", 60], ["s", 1]]) {
    if (age >= seconds) return `${Math.floor(age / seconds)} ${unit} ago`;
  }
  return "just now";
}

function refreshAges(nowMs) {
  for (const time of document.querySelectorAll("time[datetime]")) {
    const at = time.getAttribute("datetime");
    if (time.classList.contains("bare")) setText(time, ago(at, nowMs));
    else if (time.nextElementSibling?.classList.contains("age")) {
      const age = ago(at, nowMs);
      setText(time.nextElementSibling, age && `(${age})`);
    }
  }
}

/**
 * Ask for a JSON document every two seconds while the tab can be seen, and at once when it is shown again.
 *
 * `urlOf` returns the address; `onData` gets each document that differs from the one before; `onTick` gets the server's
 * time in milliseconds after each answer; `onFailure` gets a sentence when there is no answer.
 */
export function watch(urlOf, { onData, onTick = () => {}, onFailure = () => {} }) {
  let etag = null;
  let timer = 0;
  let asking = false;
  const ask = async () => {
    if (asking || document.hidden) return;
    asking = true;
    clearTimeout(timer);
    try {
      const url = urlOf();
      const answer = await fetch(url, { headers: etag ? { "If-None-Match": etag } : {}, signal: AbortSignal.timeout(10000) });
      if (answer.status === 200) {
        etag = answer.headers.get("ETag");
        onData(await answer.json());
      } else if (answer.status !== 304) throw new Error(`HTTP ${answer.status}`, { cause: answer.status });
      onTick(Date.parse(answer.headers.get("Date")) || Date.now());
    } catch (failure) {
      onFailure(failure);
    }
    asking = false;
    timer = document.hidden ? 0 : setTimeout(ask, TICK_MS);
  };
  document.addEventListener("visibilitychange", () => (document.hidden ? clearTimeout(timer) : ask()));
  if (!document.hidden) timer = setTimeout(ask, TICK_MS);
}

let lastData = null;

/** Show the last data again, after a page has changed what it shows of it. */
export function showAgain() {
  if (lastData) apply(document.body, lastData);
}

/** Return why there are no data: by the status of the answer, undefined if there was none that can be read. */
function whyNotUpdated(status) {
  if (status === undefined) return "The front door does not answer this page.";
  if (status === 401) return "Your login has ended: reload the page.";
  if (status >= 500) return `The front door cannot read what this page shows (HTTP ${status}).`;
  return `What this page shows is not there any more, or has another name (HTTP ${status}): reload the page.`;
}

function showFailure(failure) {
  const since = document.querySelector("#asof time").getAttribute("datetime");
  const why = whyNotUpdated(failure.cause);
  const line = document.getElementById("unreachable");
  setText(line, `${why} Not updated since ${since}.`);
  line.hidden = false;
}

function start() {
  let looks = Number(new URLSearchParams(location.search).get("look")) || 0;
  const urlOf = () => {
    const query = new URLSearchParams(location.search);
    if (query.has("look")) {
      looks -= 1;
      if (looks > 0) query.set("look", String(looks));
      else query.delete("look"); // a reload does not tell the result again
      if (looks <= 0) history.replaceState(null, "", `${location.pathname}${query.size ? `?${query}` : ""}${location.hash}`);
    }
    return `/page-data${location.pathname}${query.size ? `?${query}` : ""}`;
  };
  const time = document.querySelector("#asof time");
  document.getElementById("refresh").hidden = true;
  watch(urlOf, {
    onData: (data) => {
      lastData = data;
      apply(document.body, data);
      const { alerts_text: alerts, status } = data.frame;
      document.title = [alerts, status === "ready" ? "" : status, document.body.dataset.title].filter(Boolean).join(" - ");
      document.dispatchEvent(new CustomEvent("live", { detail: data }));
    },
    onTick: (nowMs) => {
      const at = new Date(nowMs).toISOString().replace(/\.\d+Z$/, "Z");
      time.setAttribute("datetime", at);
      setText(time, at);
      document.getElementById("unreachable").hidden = true;
      refreshAges(nowMs);
    },
    onFailure: showFailure,
  });
}

start();
