"use strict";

// A durable topic, produced to by requests and followed by server-sent events. The id of an event is the record's offset, so a
// follower that was away says the last one it has seen and goes on behind it.

const ROWS_MAX = 300;

addEventListener("DOMContentLoaded", () => {
  const at = (id) => document.getElementById(`log-${id}`);
  const [produceButton, everyButton, followButton] = ["produce", "every", "follow"].map(at);
  const [state, ackedText, seenText, awayText, check, note, rows] =
    ["state", "acked", "seen", "away", "check", "note", "rows"].map(at);
  const topic = rows.closest("[data-topic]").dataset.topic;
  const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });

  let source = null;
  let first = null; // the first and the last offset that were seen
  let last = null;
  let acked = null; // the last offset that was acknowledged to this page
  let replayEnd = -1; // records up to this offset were there before the follower came
  let gaps = 0;
  let repeats = 0;
  let away = 0;
  let number = 0;
  let timer = 0;

  const nextOffset = () => (last === null ? null : last + 1);

  // A refusal says why, as problem details (RFC 9457).
  async function refusal(answer) {
    const { detail } = await answer.json().catch(() => ({}));
    return new Error(detail ?? `the server said ${answer.status}`);
  }

  function tell(words, kind) {
    state.textContent = words;
    state.className = `state ${kind}`;
  }

  function showFacts() {
    ackedText.textContent = acked ?? "–";
    seenText.textContent = last ?? "–";
    awayText.textContent = away;
    if (last === null) return;
    const isGood = gaps === 0 && repeats === 0;
    const found = isGood ? "no gap, no repeat" : `${gaps} missing, ${repeats} repeated`;
    check.textContent = `offsets ${first} to ${last}: ${found}`;
    check.className = isGood ? "good" : "wrong";
  }

  function show(offset, record) {
    if (last !== null && offset <= last) repeats += 1;
    if (last !== null && offset > last + 1) gaps += offset - last - 1;
    first ??= offset;
    last = Math.max(last ?? offset, offset);
    const isReplayed = offset <= replayEnd;
    const row = document.createElement("tr");
    const time = clock.format(new Date(record.timestamp));
    for (const content of [offset, time, record.text ?? record.base64, isReplayed ? "replayed" : "live"]) {
      row.insertCell().textContent = content;
    }
    row.lastElementChild.className = isReplayed ? "replayed" : "live";
    rows.prepend(row);
    while (rows.childElementCount > ROWS_MAX) rows.lastElementChild.remove();
    showFacts();
  }

  // Where the topic begins and ends now: what the follower gets up to there is a replay. Also an offset that is not kept is answered
  // with both.
  async function lookForEnd() {
    const answer = await fetch(`/topics/${topic}/0?offset=${nextOffset() ?? 0}&max=1`);
    if (!answer.ok && answer.status !== 416) throw await refusal(answer);
    return answer.json();
  }

  async function follow() {
    followButton.textContent = "Disconnect";
    tell("connecting", "off");
    const isFirst = last === null;
    let from = nextOffset();
    try {
      const { low, high } = await lookForEnd();
      replayEnd = high - 1;
      if (from === null || from > high) {
        // The first time, or the topic is another than before: its last records.
        from = Math.max(low, high - 20);
        first = last = null;
      }
      from = Math.max(from, low); // what is older is deleted, and counted as a gap
    } catch (error) {
      note.textContent = `The topic cannot be read: ${error.message.replace(/\.?$/, ".")}`;
      followButton.textContent = "Resume";
      tell("disconnected", "off");
      return;
    }
    if (source) source.close();
    const opened = new EventSource(`/topics/${topic}/0/events?format=json&offset=${from}`);
    source = opened;
    opened.addEventListener("open", () => {
      tell(isFirst ? "following" : "following again", "on");
    });
    opened.addEventListener("error", () => {
      const isOver = opened.readyState === EventSource.CLOSED;
      tell(isOver ? "refused" : "reconnecting", "off");
      if (isOver && source === opened) leave("The server refused. Resume to try again.");
    });
    const take = (event) => {
      const record = JSON.parse(event.data);
      if (source === opened && Number.isInteger(record.offset)) show(record.offset, record);
    };
    opened.addEventListener("message", take);
    opened.addEventListener("missed", () => {
      note.textContent = "Some records are no longer kept.";
    });
  }

  function leave(words) {
    if (source) source.close();
    source = null;
    away = 0;
    followButton.textContent = "Resume";
    tell("disconnected", "off");
    note.textContent = words;
    showFacts();
  }

  async function produce() {
    number += 1;
    const text = `record ${number} of this page`;
    try {
      const answer = await fetch(`/topics/${topic}`, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify({ text }),
      });
      if (!answer.ok) throw await refusal(answer);
      const { offset } = await answer.json();
      acked = Math.max(acked ?? offset, offset);
      if (source === null) away += 1;
      note.textContent = "";
    } catch (error) {
      note.textContent = `Not acknowledged: ${error.message.replace(/\.?$/, ".")}`;
      if (timer) toggleEvery();
    }
    showFacts();
  }

  function toggleEvery() {
    clearInterval(timer);
    timer = timer ? 0 : setInterval(produce, 1000);
    everyButton.setAttribute("aria-pressed", String(timer !== 0));
  }

  produceButton.addEventListener("click", produce);
  everyButton.addEventListener("click", toggleEvery);
  followButton.addEventListener("click", () => {
    if (source) return leave("Produce some records now, then resume.");
    note.textContent = "";
    follow();
  });
  follow();
});
