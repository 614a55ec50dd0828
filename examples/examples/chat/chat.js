"use strict";

// Times between attempts to connect: doubled each time up to a most, and varied so that not all come back at once.
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 30_000;
// Lines that stay in the page.
const LINES_MAX = 500;
// The server's code for names that do not fit; its other closes are worth another attempt.
const CLOSE_NAME = 4000;

const at = (id) => document.getElementById(id);
const [door, chat, entry, composer, log, text] = ["door", "chat", "entry", "composer", "log", "text"].map(at);

let me = null; // name and room, while inside
let socket = null;
let attempts = 0;
let timer = 0;
let unread = 0;
let isFollowing = true;
const members = new Set();
const seen = new Set(); // stamps: what the room keeps comes again with each connection

function element(name, className, content) {
  const made = document.createElement(name);
  if (className) made.className = className;
  made.textContent = content;
  return made;
}

// Names are told apart by colour too; the shade comes from the style sheet.
function colour(made, name) {
  let hue = 0;
  for (const letter of name) hue = (hue * 31 + letter.codePointAt(0)) % 360;
  made.style.setProperty("--hue", hue);
  return made;
}

// The end of the log stays in sight, also when a phone's keyboard opens, unless its reader has gone back.
function follow() {
  if (isFollowing) log.scrollTop = log.scrollHeight;
}
log.addEventListener("scroll", () => {
  isFollowing = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
});
new ResizeObserver(follow).observe(log);

function append(line) {
  log.append(line);
  while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
  follow();
}

function note(content) {
  append(element("p", "note", content));
}

function showSaid({ member, text, stamp }) {
  if (seen.has(stamp)) return;
  seen.add(stamp);
  const date = new Date(stamp / 1000);
  const time = element("time", "", date.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" }));
  time.dateTime = date.toISOString();
  time.title = date.toLocaleString();
  const words = element("span", "text", text);
  words.dir = "auto";
  const line = element("p", member === me.name ? "said own" : "said", "");
  line.append(colour(element("bdi", "by", member), member), time, words);
  append(line);
  if (document.hidden && !isBeginning()) showTitle(unread + 1);
}

// What the room kept is shown, and not read out line by line.
function isBeginning() {
  return log.getAttribute("aria-busy") === "true";
}

function showTitle(count) {
  unread = count;
  document.title = me ? `${unread ? `(${unread}) ` : ""}${me.room} – Chat` : "Chat";
}

function showMembers() {
  const names = [...members].sort((a, b) => a.localeCompare(b));
  at("count").textContent = `Here: ${names.length}`;
  at("members").replaceChildren(...names.map((name) => {
    const item = colour(element("li", "", ""), name);
    item.append(element("bdi", "", name), name === me.name ? " (you)" : "");
    return item;
  }));
}

function showStatus(content, isLost = false) {
  at("status").textContent = content;
  chat.classList.toggle("lost", isLost);
}

const events = {
  said: showSaid,
  join({ member }) {
    members.add(member);
    note(`${member} is here.`);
    showMembers();
  },
  leave({ member }) {
    members.delete(member);
    note(`${member} has left.`);
    showMembers();
  },
  here(event) {
    attempts = 0;
    members.clear();
    event.members.forEach((name) => members.add(name));
    showMembers();
    showStatus(`Connected as ${me.name}`);
    log.setAttribute("aria-busy", "false");
  },
  busy() {
    note("The room is too busy: what you said last was not passed on.");
  },
};

function connect() {
  clearTimeout(timer);
  timer = 0;
  showStatus("Connecting…");
  log.setAttribute("aria-busy", "true");
  const url = new URL(`rooms/${encodeURIComponent(me.room)}?${new URLSearchParams({ name: me.name })}`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const opened = new WebSocket(url);
  socket = opened;
  opened.onmessage = ({ data }) => {
    if (socket !== opened) return;
    const event = JSON.parse(data);
    if (Object.hasOwn(events, event.event)) events[event.event](event);
  };
  opened.onclose = ({ code, reason }) => {
    if (socket === opened) onLost(code, reason);
  };
}

function onLost(code, reason) {
  socket = null;
  if (code === CLOSE_NAME) {
    leave();
    at("refusal").textContent = reason;
    return;
  }
  const wait = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** attempts) * (0.5 + Math.random() / 2);
  attempts += 1;
  timer = setTimeout(connect, wait);
  showStatus(`Connection lost. Next attempt in ${Math.ceil(wait / 1000)} s.`, true);
}

function enter(name, room) {
  me = { name, room };
  sessionStorage.setItem("chat", JSON.stringify(me));
  at("refusal").textContent = "";
  at("title").textContent = room;
  log.replaceChildren();
  seen.clear();
  members.clear();
  showMembers();
  showTitle(0);
  door.hidden = true;
  chat.hidden = false;
  text.focus();
  attempts = 0;
  isFollowing = true;
  connect();
}

function leave() {
  clearTimeout(timer);
  timer = 0;
  const left = socket;
  socket = null;
  left?.close();
  me = null;
  sessionStorage.removeItem("chat");
  showTitle(0);
  chat.hidden = true;
  door.hidden = false;
  at("name").focus();
}

entry.addEventListener("submit", (event) => {
  event.preventDefault();
  enter(at("name").value.trim(), at("room").value.trim());
});

composer.addEventListener("submit", (event) => {
  event.preventDefault();
  const words = text.value.trim();
  if (!words) return;
  if (socket?.readyState !== WebSocket.OPEN) {
    showStatus("Not connected: your message waits in its field.", true);
    return;
  }
  socket.send(words);
  text.value = "";
  isFollowing = true;
});

at("leave").addEventListener("click", leave);

// When the network is back, or the page is looked at again, there is nothing to wait for.
function retryNow() {
  if (timer) connect();
}
addEventListener("online", retryNow);
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  showTitle(0);
  retryNow();
});

// A page that is loaded again enters where it was.
const before = JSON.parse(sessionStorage.getItem("chat") ?? "null");
if (before) {
  at("name").value = before.name;
  at("room").value = before.room;
  enter(before.name, before.room);
}
