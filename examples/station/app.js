"use strict";

const HOUR_MS = 3600 * 1000;

async function fetchJson(path) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status}`);
  return answer.json();
}

function heightAt(tide, ms) {
  const hours = (ms - Date.parse(tide.epoch)) / HOUR_MS;
  return tide.constituents.reduce(
    (sum, c) => sum + c.metres * Math.cos(((c.degrees_per_hour * hours - c.phase_degrees) * Math.PI) / 180),
    tide.mean_level_metres,
  );
}

// The first minute after `ms` at which the tide turns to `kind`.
function nextTurn(tide, ms, kind) {
  const sign = kind === "high" ? 1 : -1;
  for (let t = Math.ceil(ms / 60000) * 60000; t < ms + 30 * HOUR_MS; t += 60000) {
    const here = sign * heightAt(tide, t);
    if (here >= sign * heightAt(tide, t + 60000) && here > sign * heightAt(tide, t - 60000)) return t;
  }
  return null;
}

const clock = (ms) => new Date(ms).toISOString().slice(11, 16);
const metres = (value) => `${value.toFixed(2)} m`;

// An SVG curve of [hour, metres] points; `mark` is an hour to point out.
function plot(points, mark) {
  const [width, height, left, bottom] = [960, 300, 64, 34];
  const top = Math.max(5.5, ...points.map((p) => p[1]));
  const x = (hour) => left + (hour / 24) * (width - left - 8);
  const y = (m) => 8 + (1 - m / top) * (height - bottom - 8);
  const line = points.map(([h, m]) => `${x(h).toFixed(1)},${y(m).toFixed(1)}`).join(" ");
  const [first, last] = [points[0][0], points[points.length - 1][0]];
  const rules = [0, 1, 2, 3, 4, 5].map((m) =>
    `<line class="axis" x1="${left}" x2="${width - 8}" y1="${y(m)}" y2="${y(m)}"/><text x="4" y="${y(m) + 6}">${m === 0 ? "" : `${m} m`}</text>`);
  const hours = [0, 6, 12, 18, 24].map((h) =>
    `<text x="${x(h)}" y="${height - 6}" text-anchor="${h === 0 ? "start" : h === 24 ? "end" : "middle"}">${String(h).padStart(2, "0")}:00</text>`);
  let now = "";
  if (mark !== undefined) {
    const near = points.reduce((a, b) => (Math.abs(b[0] - mark) < Math.abs(a[0] - mark) ? b : a));
    now = `<line class="now" x1="${x(mark)}" x2="${x(mark)}" y1="8" y2="${y(0)}"/><circle class="dot" cx="${x(mark)}" cy="${y(near[1])}" r="6"/>`;
  }
  return `<svg viewBox="0 0 ${width} ${height}" aria-hidden="true">${rules.join("")}
    <polygon class="area" points="${x(first)},${y(0)} ${line} ${x(last)},${y(0)}"/>
    <polyline class="curve" points="${line}"/>${now}${hours.join("")}</svg>`;
}

async function showToday(panel) {
  const tide = await fetchJson("/data/constituents.json");
  const write = (name, text) => { panel.querySelector(`[data-now="${name}"]`).textContent = text; };
  const draw = () => {
    const now = Date.now();
    const midnight = Math.floor(now / (24 * HOUR_MS)) * 24 * HOUR_MS;
    write("height", metres(heightAt(tide, now)));
    write("trend", heightAt(tide, now + 60000) > heightAt(tide, now) ? "rising" : "falling");
    for (const kind of ["high", "low"]) {
      const turn = nextTurn(tide, now, kind);
      write(kind, turn === null ? "–" : clock(turn));
      write(`${kind}-height`, turn === null ? "" : `${metres(heightAt(tide, turn))}, in ${((turn - now) / HOUR_MS).toFixed(1)} hours`);
    }
    const points = Array.from({ length: 145 }, (_, i) => [i / 6, heightAt(tide, midnight + (i / 6) * HOUR_MS)]);
    document.getElementById("day-plot").innerHTML = plot(points, (now - midnight) / HOUR_MS);
  };
  draw();
  setInterval(draw, 60000);
}

async function showWaters(table) {
  const { rows } = await fetchJson("/data/waters-2025.json");
  const form = document.getElementById("filter");
  const day = new Intl.DateTimeFormat("en-GB", { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
  const draw = () => {
    const { month, kind, least } = Object.fromEntries(new FormData(form));
    const kept = rows.filter(([time, turn, height]) =>
      (!month || time.slice(5, 7) === month) && (!kind || turn === kind) && height >= Number(least || 0));
    table.tBodies[0].innerHTML = kept.map(([time, turn, height]) =>
      `<tr class="${turn}"><td>${day.format(new Date(time))}</td><td>${time.slice(11, 16)}</td><td>${turn}</td>
       <td class="number">${height.toFixed(2)}</td><td><span class="bar" style="width:${(height / 6) * 100}%"></span></td></tr>`).join("");
    table.caption.textContent = `${kept.length} of ${rows.length} turns of the tide`;
  };
  form.addEventListener("input", draw);
  form.addEventListener("submit", (event) => event.preventDefault());
  draw();
}

// Draws the last whole day of the readings from the file's tail alone.
async function showRecord(box) {
  const answer = await fetch("/data/readings-2025.csv", { headers: { Range: "bytes=-8192" } });
  if (!answer.ok) throw new Error(`readings-2025.csv: ${answer.status}`);
  const text = await answer.text();
  const lines = text.trimEnd().split("\n").filter((line) => /^\d{4}-\d\d-\d\dT/.test(line));
  const last = lines[lines.length - 1].slice(0, 10);
  const points = lines.filter((line) => line.startsWith(last)).map((line) => {
    const [time, level] = line.split(",");
    return [Number(time.slice(11, 13)) + Number(time.slice(14, 16)) / 60, Number(level)];
  });
  box.innerHTML = plot(points);
  const size = text.length.toLocaleString("en-GB");
  document.getElementById("record-note").textContent = answer.status === 206
    ? `Measured level on ${last}, UTC. Drawn from the last ${size} bytes of the file: the server answered a range request.`
    : `Measured level on ${last}, UTC. The server sent the whole file (${size} bytes), as it is free to.`;
}

for (const [id, show] of [["now", showToday], ["waters", showWaters], ["record-plot", showRecord]]) {
  const element = document.getElementById(id);
  if (element) {
    show(element).catch((error) => {
      const note = document.createElement("p");
      note.setAttribute("role", "alert");
      note.textContent = `The data could not be loaded (${error.message}).`;
      element.before(note);
    });
  }
}
