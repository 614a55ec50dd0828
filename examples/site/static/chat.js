"use strict";

// A chat on a durable topic. The offset of the last record is all that has to be remembered: after a break the server is
// asked for what follows it, so nothing is missed and nothing comes twice.

// Times between attempts to connect: doubled each time up to a most, and varied so that not all come back at once.
const RETRY_FIRST_MS = 500;
const RETRY_MOST_MS = 20_000;
// Messages of the past that a new visitor gets, and those that stay in the page.
const TAIL = 50;
const LINES_MAX = 500;

addEventListener("DOMContentLoaded", () => {
  const at = (id) => document.getElementById(`chat-${id}`);
  const [state, count, log, note, form, name, text, send] =
    ["state", "count", "log", "note", "form", "name", "text", "send"].map(at);
  const topic = log.closest("[data-topic]").dataset.topic;
  const day = new Intl.DateTimeFormat(undefined, { dateStyle: "medium" });
  const minute = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });

  let socket = null;
  let next = null; // the offset that is to come next, once any has come
  let attempts = 0;
  let pending = null; // the message that was sent and not acknowledged: its request's number and its key
  let request = 0;
  let subscription = 0; // the number of the request for records
  let lastDay = "";
  const randomWord = () => Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
  const member = randomWord(); // this page among those who are here

  try { name.value = localStorage.getItem("chat-name") || ""; } catch { /* no storage: a name for this visit */ }

  function element(tag, content, className) {
    const made = document.createElement(tag);
    made.textContent = content;
    if (className) made.className = className;
    return made;
  }

  function append(line) {
    const isAtEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(line);
    while (log.childElementCount > LINES_MAX) log.firstElementChild.remove();
    if (isAtEnd) log.scrollTop = log.scrollHeight;
  }

  // What a record says. Anybody may produce to the topic, so it may be anything.
  function messageOf(record) {
    try {
      const { name, text } = JSON.parse(record.text);
      if (typeof name === "string" && typeof text === "string") return { name, text };
    } catch { /* not a message of this page */ }
    return { name: "?", text: record.text ?? "(bytes)" };
  }

  function show(record) {
    if (next !== null && record.offset < next) return;
    if (next !== null && record.offset > next) append(element("div", `${record.offset - next} earlier messages are no longer kept`, "gap"));
    next = record.offset + 1;
    const { name: who, text: said } = messageOf(record);
    const date = new Date(record.timestamp);
    if (day.format(date) !== lastDay) append(element("div", (lastDay = day.format(date)), "gap"));
    const line = element("div", "", "said");
    const words = element("p", said.slice(0, 4000));
    words.prepend(element("b", who.slice(0, 40)));
    const time = element("time", minute.format(date), "meta");
    time.dateTime = date.toISOString();
    time.title = `offset ${record.offset}`;
    line.append(words, time);
    append(line);
    if (pending && record.key === pending.key) settle(true);
  }

  // The answer to what was sent: acknowledged, or not, with the reason.
  function settle(isKept, reason = "") {
    if (isKept && text.value === pending.text) text.value = "";
    pending = null;
    note.textContent = reason;
    send.disabled = !isOpen();
  }

  const isOpen = () => socket !== null && socket.readyState === WebSocket.OPEN;

  function tell(words, isOn) {
    state.textContent = words;
    state.className = `state ${isOn ? "on" : "off"}`;
    send.disabled = !isOn || pending !== null;
  }

  const heard = {
    subscribed() {
      attempts = 0;
      tell("connected", true);
    },
    record(message) {
      if (message.topic === topic) show(message);
    },
    produced({ id }) {
      if (pending && id === pending.id) settle(true);
    },
    presence(message) {
      if (message.topic === topic) count.textContent = message.count === 1 ? "only you are here" : `${message.count} are here`;
    },
    error({ id, message, code }) {
      const words = message || code || "The server refused.";
      if (id === subscription && code === "out_of_range" && next !== null) {
        // What we had is no part of the topic any more, so we begin anew.
        next = null;
        lastDay = "";
        log.replaceChildren();
        return subscribe();
      }
      if (id === subscription) socket.close(); // and try again later
      if (pending && id === pending.id) settle(false, `Not sent: ${words}`);
      else note.textContent = words;
    },
  };

  function subscribe() {
    const from = next === null ? { tail: TAIL } : { offset: next };
    subscription = ++request;
    socket.send(JSON.stringify({ op: "subscribe", topic, partition: 0, ...from, member, id: subscription }));
  }

  function connect() {
    tell("connecting", false);
    socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/topics`);
    socket.addEventListener("open", subscribe);
    socket.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return;
      const message = JSON.parse(data);
      if (Object.hasOwn(heard, message.op)) heard[message.op](message);
    });
    socket.addEventListener("close", () => {
      socket = null;
      count.textContent = "";
      if (pending) settle(false, "The connection broke before an answer. If your message was kept it shows up; if not, send it again.");
      const wait = Math.min(RETRY_MOST_MS, RETRY_FIRST_MS * 2 ** attempts++) * (0.5 + Math.random() / 2);
      tell(`disconnected, next attempt in ${Math.max(1, Math.round(wait / 1000))} s`, false);
      setTimeout(connect, wait);
    });
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const message = { name: name.value.trim(), text: text.value.trim() };
    if (!message.name || !message.text || !isOpen() || pending) return;
    try { localStorage.setItem("chat-name", message.name); } catch { /* as above */ }
    const key = randomWord();
    pending = { id: ++request, key, text: text.value };
    socket.send(JSON.stringify({ op: "produce", topic, key, text: JSON.stringify(message), id: pending.id }));
    note.textContent = "";
    send.disabled = true;
    text.focus();
  });

  connect();
});
