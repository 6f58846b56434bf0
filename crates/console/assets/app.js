// What keeps pages alive: one stream of events for what moves, plots, times in the browser's own zone, the menu of a phone.
// Pages work without it. It builds no HTML from what it is told: text goes in as text.
"use strict";

(() => {
  const one = (selector, within = document) => within.querySelector(selector);
  const all = (selector, within = document) => within.querySelectorAll(selector);

  // The menu of a narrow window.
  const menu = one(".menu"), tree = one("#tree");
  menu?.addEventListener("click", () => {
    const open = tree.classList.toggle("open");
    menu.setAttribute("aria-expanded", String(open));
  });

  // Times as the browser's owner reads them; the exact one stays in the title.
  const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "short", timeStyle: "medium" });
  const hours = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
  function localTimes(within) {
    for (const time of all("time[datetime]", within)) {
      const at = new Date(time.dateTime);
      if (Number.isNaN(at.getTime())) continue;
      time.title = time.dateTime;
      const today = at.toDateString() === new Date().toDateString();
      const text = today || time.dataset.hours !== undefined ? hours.format(at) : clock.format(at);
      if (time.textContent !== text) time.textContent = text;
    }
  }
  localTimes(document);

  // A box that ticks all of a list.
  document.addEventListener("change", (event) => {
    const box = event.target;
    if (!box.matches?.("input[data-all]")) return;
    for (const each of all(`input[name="${box.dataset.all}"]`, box.form ?? document)) each.checked = box.checked;
  });

  // Plots: a figure with data-plot says which lines of the series it shows; #series has the series as JSON in an attribute.
  const plots = [];
  function colour(name) {
    return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  }
  function columns(series, names) {
    return [series.at, ...names.map((name) => series.lines.find((line) => line.name === name)?.values ?? series.at.map(() => 0))];
  }
  function draw(series) {
    for (const figure of all("figure[data-plot]")) {
      const names = figure.dataset.plot.split(" ");
      const box = one(".canvas", figure);
      const axis = { stroke: colour("--soft"), grid: { stroke: colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui, sans-serif" };
      const plot = new uPlot({
        width: box.clientWidth, height: box.clientHeight, legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { size: 5 } },
        scales: { x: { range: (_, low, high) => [(high ?? 0) - 3600, high ?? 0] }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 5)] } },
        axes: [{ ...axis, size: 26, space: 60, values: (_, ticks) => ticks.map((at) => new Date(at * 1000).toTimeString().slice(0, 5)) },
          { ...axis, size: 44, space: 34, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 1e7] }],
        series: [{}, ...names.map((_, index) => ({ stroke: colour(`--line-${index + 1}`), width: 1.5, points: { show: false } }))],
      }, columns(series, names), box);
      plots.push({ plot, names, box, figure });
      say(figure, names, series);
    }
  }
  function say(figure, names, series) {
    for (const name of names) {
      const line = series.lines.find((each) => each.name === name);
      const now = one(`[data-now="${name}"]`, figure);
      if (now && line?.values.length) now.textContent = line.values[line.values.length - 1].toLocaleString("en");
    }
  }
  function redraw(series) {
    for (const { plot, names, figure } of plots) {
      plot.setData(columns(series, names));
      say(figure, names, series);
    }
  }
  const island = one("#series");
  if (island && window.uPlot) {
    draw(JSON.parse(island.dataset.series));
    addEventListener("resize", () => plots.forEach(({ plot, box }) => plot.setSize({ width: box.clientWidth, height: box.clientHeight })));
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      const series = { at: plots[0]?.plot.data[0] ?? [], lines: [] };
      for (const { plot, names } of plots) names.forEach((name, index) => series.lines.push({ name, values: plot.data[index + 1] }));
      plots.splice(0).forEach(({ plot }) => plot.destroy());
      draw(series);
    });
  }

  // The stream: once a second what has moved. A page that nobody looks at has none. A part of the page is asked for every other
  // time, the plots' series every tenth.
  const state = one("#live-state");
  let stream = null, turn = 0, fetching = false;
  function listen() {
    if (stream || document.hidden || !tree) return;
    stream = new EventSource("/events");
    stream.onopen = () => { state.textContent = ""; };
    stream.onerror = () => {
      state.textContent = "Not up to date: waiting for the service";
      // Closed for good: the service is elsewhere, or we are strangers now.
      if (stream?.readyState === EventSource.CLOSED) { hang(); setTimeout(again, 3000); }
    };
    stream.onmessage = (event) => tick(JSON.parse(event.data));
    stream.addEventListener("end", () => { hang(); location.reload(); });
  }
  async function again() {
    try {
      const answer = await fetch("/alarms", { headers: { "X-Background": "1" } });
      if (answer.redirected) return location.reload();
    } catch { /* not there yet */ }
    listen();
  }
  function hang() { stream?.close(); stream = null; }
  function tick(news) {
    turn += 1;
    for (const [name, server] of Object.entries(news.servers)) {
      for (const entry of all("[data-server]", tree)) {
        if (entry.dataset.server === name) entry.textContent = (server[entry.dataset.count] || "").toLocaleString("en");
      }
    }
    const alarms = one("[data-count=alarms]", tree);
    alarms.textContent = news.alarms || "";
    if (turn % 2 === 0) for (const part of all("[data-live]")) if (!busy(part)) htmx.trigger(part, "tick");
    if (turn % 10 === 0 && island) plot();
  }
  async function plot() {
    if (fetching) return;
    fetching = true;
    try {
      const answer = await fetch(island.dataset.from, { headers: { "X-Background": "1" } });
      if (answer.ok) redraw(await answer.json());
    } catch { /* the stream says so */ } finally { fetching = false; }
  }
  // Nothing is changed under a pointer that is pressed, nor in a part in which boxes are ticked or a menu is open.
  let pressed = false;
  addEventListener("pointerdown", () => { pressed = true; });
  addEventListener("pointerup", () => { setTimeout(() => { pressed = false; }, 50); });
  addEventListener("pointercancel", () => { pressed = false; });
  function busy(part) {
    return pressed || one("input:checked, details.hold[open]", part) || part.contains(document.activeElement?.closest("input[type=text], input[type=search], select, textarea"));
  }
  document.addEventListener("visibilitychange", () => (document.hidden ? hang() : listen()));
  addEventListener("pagehide", hang);
  addEventListener("pageshow", listen);
  document.addEventListener("htmx:config:request", (event) => { event.detail.ctx.request.headers["X-Background"] = "1"; });
  // An answer that is no fragment (the session has ended, the thing is gone): look at the page as it is now.
  document.addEventListener("htmx:before:swap", (event) => {
    const ctx = event.detail.ctx;
    if (ctx?.response && (ctx.response.raw?.status ?? ctx.response.status) >= 400) event.preventDefault();
  });
  document.addEventListener("htmx:after:swap", () => localTimes(document));
  listen();
})();
