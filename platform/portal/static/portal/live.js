// A page that moves: wakes by server-sent events, or by asking every two seconds when there are none; counts the cost
// between two answers of the server; counts a quote down. Everything shown comes from the server, this only fills the gaps.
"use strict";

(() => {
  const POLL_MS = 2000;
  const QUIET_POLL_MS = 15000;
  const CALM_MS = 250;
  let source = null;
  let streamUrl = "";
  let isOpen = false;
  let asked = 0;
  let waiting = null;

  const living = () => document.querySelector("[data-live]");

  function refresh() {
    const part = living();
    if (!part || !window.htmx) return;
    asked = Date.now();
    window.htmx.trigger(part, "chapek:refresh");
  }

  // Many events may come at once; one question answers them all.
  function wake() {
    if (waiting) return;
    waiting = setTimeout(() => { waiting = null; refresh(); }, CALM_MS);
  }

  function listen() {
    const part = living();
    const wanted = (part && part.dataset.stream) || "";
    if (wanted === streamUrl) return;
    if (source) source.close();
    source = null;
    isOpen = false;
    streamUrl = wanted;
    if (!wanted || !window.EventSource) return;
    source = new EventSource(wanted);
    source.onopen = () => { isOpen = true; };
    source.onerror = () => { isOpen = false; };
    source.addEventListener("progress", wake);
  }

  setInterval(() => {
    const part = living();
    if (!part || document.hidden) return;
    listen();
    if (!part.dataset.stream) return; // over: nothing will change any more
    const pause = isOpen ? QUIET_POLL_MS : POLL_MS;
    if (Date.now() - asked >= pause) refresh();
  }, 500);

  document.addEventListener("visibilitychange", () => { if (!document.hidden) refresh(); });
  window.addEventListener("pagehide", () => { if (source) source.close(); streamUrl = ""; });

  // What one has unfolded stays unfolded when its part is renewed.
  let unfolded = [];
  document.addEventListener("htmx:beforeSwap", () => {
    unfolded = [...document.querySelectorAll("details[open][id]")].map((part) => part.id);
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    // The state is another one now: what was said about the one before is history.
    if (event.detail.target.id === "detail") document.getElementById("messages").replaceChildren();
    for (const id of unfolded) {
      const part = document.getElementById(id);
      if (part) part.open = true;
    }
  });

  // Cost: the server's last figure plus the seconds since it came.
  const seen = new WeakMap();
  function count() {
    for (const place of document.querySelectorAll("[data-count]")) {
      if (!seen.has(place)) seen.set(place, Date.now());
      const hours = (Date.now() - seen.get(place)) / 3600000;
      const value = Number(place.dataset.count) + Number(place.dataset.perHour) * hours;
      const whole = place.textContent.trim();
      const sign = whole.replace(/[-−\d.,\s]/gu, "");
      place.textContent = sign + value.toLocaleString(document.documentElement.lang, {
        minimumFractionDigits: 2, maximumFractionDigits: 2,
      });
    }
  }

  // A quote: how long its price still stands.
  const born = new WeakMap();
  function countDown() {
    for (const place of document.querySelectorAll("[data-countdown]")) {
      if (!born.has(place)) born.set(place, Date.now());
      const left = Math.round(Number(place.dataset.countdown) - (Date.now() - born.get(place)) / 1000);
      if (left > 0) {
        const minutes = Math.floor(left / 60);
        place.querySelector("[data-left]").textContent = ` (${minutes}:${String(left % 60).padStart(2, "0")})`;
      } else if (!place.dataset.done) {
        place.dataset.done = "yes";
        place.textContent = place.dataset.over;
        const button = document.querySelector("[data-quote-button]");
        if (button) {
          button.value = "quote";
          button.textContent = place.dataset.again;
        }
      }
    }
  }

  setInterval(() => { count(); countDown(); }, 1000);
})();
