// Keeps a page true while it is open: follows the events, fetches the page again, and replaces what has changed.
"use strict";
(() => {
  const live = document.body.dataset.live;
  const countDown = () => {
    for (const place of document.querySelectorAll("[data-until]")) {
      const left = Math.round((Date.parse(place.dataset.until) - Date.now()) / 1000);
      const minutes = Math.floor(left / 60);
      place.textContent = left > 0 ? `${minutes ? `${minutes} min ` : ""}${left % 60} s left.` : "The time is over.";
    }
  };
  countDown();
  setInterval(countDown, 1000);
  if (live === undefined || !window.EventSource) return;

  const main = document.getElementById("main");
  const link = document.getElementById("link");
  const news = document.getElementById("news");
  const LEAST = 400, OFTEN = 15000, SLOW = 60000; // milliseconds between two looks
  let shown = main.innerHTML, last = 0, waiting = 0, due = 0, asking = false;

  const tell = (text, lost) => {
    link.hidden = false;
    if (link.textContent !== text) link.textContent = text;
    link.classList.toggle("lost", lost);
  };
  const typing = () => {
    const at = document.activeElement;
    return at && main.contains(at) && /^(INPUT|SELECT|TEXTAREA)$/.test(at.tagName);
  };
  const place = (html) => {
    const open = [...main.querySelectorAll("details[open]")].map((each) => each.id);
    const at = document.activeElement;
    const focus = at && main.contains(at) ? at.id || at.getAttribute("href") : null;
    main.innerHTML = html;
    for (const id of open) document.getElementById(id)?.setAttribute("open", "");
    if (focus) {
      const again = [...main.querySelectorAll("a, button, summary, [id]")]
        .find((each) => each.id === focus || each.getAttribute("href") === focus);
      again?.focus({ preventScroll: true });
    }
    countDown();
  };
  const look = async () => {
    waiting = 0;
    if (asking || typing()) return soon(LEAST);
    asking = true;
    last = Date.now();
    try {
      const answer = await fetch(location.href, { credentials: "same-origin" });
      if (new URL(answer.url).pathname === "/login") {
        tell("Your session is over", true);
        const again = document.createElement("a");
        again.href = answer.url;
        again.textContent = "Log in again";
        link.replaceChildren("Your session is over: ", again);
        events.close();
        return;
      }
      const text = await answer.text();
      const html = new DOMParser().parseFromString(text, "text/html").getElementById("main").innerHTML;
      if (html !== shown) { shown = html; place(html); }
    } catch { tell("Connection lost, trying again", true); } finally { asking = false; }
    expect();
  };
  const soon = (least) => { // a look that is due earlier takes the place of one that is due later
    const at = Math.max(Date.now() + 20, last + least);
    if (waiting && due <= at) return;
    clearTimeout(waiting);
    due = at;
    waiting = setTimeout(look, at - Date.now());
  };

  const expect = () => { if (main.querySelector("[data-soon]")) soon(2000); }; // what comes without an event
  expect();

  const events = new EventSource("/page/events");
  let wasLost = false;
  events.onopen = () => { tell("Live", false); if (wasLost) { wasLost = false; soon(0); } };
  events.onerror = () => {
    wasLost = true;
    tell("Connection lost, trying again", true);
    soon(SLOW);
  };
  const came = (event) => {
    const data = JSON.parse(event.data);
    const concerns = live ? data.target === live : data.kind !== "decision"; // the overview shows no decisions
    if (!concerns && event.type !== "missed") return;
    if (data.kind === "rollback" || data.kind === "arming") {
      news.textContent = `${data.target}: ${data.kind} ${data.what}`.replaceAll("_", " ");
    }
    soon(LEAST);
  };
  for (const kind of ["decision", "rollback", "action", "serving", "arming", "drill", "missed"]) {
    events.addEventListener(kind, came);
  }
  setInterval(() => { if (!document.hidden) soon(LEAST); }, OFTEN);
  document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(LEAST); });
})();
