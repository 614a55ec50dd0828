"use strict";

// Keeps a page of the built-in theme up to date: what changes is fetched again and put in the place of the old.
(() => {
  const { topics = "", version = "" } = document.body.dataset;
  const query = new URLSearchParams(topics.split(" ").filter(Boolean).map((topic) => ["topic", topic]));
  if (version) query.set("version", version);
  const problems = new Map();
  let busy = null;

  async function refresh() {
    const answer = await fetch(location.href);
    if (answer.status >= 500) return;
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    const [now, then] = [document.getElementById("main"), next.getElementById("main")];
    if (!now || !then || now.innerHTML === then.innerHTML) return;
    now.replaceChildren(...then.childNodes);
    document.title = next.title;
  }

  function changed() {
    // One after the other: a change that comes meanwhile is fetched behind this one.
    busy = (busy ?? Promise.resolve()).then(refresh).catch(() => {});
  }

  function show() {
    document.getElementById("live-problems")?.remove();
    if (!problems.size) return;
    const list = document.createElement("aside");
    list.id = "live-problems";
    list.className = "problems";
    list.setAttribute("role", "alert");
    for (const { file, line, message } of problems.values()) {
      const made = document.createElement("p");
      made.textContent = `${file}${line ? `:${line}` : ""}: ${message}. The last good version is shown.`;
      list.append(made);
    }
    document.getElementById("main").before(list);
  }

  const source = new EventSource(`/-/live?${query}`);
  source.addEventListener("change", changed);
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
