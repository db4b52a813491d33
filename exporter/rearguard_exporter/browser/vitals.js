// Measures Web Vitals, timings and JavaScript errors of a page, and sends them when the page is hidden.
// Served without lines like this one (script.py). It writes nothing into the page, and stores nothing in the browser.
(() => {
  if (window.rearguard) return; // included twice
  const doc = document;
  const perf = performance;
  const target = new URL("vitals", doc.currentScript ? doc.currentScript.src : new URL("/api/monitoring/", location));
  const isSampled = Math.random() < SAMPLE;
  const load = perf.getEntriesByType("navigation")[0] || {};
  const observers = [];
  let view; // the page view that is measured; `first` is the one that a load began
  let first;
  let began = 0; // when a prerendered page was shown
  let hiddenAt = Infinity; // when the page was hidden first: what is painted later is seen by nobody
  let cls, session, sessionBegan, sessionLast;
  let slow, interactionsBefore; // durations of the slowest interactions, by their id
  let seen = 0;

  const interactions = () => perf.interactionCount ?? seen;

  const start = (navigation, page) => {
    view = { page: String(page || location.pathname).slice(0, 500), navigation, vitals: {}, timings: [], errors: {}, sent: {} };
    cls = session = sessionBegan = sessionLast = 0;
    interactionsBefore = interactions();
    slow = new Map();
  };

  const painted = (name, entry) => {
    if (view == first && entry.startTime < hiddenAt) view.vitals[name] = Math.max(entry.startTime - began, 0);
  };

  // The largest sum of shifts in a row that are less than 1 s apart, and 5 s together.
  const shifted = (entry) => {
    const at = entry.startTime;
    if (entry.hadRecentInput) return;
    if (session && at - sessionLast < 1000 && at - sessionBegan < 5000) session += entry.value;
    else [session, sessionBegan] = [entry.value, at];
    sessionLast = at;
    cls = Math.max(cls, session);
  };

  const interacted = (entry) => {
    const id = entry.interactionId;
    if (!id) return;
    if (!slow.has(id)) seen++;
    slow.set(id, Math.max(entry.duration, slow.get(id) || 0));
    if (slow.size > 10) slow.delete([...slow].sort((one, other) => one[1] - other[1])[0][0]);
  };

  // The slowest interaction, leaving out one of each 50. Browsers tell nothing of those below 16 ms.
  const inp = () => {
    const count = interactions() - interactionsBefore;
    const times = [...slow.values()].sort((one, other) => other - one);
    return times.length ? times[Math.min(times.length - 1, Math.floor(count / 50))] : count > 0 ? 8 : -1;
  };

  const send = () => {
    for (const [observer, take] of observers) observer.takeRecords().forEach(take);
    const { page, navigation, vitals, timings, errors, sent } = view;
    vitals.inp = inp();
    if (view != first || "fcp" in vitals) vitals.cls = cls;
    const body = { page, navigation, vitals: {}, timings, errors };
    for (const name in vitals) {
      if (!sent[name] && vitals[name] >= 0 && vitals[name] < 6e5) {
        sent[name] = 1;
        body.vitals[name] = +vitals[name].toPrecision(6);
      }
    }
    view.timings = [];
    view.errors = {};
    const hasNumbers = /\d/.test(JSON.stringify([body.vitals, timings, errors]));
    let text = JSON.stringify(body);
    if (new Blob([text]).size > 8192) text = JSON.stringify({ ...body, timings: [], errors: {} }); // of endless names
    if (hasNumbers) navigator.sendBeacon(target, text); // as text/plain, which needs no preflight
  };

  const failed = (failure) => {
    const name = String((failure && failure.name) || "").slice(0, 50);
    const { errors } = view;
    if (errors[name] || Object.keys(errors).length < 20) errors[name] = Math.min((errors[name] || 0) + 1, 1000);
  };

  const observe = (type, take, options) => {
    try {
      const observer = new PerformanceObserver((list) => list.getEntries().forEach(take));
      observer.observe({ type, buffered: true, ...options });
      observers.push([observer, take]);
    } catch {} // an older browser
  };

  const begin = () => {
    began = load.activationStart || 0;
    start(began ? "prerender" : doc.wasDiscarded ? "restore" : (load.type || "navigate").replaceAll("_", "-"));
    first = view;
    for (const state of perf.getEntriesByType("visibility-state")) {
      if (state.name == "hidden" && state.startTime >= began) hiddenAt = Math.min(hiddenAt, state.startTime);
    }
    if (doc.visibilityState == "hidden") hiddenAt = 0;
    if (load.responseStart > 0) view.vitals.ttfb = Math.max(load.responseStart - began, 0);
    observe("paint", (entry) => entry.name == "first-contentful-paint" && painted("fcp", entry));
    observe("largest-contentful-paint", (entry) => painted("lcp", entry));
    observe("layout-shift", shifted);
    observe("event", interacted, { durationThreshold: 40 });
    observe("first-input", interacted);
    const listen = (name, react) => addEventListener(name, react, true);
    listen("error", (event) => event instanceof ErrorEvent && failed(event.error));
    listen("unhandledrejection", (event) => failed(event.reason));
    listen("visibilitychange", (event) => {
      if (doc.visibilityState != "hidden") return;
      hiddenAt = Math.min(hiddenAt, event.timeStamp);
      send();
    });
    listen("pageshow", (event) => {
      if (!event.persisted) return;
      start("back-forward-cache");
      const { vitals } = view;
      vitals.ttfb = 0;
      const frame = requestAnimationFrame;
      frame(() => frame(() => (vitals.fcp = vitals.lcp = perf.now() - event.timeStamp)));
    });
  };

  window.rearguard = {
    timing(name, ms = perf.now() - began) {
      ms = Number(ms);
      if (view && view.timings.length < 50 && ms >= 0 && ms < 36e5) {
        view.timings.push([String(name).slice(0, 100), +ms.toPrecision(6)]);
      }
    },
    navigate(page) {
      if (!view) return;
      send();
      start("soft-navigation", page);
    },
  };

  if (!isSampled) return;
  if (doc.prerendering) addEventListener("prerenderingchange", begin, true);
  else begin();
})();
