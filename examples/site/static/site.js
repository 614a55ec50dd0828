"use strict";

// The colours: the system's, unless the reader has chosen others. Before anything is shown, so that nothing flashes.
const THEME = "theme";
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
let theme = null;
try { theme = localStorage.getItem(THEME); } catch { /* no storage: the system's colours */ }
if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;

function setUpTheme() {
  const button = document.getElementById("theme");
  const isDark = () => (document.documentElement.dataset.theme || (systemIsDark.matches ? "dark" : "light")) === "dark";
  const name = () => {
    document.getElementById("theme-name").textContent = isDark() ? "Use light colours" : "Use dark colours";
  };
  button.hidden = false;
  button.addEventListener("click", () => {
    const next = isDark() ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    try { localStorage.setItem(THEME, next); } catch { /* it lasts as long as the page */ }
    name();
  });
  systemIsDark.onchange = name;
  name();
}

function announce(text) {
  document.getElementById("announce").textContent = text;
}

// Puts the new content of the page in the place of the old one; where the reader is, and what has the focus, stays.
function swap(next) {
  const main = document.getElementById("main");
  const known = new Set([...main.querySelectorAll(".prose > *")].map((part) => part.outerHTML));
  const headings = [...main.querySelectorAll("[id]")].filter((part) => part.getBoundingClientRect().top < innerHeight / 2);
  const anchor = headings.at(-1);
  const top = anchor && anchor.getBoundingClientRect().top;
  const held = main.contains(document.activeElement) ? document.activeElement : null;
  const href = held && held.getAttribute("href");
  const twins = (root) => [...root.querySelectorAll(`[href="${CSS.escape(href || "")}"]`)];
  const place = href ? twins(main).indexOf(held) : -1;
  const value = held && held.matches("input") ? held.value : null;

  main.replaceChildren(...next.childNodes);
  main.className = next.className;

  for (const part of main.querySelectorAll(".prose > *")) {
    if (known.size && !known.has(part.outerHTML)) part.classList.add("changed");
  }
  const same = anchor && document.getElementById(anchor.id);
  if (same && scrollY > 0) scrollBy({ top: same.getBoundingClientRect().top - top, behavior: "instant" });
  if (held) {
    const again = held.id ? document.getElementById(held.id) : twins(main)[place];
    (again || main).focus({ preventScroll: true });
    if (again && value !== null) again.value = value;
  }
}

// The header and the footer: what the server sent of each last.
const frame = new Map([["header.top", ""], ["footer.foot", ""]]);

// Puts new ones in the place of the old, if a template or site.json has changed them, and puts in again what this script shows there.
function swapFrame(next) {
  document.documentElement.lang = next.documentElement.lang;
  document.title = next.title;
  for (const [part, old] of frame) {
    const [now, then] = [document.querySelector(part), next.querySelector(part)];
    if (!now || !then || then.innerHTML === old) continue;
    frame.set(part, then.innerHTML);
    const held = now.contains(document.activeElement) ? document.activeElement.id : "";
    const words = document.getElementById("find")?.value;
    now.replaceChildren(...then.childNodes);
    const find = now.querySelector("#find");
    if (find) find.value = words ?? find.value;
    if (now.querySelector("#theme")) setUpTheme();
    tell();
    if (held) document.getElementById(held)?.focus({ preventScroll: true });
  }
}

// Loads a stylesheet anew. The old one stays until the new one is there, so that nothing flashes.
function restyle(path, version) {
  const links = [...document.querySelectorAll('link[rel="stylesheet"]')];
  const old = links.filter((link) => new URL(link.href).pathname === path);
  if (!old.length) return;
  const link = old.at(-1).cloneNode();
  link.href = `${path}?v=${version}`;
  link.addEventListener("load", () => old.forEach((link) => link.remove()));
  link.addEventListener("error", () => link.remove());
  old.at(-1).after(link);
}

function notice(text) {
  const main = document.getElementById("main");
  const old = main.querySelector(".notice");
  if (old) old.remove();
  const made = document.createElement("p");
  made.className = "notice";
  made.textContent = text;
  main.prepend(made);
  announce(text);
  return made;
}

let isRefreshing = false;
let isStale = false;

// Fetches this page again and shows what is new. Changes that come meanwhile are fetched with one more request.
async function refresh() {
  isStale = true;
  if (isRefreshing) return;
  isRefreshing = true;
  try {
    while (isStale) {
      isStale = false;
      await refreshOnce();
    }
  } catch { /* no server: the next event, or the next look at the page, tries again */ }
  isRefreshing = false;
}

async function refreshOnce() {
  const answer = await fetch(location.pathname + location.search, { headers: { Accept: "text/html" } });
  if (answer.status >= 500) return;
  const next = new DOMParser().parseFromString(await answer.text(), "text/html");
  swapFrame(next);
  const [main, now] = [next.getElementById("main"), document.getElementById("main")];
  if (!main || main.innerHTML === shown) return;
  shown = main.innerHTML;
  if (now.hasAttribute("data-app")) {
    const button = document.createElement("button");
    button.textContent = "Reload";
    button.addEventListener("click", () => location.reload());
    notice("This page has changed.").append(button);
    return;
  }
  swap(main);
  announce(`Updated: ${document.title}`);
}

// Files that cannot be read, by name: the page keeps its last good version, and this says why.
const problems = new Map();
function showProblems() {
  const lines = [...problems].map(([file, problem]) => {
    const [line, text, place, button] = ["p", "span", "code", "button"].map((name) => document.createElement(name));
    place.textContent = problem.line ? `${file}:${problem.line}` : file;
    text.append(place, ` ${problem.message.replace(/\.?$/, ".")} The last good version is shown.`);
    button.textContent = "Dismiss";
    button.addEventListener("click", () => {
      problems.delete(file);
      showProblems();
      document.getElementById("main").focus({ preventScroll: true });
    });
    line.append(text, button);
    return line;
  });
  document.getElementById("problems").replaceChildren(...lines);
}

// What the server sent of the main part last, to tell whether it has changed.
let shown = "";
let source = null;
let closing = 0;

// Says how the connection is, or says it again.
let connection = null;
function tell(text, kind) {
  if (text) connection = { text, kind };
  const state = document.getElementById("live-state");
  if (!state || !connection) return;
  state.textContent = connection.text;
  state.className = `live-state ${connection.kind}`;
}

function setUpLive() {
  const on = (name, act) => source.addEventListener(name, ({ data }) => {
    try { act(JSON.parse(data)); } catch (error) { console.warn("live event", name, error); }
  });
  const connect = () => {
    // The version says what this page shows: what changed since is told first.
    const query = new URLSearchParams({ path: location.pathname, version: document.documentElement.dataset.live });
    source = new EventSource(`/-/live?${query}`);
    source.addEventListener("open", () => tell("live", "on"));
    source.addEventListener("error", () => tell("reconnecting", "off"));
    on("change", ({ kind, of, url, version }) => {
      if (of === "static" && url.endsWith(".css")) restyle(url, version);
      if (kind === "removed" && url === location.pathname) {
        notice("This page has been removed. It is shown as it was.");
        // Whatever comes here again is shown, the same text too.
        shown = "";
      } else refresh();
    });
    on("missed", refresh);
    on("problem", ({ file, line, message }) => {
      problems.set(file, { line, message });
      showProblems();
    });
    on("solved", ({ file }) => {
      if (!problems.delete(file)) problems.clear();
      showProblems();
    });
  };
  const disconnect = () => {
    clearTimeout(closing);
    if (source) source.close();
    source = null;
  };
  // A browser has few connections for one server: a page that nobody sees gives its own back, and looks again when it is seen.
  document.addEventListener("visibilitychange", () => {
    clearTimeout(closing);
    if (document.hidden) closing = setTimeout(disconnect, 60_000);
    else if (!source) {
      connect();
      refresh();
    }
  });
  addEventListener("pagehide", disconnect);
  addEventListener("pageshow", (event) => {
    if (event.persisted && !source) {
      connect();
      refresh();
    }
  });
  connect();
}

document.addEventListener("DOMContentLoaded", () => {
  shown = document.getElementById("main").innerHTML;
  for (const part of frame.keys()) frame.set(part, document.querySelector(part)?.innerHTML ?? "");
  setUpTheme();
  if (document.documentElement.hasAttribute("data-live")) setUpLive();
});
