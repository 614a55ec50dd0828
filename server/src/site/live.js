"use strict";

// Keeps a page of the built-in theme up to date: what changes is fetched again and put in the place of the old.
// Beside the text that is the header and the footer, which site.json and templates change, and stylesheets.
(() => {
  const { topics = "", version = "" } = document.body.dataset;
  const query = new URLSearchParams(topics.split(" ").filter(Boolean).map((topic) => ["topic", topic]));
  if (version) query.set("version", version);
  // How long is waited behind a page that did not come, at first and at last, and behind how many the reader is told.
  const [PAUSE_MIN, PAUSE_MAX, FAILURES_SAID] = [1000, 60000, 4];
  const problems = new Map();
  let busy = Promise.resolve();
  let failures = 0;
  let again = 0;

  async function refresh() {
    const answer = await fetch(location.href);
    if (answer.status >= 500) throw new Error(answer.statusText);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    document.title = next.title;
    for (const part of ["body > header", "#main", "body > footer"]) {
      const [now, then] = [document.querySelector(part), next.querySelector(part)];
      if (now && then && now.innerHTML !== then.innerHTML) now.replaceChildren(...then.childNodes);
    }
  }

  // The old stylesheet stays until the new one is there, so that nothing flashes.
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

  function changed() {
    // One after the other: a change that comes meanwhile is fetched behind this one.
    busy = busy.then(refresh).then(() => note(0), () => note(failures + 1));
  }

  function note(count) {
    const isNew = count >= FAILURES_SAID !== failures >= FAILURES_SAID;
    failures = count;
    clearTimeout(again);
    if (count) again = setTimeout(changed, Math.min(PAUSE_MIN * 2 ** (count - 1), PAUSE_MAX));
    if (isNew) show();
  }

  function show() {
    document.getElementById("live-problems")?.remove();
    const texts = [...problems.values()].map(({ file, line, message }) =>
      `${file}${line ? `:${line}` : ""}: ${message}. The last good version is shown.`);
    if (failures >= FAILURES_SAID) {
      texts.push("This page has changed, and the new version could not be fetched. It is tried again.");
    }
    if (!texts.length) return;
    const list = document.createElement("aside");
    list.id = "live-problems";
    list.className = "problems";
    list.setAttribute("role", "alert");
    for (const text of texts) {
      const made = document.createElement("p");
      made.textContent = text;
      list.append(made);
    }
    document.getElementById("main")?.before(list);
  }

  const source = new EventSource(`/-/live?${query}`);
  source.addEventListener("change", ({ data }) => {
    const { of, url, version } = JSON.parse(data);
    if (of === "static" && url.endsWith(".css")) restyle(url, version);
    changed();
  });
  source.addEventListener("missed", changed);
  source.addEventListener("problem", ({ data }) => {
    const problem = JSON.parse(data);
    problems.set(problem.file, problem);
    show();
  });
  source.addEventListener("solved", ({ data }) => {
    const { file } = JSON.parse(data);
    if (file) problems.delete(file);
    else problems.clear();
    show();
  });
})();
